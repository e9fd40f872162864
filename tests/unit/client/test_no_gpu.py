from __future__ import annotations

import pytest

from ionian.client import no_gpu
from ionian.exception import InvalidError


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ("/venv/bin/python3 /venv/bin/ionian run app.py", "ionian run --no-gpu app.py"),
        ("python ionian run -q app.py::f --n 3", "ionian run --no-gpu -q app.py::f --n 3"),
        ("python ionian python script.py 1", "ionian python --no-gpu script.py 1"),
        ("/usr/bin/python3 script.py x", "IONIAN_GPU=ignore python3 script.py x"),
        ("python -m pytest", "IONIAN_GPU=ignore python -m pytest"),
    ],
)
def test_the_line_that_runs_it_without_is_the_one_that_was_typed(argv: str, line: str) -> None:
    assert no_gpu.command_line(argv.split()) == line


def test_words_with_blanks_are_quoted() -> None:
    argv = ["python", "/bin/ionian", "run", "app.py", "--text", "two words"]
    assert no_gpu.command_line(argv) == "ionian run --no-gpu app.py --text 'two words'"


def test_the_setting_is_ignore_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IONIAN_GPU", "")
    assert not no_gpu.ignored()
    no_gpu.ignore()
    assert no_gpu.ignored()
    monkeypatch.setenv("IONIAN_GPU", "off")
    with pytest.raises(InvalidError, match="expected \"ignore\" or nothing, got 'off'"):
        no_gpu.ignored()
