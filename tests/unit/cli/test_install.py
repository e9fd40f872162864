"""`ionian server install`: a unit that systemd takes, and a clear word where there is no systemd."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ionian.cli import install
from ionian.cli.server import command
from ionian.cli.unit import Unit


def ionian_server(*arguments: str) -> Result:
    """Runs `ionian server …` in this process."""
    return CliRunner().invoke(command, arguments)


@pytest.fixture
def no_systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(install, "SYSTEMD", tmp_path / "none")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def systemctl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with systemd, as far as this command sees: a `systemctl` that writes down how it was called."""
    (tmp_path / "bin").mkdir()
    log = tmp_path / "calls"
    script = tmp_path / "bin" / "systemctl"
    script.write_text(
        f'#!/bin/sh\necho "$@" >> {log}\n[ ! -e {tmp_path}/broken ] || {{ echo no bus >&2; exit 1; }}\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(install, "SYSTEMD", tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("IONIAN_HOME", str(tmp_path / "home"))
    return log


UNITS = {
    "user": Unit(["/bin/sh", "server"], "/home/me/.local/share/ionian", False),
    "system": Unit(["/bin/sh", "server", "--port", "4100"], "/var/lib/ionian", True),
    "account": Unit(["/bin/sh", "server"], "/var/lib/ionian", True, "daemon"),
    "odd": Unit(["/bin/sh", 'a b"c%d$e\\f'], "/srv/my ionian", True),
}


@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_the_unit(name: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    path = tmp_path / "ionian.service"
    path.write_text(UNITS[name].text())
    mode = "--system" if UNITS[name].system else "--user"
    done = subprocess.run(
        ["systemd-analyze", mode, "--man=no", "verify", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "ionian" in line]
    assert complaints == []


def test_what_systemd_would_replace_in_a_word_is_escaped() -> None:
    text = UNITS["odd"].text()
    assert 'ExecStart=/bin/sh "a b\\"c%%d$$e\\\\f"' in text
    assert 'Environment="IONIAN_HOME=/srv/my ionian"' in text


def test_a_dry_run_prints_the_unit_and_where_it_would_lie(no_systemd: None, tmp_path: Path) -> None:
    done = ionian_server("install", "--user", "--dry-run", "--port", "4100", "--no-gpu")
    assert done.exit_code == 0
    assert f"# {tmp_path}/config/systemd/user/ionian.service" in done.output
    assert "/ionian server --delegated --host 127.0.0.1 --port 4100 --no-gpu\n" in done.output
    for line in ("Restart=always", "KillMode=mixed", "Delegate=yes", "WantedBy=default.target"):
        assert line in done.output.splitlines()
    assert not (tmp_path / "config").exists()


def test_a_unit_says_where_web_endpoints_and_the_dashboard_are(no_systemd: None) -> None:
    given = ("--web-port", "8080", "--domain", "example.com", "--dashboard-url", "https://ionian.example.com")
    done = ionian_server("install", "--user", "--dry-run", *given)
    assert done.exit_code == 0, done.output
    assert f" --port 0 {' '.join(given)}\n" in done.output
    done = ionian_server("install", "--user", "--dry-run", "--web-host", "0.0.0.0")
    assert done.exit_code == 1
    assert "expected --web-cert and --web-key with --web-host 0.0.0.0" in done.output


def test_a_machine_without_systemd_is_told_what_to_do_instead(no_systemd: None) -> None:
    done = ionian_server("install", "--user")
    assert done.exit_code == 1
    assert "systemd does not run this machine" in done.output
    assert "`ionian server start` starts one until the machine ends" in done.output


def test_a_unit_is_written_started_and_taken_away(systemctl: Path, tmp_path: Path) -> None:
    unit = tmp_path / "config" / "systemd" / "user" / "ionian.service"
    done = ionian_server("install", "--user")
    assert done.exit_code == 0, done.output
    assert f"IONIAN_HOME={tmp_path}/home" in unit.read_text()
    assert ionian_server("uninstall", "--user").exit_code == 0
    assert not unit.exists()
    assert systemctl.read_text().splitlines() == [
        "--user daemon-reload",
        "--user enable --now ionian.service",
        "--user disable --now ionian.service",
        "--user daemon-reload",
    ]
    again = ionian_server("uninstall", "--user")
    assert again.exit_code == 1
    assert f"no server is installed: there is no {unit}" in again.output


def test_what_systemctl_complains_about_is_shown(systemctl: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    done = ionian_server("install", "--user")
    assert done.exit_code == 1
    assert "systemctl --user daemon-reload failed:\nno bus" in done.output


def test_an_account_for_a_unit_of_a_user_is_refused(no_systemd: None) -> None:
    done = ionian_server("install", "--user", "--run-as", "me")
    assert done.exit_code == 2
    assert "--run-as goes with --system" in done.output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["--database", "postgresql://me:hunter2@db/ionian"],
            "--database: expected a URL without a password",
        ),
        (["--database", "postgresql://me@db/x?password=hunter2"], "write the password into ~/.pgpass"),
        (["--host", "0.0.0.0\nUser=root"], "--host: expected printable characters on one line"),
    ],
)
def test_what_a_unit_must_not_hold_is_refused(no_systemd: None, arguments: list[str], text: str) -> None:
    done = ionian_server("install", "--user", "--dry-run", *arguments)
    assert done.exit_code == 2
    assert text in " ".join(done.output.split())
    assert "hunter2" not in done.output
