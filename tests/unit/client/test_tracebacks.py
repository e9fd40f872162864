import traceback
from pathlib import Path

import pytest

from ionian.client.output.tracebacks import describe
from ionian.exception import InvalidError, RemoteError
from ionian.options import FunctionOptions, checked
from ionian.serialization import dump_failure, load_failure


def text(error: BaseException) -> str:
    return "\n".join(line for line, _ in describe(error))


def caught(code: str, name: str = "app.py", **names: object) -> BaseException:
    """The exception of a user's code in a file of this name."""
    try:
        exec(compile(code, name, "exec"), {"__name__": "app", **names})
    except BaseException as error:
        error.__traceback__ = (
            error.__traceback__ and error.__traceback__.tb_next
        )  # this function is no user's
        return error
    raise AssertionError("expected an exception")


def remote(code: str, **names: object) -> BaseException:
    """The same as it comes from a container."""
    return load_failure(dump_failure(caught(code, "/root/app.py", **names), where="ta-01ABC"))


def test_a_mistake_that_ionian_names_is_one_sentence_and_the_users_line(tmp_path: Path):
    path = tmp_path / "app.py"
    path.write_text("x = 1\ncall()\n")

    def call() -> None:
        raise InvalidError("gpu: expected a string, got 3")

    error = caught(path.read_text(), str(path), call=call)
    assert text(error).splitlines()[0] == "Error: gpu: expected a string, got 3"


def test_the_place_of_a_mistake_is_the_users_line_and_not_ours(tmp_path: Path):
    path = tmp_path / "app.py"
    path.write_text("import ionian\napp = ionian.App('a')\napp.function(timeout='soon')\n")
    lines = text(caught(path.read_text(), str(path))).splitlines()
    assert lines[0].startswith("Error: timeout")
    assert lines[1] == f"  at {path}:3: app.function(timeout='soon')"


def test_frames_of_ionian_are_left_out_of_the_users_tracebacks():
    error = caught("def f(): checked(None)\nf()", checked=checked)
    shown = text(error)
    assert 'File "app.py", line 2' in shown
    assert "ionian" not in shown
    assert shown.splitlines()[-1].startswith("TypeError")


def test_everything_is_shown_when_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("IONIAN_TRACEBACK", "1")
    error = caught("checked(None)", checked=checked)
    assert "options.py" in text(error)
    assert text(error) == "".join(traceback.format_exception(error)).rstrip("\n")


def test_a_fault_of_ionian_itself_shows_its_frames():
    with pytest.raises(TypeError) as raised:
        checked(None)  # type: ignore[arg-type]
    error = raised.value
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
    assert "options.py" in text(error)


def test_a_failure_in_a_container_shows_the_users_lines_there():
    shown = text(remote("def f():\n    return 1 / 0\nf()"))
    assert 'File "<ta-01ABC>:/root/app.py", line 2, in f' in shown
    assert shown.splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_causes_are_cleaned_too():
    def ours() -> None:
        FunctionOptions.resources(None)  # type: ignore[arg-type]

    code = "try:\n    ours()\nexcept Exception as e:\n    raise ValueError('mine') from e"
    shown = text(caught(code, ours=ours))
    assert "options.py" not in shown
    assert "direct cause" in shown


def test_an_error_that_only_exists_in_the_container_keeps_its_traceback():
    code = "class Odd(Exception):\n    def __reduce__(self): return 1\nraise Odd('x')"
    error = remote(code)
    assert isinstance(error, RemoteError)
    assert "/root/app.py" in text(error)


def test_a_module_that_lies_here_and_not_there_is_named_with_the_line_to_add(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "core_of_mine.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    error = remote("raise ModuleNotFoundError('No module named core_of_mine', name='core_of_mine.deep')")
    assert "add .add_local_python_source('core_of_mine')" in text(error)


def test_a_package_that_is_installed_here_and_not_there_is_one_to_install():
    error = remote("raise ModuleNotFoundError('No module named click', name='click')")
    assert "add .pip_install('click')" in text(error)


@pytest.mark.parametrize("name", ["nowhere_at_all", "json"])
def test_a_module_that_is_nowhere_gets_no_advice(name: str):
    assert "add ." not in text(remote(f"raise ModuleNotFoundError('No module', name={name!r})"))


def test_a_module_that_is_missing_here_gets_no_advice_about_containers():
    assert "add ." not in text(caught("raise ModuleNotFoundError('No module named click', name='click')"))


def test_the_hint_of_the_container_gives_way_to_the_one_that_knows_this_machine():
    broad = (
        "No module named 'click': the module 'click' is not in this container. If it is a package, install it"
    )
    shown = text(remote(f"raise ModuleNotFoundError({broad!r}, name='click')"))
    assert "If it is a package" not in shown
    assert shown.splitlines()[-2:] == [
        "ModuleNotFoundError: No module named 'click'",
        "'click' is installed here and not in the container: add .pip_install('click') to the function's image.",
    ]


def test_a_relative_import_in_a_file_is_answered_with_the_way_to_run_a_module():
    assert "ionian run -m package.module" in text(caught("from . import x"))
