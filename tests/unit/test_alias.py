"""`import modal` means Ionian: the very same modules, whatever is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ionian
from ionian import alias

SOURCE = str(Path(ionian.__file__).parent.parent)


def python(program: str, *, path: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a Python of its own; `path` lies behind Ionian on its path."""
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (SOURCE, path))), **environment}
    command = (sys.executable, "-S", "-c", program)
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def prints(program: str, *, path: str = "", **environment: str) -> str:
    done = python(program, path=path, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_modal_and_its_submodules_are_those_of_ionian() -> None:
    program = """
import ionian; ionian.install_alias(); ionian.install_alias()
import modal, modal.exception, modal.functions, modal.gpu as gpu, sys
from modal.environments import Environment
from modal.functions import Function, FunctionCall
from modal.volume import Volume
assert (Environment, Function, FunctionCall) == (ionian.Environment, ionian.Function, ionian.FunctionCall)
assert modal is ionian and sys.modules["modal"] is ionian
assert modal.exception is ionian.exception and gpu is ionian.gpu and modal.functions is ionian.functions
assert Volume is ionian.Volume
assert ionian.__spec__.name == ionian.__name__ == "ionian" and modal.exception.__spec__.name == "ionian.exception"
print(modal.__version__)
"""
    assert prints(program).startswith("1.6.4+ionian.")


def test_an_installed_modal_is_hidden_and_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "modal").mkdir()
    (tmp_path / "modal" / "__init__.py").write_text("raise SystemExit('the installed one')")
    (tmp_path / "modal" / "only_theirs.py").write_text("")
    program = "import ionian; ionian.install_alias(); import modal; assert modal is ionian"
    done = python(program, path=str(tmp_path))
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1)
    assert "is not used" in done.stderr
    done = python(f"{program}; import modal.only_theirs", path=str(tmp_path))
    assert "No module named 'modal.only_theirs': modal is Ionian here" in done.stderr


def test_another_modal_that_is_imported_already_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "modal.py").write_text("")
    done = python("import modal, ionian; ionian.install_alias()", path=str(tmp_path))
    assert "before it is" in done.stderr.splitlines()[-1]


def test_a_submodule_that_comes_later_says_so() -> None:
    done = python("import ionian; ionian.install_alias(); import modal.billing")
    assert done.stderr.splitlines()[-1].endswith("it comes with workspaces and usage")


def test_what_is_pickled_never_names_modal_and_what_names_it_is_found() -> None:
    program = """
import ionian, pickle; ionian.install_alias()
import modal
data = pickle.dumps(modal.exception.NotFoundError("x"))
assert b"modal" not in data
assert type(pickle.loads(b"cmodal.exception\\nNotFoundError\\n(tR.")) is ionian.exception.NotFoundError
"""
    prints(program)


def test_the_line_of_the_pth_file_does_it_where_the_variable_is_set() -> None:
    program = f"{alias.PTH}\ntry:\n    import modal\n    print(modal.__name__)\nexcept ImportError:\n    print('none')"
    assert prints(program, IONIAN_AS_MODAL="1") == "ionian"
    assert prints(program, IONIAN_AS_MODAL="") == "none"
    assert (Path(SOURCE) / "ionian_alias.pth").read_text() == alias.PTH


def test_the_pth_file_lies_among_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))  # pyright: ignore
    assert Path(alias.write_pth()) == tmp_path / "ionian_alias.pth"
    assert (tmp_path / "ionian_alias.pth").read_text() == alias.PTH


def test_a_retired_stub_is_an_app() -> None:
    with pytest.warns(ionian.exception.DeprecationError, match=r"modal\.App"):
        assert ionian.Stub is ionian.App
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = ionian.no_such_name
