"""What a run shows of itself: logs, image builds, progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .execution import is_local

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def enable_output() -> AbstractContextManager[None]:
    """Shows what apps do while the block runs; the command line does so by itself.

    ```python
    with modal.enable_output(), app.run():
        f.remote()
    ```
    """
    if is_local():
        from .client.output import enable_output

        return enable_output()
    from contextlib import nullcontext

    return nullcontext()
