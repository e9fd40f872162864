"""A person's terminal in a container of an app that runs interactively: what its three sides say.

    container ──Interact──▶ server ──TerminalWanted──▶ client
                                   ◀──TakeTerminal───  client, on a stream of its own, on which the program's bytes go

The program is one of ours, in the container: it hands its terminal to the process that runs the function, and waits.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class LendTerminal:
    """Client → server: containers of this app, which it runs, may ask for its terminal. Answered by Done."""

    app_id: str


@dataclass
class Interact:
    """Container → server: its code wants the terminal of who runs the app. Answered by Interacting, once it has it."""

    python: str  # the program that is to run there,
    meeting: str  # and the socket at which this process waits for it
    what: str  # that asked, for the refusal


@dataclass
class Interacting:
    """The answer to Interact."""

    exec_id: str
    term: str = ""  # the kind of terminal, as TERM has it


@dataclass
class TerminalWanted:
    """Server → client: a container wants the terminal; TakeTerminal gives it."""

    exec_id: str
    app_id: str
    function: str  # its tag
    container_id: str


@dataclass
class TakeTerminal:
    """Client → server: this stream is the terminal. Answered by Done when the container has it; ExecData and ExecEnded
    follow."""

    exec_id: str
    rows: int = 24
    columns: int = 80
    term: str = ""


@dataclass
class ReturnTerminal:
    """Container → server: its code needs the terminal no more. Answered by Done once the person has it back."""

    exec_id: str
