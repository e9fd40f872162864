"""What all suites share: the time of each suite, and the check that a run leaves nothing behind."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import hypothesis
import pytest

from tests.homes import Home, new_home

RUN = "IONIAN_TEST_RUN"
"""Every process that a test starts inherits this variable, so what outlives the run is found by it."""

ALONE = "IONIAN_TEST_ALONE"
"""script/test sets it: no other run is at work on this machine, so a stale cgroup is this run's."""

hypothesis.settings.register_profile("untimed", deadline=None)  # how long an example takes is no test
hypothesis.settings.load_profile("untimed")

CGROUPS_BEFORE = pytest.StashKey[set[Path]]()
SOCKETS = pytest.StashKey[str]()

GRACE_S = 10.0
"""How long what is ending on its own may take after the last test."""

WHOSE = (b"PYTEST_CURRENT_TEST=", b"IONIAN_HOME=")
"""What says in a process's environment which test began it."""


NO_HOME = "/dev/null/a test asks for the fixture `home`"
"""What a test has that takes none: no server can start there, least of all in the folder of who runs the tests."""


def is_controller(config: pytest.Config) -> bool:
    """True in the process that reports: the only one, or the one that the xdist workers answer to."""
    return not hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    if is_controller(config):
        os.environ[RUN] = secrets.token_hex(8)
        # Folders of sockets for homes whose paths are too long for them; short itself, and gone with the run.
        os.environ["XDG_RUNTIME_DIR"] = config.stash[SOCKETS] = tempfile.mkdtemp(
            prefix="ionian-run-", dir="/tmp"
        )
        os.environ["IONIAN_HOME"] = NO_HOME
        config.stash[CGROUPS_BEFORE] = stale_cgroups()


@pytest.fixture(scope="session")
def home() -> Iterator[Home]:
    """A home of Ionian with a server of its own, which all tests of this process share."""
    with new_home() as made:
        yield made


def leftovers(run: str) -> dict[int, str]:
    """The processes of a run that are still there: pid → command line, and the test that began it."""
    needle = f"{RUN}={run}".encode()
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            if needle in environment:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                whose = b" ".join(each for each in environment if each.startswith(WHOSE)).decode(
                    errors="replace"
                )
                found[int(entry.name)] = f"{command.strip()} ({whose})"
        except OSError:  # it ended meanwhile, or belongs to somebody else
            continue
    return found


def stale_cgroups() -> set[Path]:
    """The cgroups of workers that have ended: `ionian-PID-…` of a PID that is gone."""
    found: set[Path] = set()
    top = "/sys/fs/cgroup"
    for folder, names, _ in os.walk(top):  # unlike glob, it goes on where another run removes one meanwhile
        found |= {Path(folder, name) for name in names if fnmatch(name, "ionian-*-*")}
        if folder.count("/") - top.count("/") >= 3:
            names.clear()
    return {path for path in found if not Path("/proc", path.name.split("-")[1]).exists()}


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Ends what the run left behind, and makes it an error of the run."""
    if not is_controller(session.config):
        return
    deadline = time.monotonic() + GRACE_S
    left = leftovers(os.environ[RUN])
    while left and time.monotonic() < deadline:
        time.sleep(0.2)
        left = leftovers(os.environ[RUN])
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    shutil.rmtree(session.config.stash[SOCKETS], ignore_errors=True)
    lines = [f"process {pid}: {command}" for pid, command in left.items()]
    if os.environ.get(ALONE):
        lines += [f"cgroup {path}" for path in sorted(stale_cgroups() - session.config.stash[CGROUPS_BEFORE])]
    if lines:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        fail_run(session, "expected a run to leave nothing behind, got:\n" + "\n".join(lines))


def fail_run(session: pytest.Session, reason: str) -> None:
    """Adds an error of the whole run to the summary."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        report = pytest.TestReport(
            nodeid="left behind",
            location=("tests/conftest.py", 0, "left behind"),
            keywords={},
            outcome="failed",
            longrepr=reason,
            when="teardown",
        )
        reporter.stats.setdefault("error", []).append(report)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The time of each suite: what its tests took, one behind the other."""
    seconds: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if not isinstance(report, pytest.TestReport) or not report.nodeid.startswith("tests/"):
                continue
            suite = report.nodeid.split("/")[1]
            seconds[suite] += report.duration
            counts[suite] += report.when == "call"
    if seconds:
        terminalreporter.section("suites")
        for suite in seconds:
            terminalreporter.line(f"{suite:<12} {counts[suite]:>5} tests {seconds[suite]:>8.1f} s")
