"""Each case runs in a Python of its own: what is tried is what becomes of `__main__`."""

import subprocess
import sys
from pathlib import Path

import pytest

from ionian.client.entry import script_name
from ionian.exception import InvalidError

CLASSES = """
import dataclasses, enum, pickle, sys, typing

@dataclasses.dataclass
class Doc:
    text: str

class Colour(enum.Enum):
    RED = 1

class Pair(typing.NamedTuple):
    a: int

class Custom(Exception):
    pass

class Outer:
    class Inner:
        pass

    def method(self): ...

def function(): ...
"""

CHECK = """
for value in (Doc("x"), Colour.RED, Pair(1), Custom("no"), Outer.Inner(), function):
    data = pickle.dumps(value, 4)
    assert b"\\x08__main__" not in data, data
    assert b"NAME" in data, data
    assert type(pickle.loads(data)) is type(value)
assert sys.modules["NAME"] is sys.modules["__main__"]
assert isinstance(pickle.loads(pickle.dumps(Custom("no"))), Custom)
print("good")
"""

ADOPT = "from ionian.client.entry import adopt_main; adopt_main()\n"


def python(*argv: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, *argv], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def write(folder: Path, name: str, text: str, module: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace("NAME", module))
    return path


def test_what_a_plain_script_defines_is_pickled_by_its_import_name(tmp_path: Path):
    write(tmp_path, "script.py", CLASSES + ADOPT + CHECK, "script")
    assert python("script.py", folder=tmp_path) == "good\n"


def test_what_a_module_run_by_dash_m_defines_is_pickled_by_its_dotted_name(tmp_path: Path):
    write(tmp_path, "pack/__init__.py", "", "")
    write(tmp_path, "pack/other.py", "value = 3", "")
    write(tmp_path, "pack/mod.py", "from .other import value\n" + CLASSES + ADOPT + CHECK, "pack.mod")
    assert python("-m", "pack.mod", folder=tmp_path) == "good\n"


def test_a_package_run_by_dash_m_is_its_main_module(tmp_path: Path):
    write(tmp_path, "pack/__init__.py", "", "")
    write(tmp_path, "pack/__main__.py", CLASSES + ADOPT + CHECK, "pack.__main__")
    assert python("-m", "pack", folder=tmp_path) == "good\n"


def test_a_folder_run_as_a_script_has_the_name_of_the_folder(tmp_path: Path):
    write(tmp_path, "tool/__main__.py", CLASSES + ADOPT + CHECK, "tool")
    assert python("tool", folder=tmp_path) == "good\n"


@pytest.mark.parametrize(
    ("call", "name"), [("load_file(Path('app.py'))", "app"), ("load_module('pack.mod')", "pack.mod")]
)
def test_a_loaded_module_stands_under_both_names(tmp_path: Path, call: str, name: str):
    write(tmp_path, "app.py", CLASSES + CHECK, "app")
    write(tmp_path, "pack/__init__.py", "", "")
    write(tmp_path, "pack/mod.py", CLASSES, "")
    code = f"from pathlib import Path; from ionian.client.entry import *; module = {call}; import sys; "
    code += f"assert sys.modules['__main__'] is module is sys.modules['{name}'], name; print(module.__name__)"
    out = python("-c", code, folder=tmp_path)
    assert out.splitlines()[-1] == name, out


def test_a_loaded_file_is_not_main_to_itself(tmp_path: Path):
    write(tmp_path, "app.py", "if __name__ == '__main__': print('main')\nprint(__name__)", "")
    code = "from pathlib import Path; from ionian.client.entry import *; load_file(Path('app.py'))"
    assert python("-c", code, folder=tmp_path) == "app\n"


@pytest.mark.parametrize("call", ["execute_file(Path('script.py'))", "execute_module('script')"])
def test_an_executed_script_is_main_and_has_its_arguments(tmp_path: Path, call: str):
    write(tmp_path, "beside.py", "value = 7", "")
    main = "import sys, beside\nif __name__ == '__main__': print(sys.argv[1:], beside.value)\n"
    write(tmp_path, "script.py", main + CLASSES + ADOPT + CHECK, "script")
    code = "import sys; from pathlib import Path; from ionian.client.entry import *; sys.argv = ['script.py', '--x']; "
    assert python("-c", code + call, folder=tmp_path) == "['--x'] 7\ngood\n"


def test_what_stands_below_the_run_keeps_main_for_its_module_and_so_goes_by_value(tmp_path: Path):
    write(tmp_path, "script.py", ADOPT + "class Late: pass\n" + ADOPT + "print(Late.__module__)", "")
    assert python("script.py", folder=tmp_path) == "__main__\n"


def test_a_tool_that_runs_the_users_code_is_left_alone(tmp_path: Path):
    write(
        tmp_path,
        "pytest",
        "import sys\nclass A: pass\n" + ADOPT + "print(A.__module__, 'pytest' in sys.modules)",
        "",
    )
    assert python("pytest", folder=tmp_path) == "__main__ False\n"


def test_a_prompt_has_no_import_name(tmp_path: Path):
    code = "from ionian.client.entry import *; adopt_main(); print(repr(import_name('__main__')), import_name('a.b'))"
    assert python("-c", code, folder=tmp_path) == "'' a.b\n"


@pytest.mark.parametrize("name", ["random.py", "a.b.py"])
def test_a_script_whose_name_cannot_be_imported_is_refused_with_a_better_one(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_text("")
    with pytest.raises(InvalidError, match="rename it"):
        script_name(path)


def test_a_missing_file_and_a_missing_module_are_named(tmp_path: Path):
    with pytest.raises(InvalidError, match=r"no file .*nowhere\.py"):
        script_name(tmp_path / "nowhere.py")
    code = "from ionian.client.entry import *; load_module('nowhere.at.all')"
    assert "InvalidError: no module named 'nowhere'" in python("-c", code, folder=tmp_path)


def test_what_exists_here_only_is_sent_by_value(tmp_path: Path):
    late = "class Late:\n    value = 7\n"
    send = "from ionian.serialization import dumps\nopen('value', 'wb').write(dumps([Late(), Late]))"
    write(tmp_path, "script.py", ADOPT + late + send, "")
    assert python("script.py", folder=tmp_path) == ""
    code = "from ionian.serialization import loads; print(loads(open('value', 'rb').read())[0].value)"
    assert python("-c", code, folder=tmp_path) == "7\n"
