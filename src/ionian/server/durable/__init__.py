"""Spawned calls: kept in the store from before their caller hears of it until their results expire.

```
durable.spawn(message, payload, actor, answer)      answer(Done()) once the inputs are on disk
await durable.outputs.get(call, start, limit, wait_s)
```
"""

from .calls import STORE, Kept
from .durable import Durable

__all__ = ["STORE", "Durable", "Kept"]
