"""The systemd unit of a server: its text, and where it lies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

NAME = "ionian.service"
SYSTEM_HOME = "/var/lib/ionian"
SYSTEM_FOLDER = Path("/etc/systemd/system")


class Unit(NamedTuple):
    """What a unit shall run. `system`: for the machine, not for one user's sessions."""

    command: Sequence[str]  # absolute
    home: str  # IONIAN_HOME
    system: bool
    account: str = ""  # the account that a system unit runs as; "": root

    @property
    def path(self) -> Path:
        """Where systemd looks for it."""
        if self.system:
            return SYSTEM_FOLDER / NAME
        config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        return Path(config, "systemd", "user", NAME)

    def text(self) -> str:
        """The unit.

        What it leaves out is left out for the sandboxes: anything with a seccomp filter implies NoNewPrivileges, without
        which newuidmap can't map a range of user ids; anything that covers parts of /proc or /sys makes the kernel refuse
        a sandbox its own /proc; a device policy would hide GPUs; a private /tmp could hide the socket from clients.
        """
        lines = [
            "# Written by `ionian server install`; `ionian server uninstall` takes it away.",
            "[Unit]",
            "Description=Ionian server",
            *(("Wants=network-online.target", "After=network-online.target") if self.system else ()),
            "StartLimitIntervalSec=0",
            "",
            "[Service]",
            "Type=exec",
            f"ExecStart={' '.join(map(_quoted, self.command))}",
            f"Environment={_quoted(f'IONIAN_HOME={self.home}')}",
            *((f"User={self.account}",) if self.account else ()),
            *(("StateDirectory=ionian", "StateDirectoryMode=0700") if self.home == SYSTEM_HOME else ()),
            "Restart=always",
            "RestartSec=1",
            "# The server is asked to end, ends its worker and containers, and what is left is killed.",
            "KillMode=mixed",
            "TimeoutStopSec=60",
            "# The worker makes a cgroup of its own for each container.",
            "Delegate=yes",
            "# A container that is over its memory limit ends alone.",
            "OOMPolicy=continue",
            "TasksMax=infinity",
            "LimitNOFILE=1048576",
            "LimitCORE=0",
            "UMask=0077",
            *(("ProtectSystem=full",) if self.system else ()),
            "",
            "[Install]",
            f"WantedBy={'multi-user.target' if self.system else 'default.target'}",
        ]
        return "\n".join(lines) + "\n"


def _quoted(word: str) -> str:
    """A word of a command line as systemd reads it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    plain = word and all(character.isalnum() or character in "/._-=:@+," for character in word)
    return word if plain else f'"{escaped}"'
