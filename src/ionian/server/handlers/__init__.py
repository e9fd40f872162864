"""What the server does for each request of a client or container: one file a subject.

```
reply, payload = await handle(actor, message, payload, context)
```
"""

from .context import Context, Engine
from .handle import HANDLED, handle

__all__ = ["HANDLED", "Context", "Engine", "handle"]
