"""Adds to a failed import what a person would do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..protocol.container import Begin

_CURE = "leave include_source=False away, or put the module into the image with add_local_python_source"


def explain(error: BaseException, begin: Begin) -> None:
    """Puts a hint behind the message of the error."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return
    top = error.name.partition(".")[0]
    if top == begin.module.partition(".")[0]:
        error.msg = (
            f"{error.msg}: {begin.qualname} is defined there, and its source did not come along: {_CURE}"
        )
        error.args = (error.msg,)
        return
    hint = (
        f"the module {top!r} is not in this container. If it is a package, install it in the image: "
        f'image.pip_install("{top}"). If it is a file or folder beside your script, bring it along: '
        f'image.add_local_python_source("{top}")'
    )
    error.msg = f"{error.msg}: {hint}"
    error.args = (error.msg,)
