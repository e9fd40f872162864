"""Prints behind each result, on a machine whose thread for output gets no processor until somebody waits for it."""

from __future__ import annotations

from typing import Any

import ionian as modal

app = modal.App("late-screen")


@app.function()
def speak(what: str) -> str:
    print("printed", what)
    return what


def make_late() -> None:
    from ionian.client.output.screen import Line, Screen

    screen: Any = Screen
    write = screen._write_waiting

    def late(self: Any) -> None:
        if any(not isinstance(item, Line) for item in list(self._queue)):
            write(self)

    screen._write_waiting = late


@app.local_entrypoint()
def main() -> None:
    make_late()
    print("had", speak.remote("call"))
    print("had", *speak.map(["map"]))
    print("had", speak.spawn("spawn").get())
