"""What forks of one template must not have alike, and what they must: random numbers, the environment, open files, pools."""

from __future__ import annotations

import os
import textwrap
from ctypes.util import find_library
from pathlib import Path

import pytest

from .forking import template

OWN = {
    "random": ("import random", "random.random()"),
    "a generator that user code holds": ("import random\nmine = random.Random()", "mine.random()"),
    "a sample drawn from a function": ("from random import random", "random()"),
    "names of temporary files": ("import tempfile\ntempfile.mktemp()", "tempfile.mktemp()"),
    "uuid1's node and clock sequence": ("import uuid\nuuid.uuid1()", "uuid.uuid1().fields[3:]"),
    "uuid4": ("import uuid\nuuid.uuid4()", "str(uuid.uuid4())"),
    "the key of multiprocessing": (
        "import multiprocessing",
        "bytes(multiprocessing.current_process().authkey)",
    ),
    "OpenSSL": ("import ssl\nssl.RAND_bytes(8)", "ssl.RAND_bytes(16)"),
    "secrets": ("import secrets", "secrets.token_hex()"),
    "a seed that was taken back": ("import random\nrandom.seed(1)\nrandom.seed()", "random.random()"),
}


@pytest.mark.parametrize("what", OWN)
def test_each_fork_has_its_own(what: str, tmp_path: Path):
    source, drawn = OWN[what]
    with template(tmp_path, f"{source}\ndef f(): return {drawn}") as made:
        made.prepared()
        assert len({made.fork(ahead=ahead).call() for ahead in (False, True, True)}) == 3


CHOSEN = {
    "random": ("import random\nrandom.seed(7)\nrandom.random()", "random.random()"),
    "a generator": ("import random\nmine = random.Random(7)", "mine.random()"),
    "a function of random": ("from random import seed, random\nseed(7)", "random()"),
}


@pytest.mark.parametrize("what", CHOSEN)
def test_a_seed_of_user_code_counts_as_in_a_container_that_starts_on_its_own(what: str, tmp_path: Path):
    source, drawn = CHOSEN[what]
    names: dict[str, object] = {}
    exec(f"{source}\nexpected = {drawn}", names)
    with template(tmp_path, f"{source}\ndef f(): return {drawn}") as made:
        made.prepared()
        assert [made.fork().call(), made.fork(ahead=True).call()] == [names["expected"]] * 2


ENVIRONMENT = """
    import os, subprocess
    assert "MODAL_TASK_ID" not in os.environ
    seen = os.environ["SHARED"]
    os.environ["SET"] = "by the import"
    os.environ["CHANGED"] = "by the import"
    del os.environ["REMOVED"]

    def f(name):
        # Of Python, and of libc, which a child inherits.
        child = subprocess.run(["sh", "-c", f"echo ${name}"], stdout=subprocess.PIPE, text=True).stdout.strip()
        return os.environ.get(name, ""), child
"""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODAL_TASK_ID", "ta-7"),
        ("SHARED", "own"),
        ("SET", "by the import"),
        ("CHANGED", "by the import"),
        ("REMOVED", ""),
        ("OMP_NUM_THREADS", ""),
        ("MKL_NUM_THREADS", ""),
        ("OPENBLAS_NUM_THREADS", "3"),
        ("NUMEXPR_NUM_THREADS", ""),
        ("TOKENIZERS_PARALLELISM", ""),
    ],
)
def test_a_forks_environment_is_its_own_with_what_the_import_changed(name: str, value: str, tmp_path: Path):
    env = {"SHARED": "template", "CHANGED": "", "REMOVED": "x", "OPENBLAS_NUM_THREADS": "3"}
    with template(tmp_path, ENVIRONMENT, env=env) as made:
        made.prepared()
        assert made.fork("ta-7", SHARED="own").call(name) == (value, value)
        assert made.fork("ta-7", SHARED="own", ahead=True).call(name) == (value, value)


def test_the_folder_is_the_one_that_the_import_went_to(tmp_path: Path):
    (tmp_path / "data").mkdir()
    with template(tmp_path, "import os\nos.chdir('data')\ndef f(): return os.getcwd()") as made:
        made.prepared()
        assert made.fork().call() == str(tmp_path / "data")


def test_a_file_that_is_read_is_read_on_by_each_fork_from_the_same_place(tmp_path: Path):
    (tmp_path / "lines").write_text("header\n1\n2\n3\n")
    source = """
        lines = open("lines", buffering=1)
        header = os.read(lines.fileno(), 7) if (os := __import__("os")) else b""

        def f():
            return os.read(lines.fileno(), 2)
    """
    with template(tmp_path, source) as made:
        made.prepared()
        one, other = made.fork(), made.fork()
        assert [one.call(), one.call(), other.call(), one.call(), other.call()] == [
            b"1\n",
            b"2\n",
            b"1\n",
            b"3\n",
            b"2\n",
        ]


def test_a_log_file_is_appended_to_by_each_fork(tmp_path: Path):
    source = """
        import logging
        logging.basicConfig(filename="app.log", format="%(message)s")
        logging.warning("imported")

        def f(x):
            logging.warning("called with %s", x)
    """
    with template(tmp_path, source) as made:
        made.prepared()
        for x in (1, 2):
            made.fork().call(x)
        assert (tmp_path / "app.log").read_text() == "imported\ncalled with 1\ncalled with 2\n"


def test_a_file_that_is_gone_when_it_is_opened_again_fails_the_fork(tmp_path: Path):
    (tmp_path / "lines").write_text("x")
    with template(tmp_path, "lines = open('lines')\ndef f(): pass") as made:
        made.prepared()
        (tmp_path / "lines").unlink()
        with pytest.raises(FileNotFoundError):
            made.fork()


POOLS = """
    import ctypes, os
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_char_p
    python = os.environ.get("OMP_NUM_THREADS")
    native = libc.getenv(b"OMP_NUM_THREADS"), libc.getenv(b"MKL_NUM_THREADS"), libc.getenv(b"OPENBLAS_NUM_THREADS")

    def f():
        return python, native, libc.getenv(b"OMP_NUM_THREADS")
"""


def test_native_libraries_see_one_thread_in_the_template_and_python_its_containers_number(tmp_path: Path):
    with template(tmp_path, POOLS, env={"OMP_NUM_THREADS": "5"}) as made:
        made.prepared()
        assert made.fork().call() == ("5", (b"1", b"1", b"5"), b"5")


FAKE_TORCH = """
numbers = []
def set_num_threads(number): numbers.append(number)
def get_num_threads(): return numbers[-1]
class default_generator:
    initial_seed = staticmethod(lambda: {seed})
    seed = staticmethod(lambda: numbers.append("seeded"))
"""


@pytest.mark.parametrize(
    ("then", "seed", "numbers"),
    [
        ("", 1 << 40, ["seeded", len(os.sched_getaffinity(0))]),
        ("", 42, [len(os.sched_getaffinity(0))]),
        ("torch.set_num_threads(1)", 42, [1, 1]),
    ],
)
def test_torch_has_its_number_of_threads_and_its_numbers_but_what_user_code_chose(
    then: str, seed: int, numbers: list[object], tmp_path: Path
):
    (tmp_path / "torch.py").write_text(FAKE_TORCH.format(seed=seed))
    with template(tmp_path, f"import torch\n{then}\ndef f(): return torch.numbers") as made:
        made.prepared()
        assert [made.fork().call(), made.fork(ahead=True).call()] == [numbers] * 2


@pytest.mark.parametrize(("then", "numbers"), [("", [1, -1]), ("cv2.setNumThreads(3)", [1, 3])])
def test_opencv_has_one_thread_in_the_template_alone_but_what_user_code_chose(
    then: str, numbers: list[int], tmp_path: Path
):
    (tmp_path / "cv2.py").write_text("numbers = []\ndef setNumThreads(number): numbers.append(number)")
    with template(tmp_path, f"import cv2\n{then}\ndef f(): return cv2.numbers") as made:
        made.prepared()
        assert made.fork().call() == numbers


def test_a_module_that_is_waited_for_does_not_know_it(tmp_path: Path):
    (tmp_path / "torch.py").write_text(FAKE_TORCH.format(seed=1))
    source = """
        import importlib, inspect, torch
        kind = type(torch.__loader__).__name__, type(torch.__spec__.loader).__name__
        source = inspect.getsource(torch)[:12]

        def f():
            return kind, source, importlib.reload(torch) is torch
    """
    with template(tmp_path, source) as made:
        made.prepared()
        assert made.fork().call() == (("SourceFileLoader",) * 2, "\nnumbers = []"[:12], True)


FAKE_TQDM = """
import multiprocessing, threading, time

class TqdmDefaultWriteLock:
    def __init__(self):
        if not hasattr(type(self), "mp_lock"):
            type(self).mp_lock = multiprocessing.RLock()

class tqdm:
    monitor_interval = 10

    def __init__(self):
        if not hasattr(tqdm, "_lock"):
            tqdm._lock = TqdmDefaultWriteLock()
        if tqdm.monitor_interval:
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
"""


def test_a_progress_bar_at_import_is_no_reason_and_one_in_a_fork_is_whole(tmp_path: Path):
    (tmp_path / "tqdm").mkdir()
    (tmp_path / "tqdm" / "__init__.py").touch()
    (tmp_path / "tqdm" / "std.py").write_text(FAKE_TQDM)
    source = """
        import threading
        from tqdm.std import tqdm
        tqdm()

        def f():
            tqdm()
            return tqdm._lock.mp_lock is not None, threading.active_count()
    """
    with template(tmp_path, source) as made:
        made.prepared()
        assert made.fork().call() == (True, 2)


def test_the_handlers_of_signals_are_those_of_the_import(tmp_path: Path):
    source = """
        import signal
        def ours(*_): pass
        signal.signal(signal.SIGCHLD, ours)
        signal.signal(signal.SIGHUP, ours)
        def f(): return [signal.getsignal(n).__name__ for n in (signal.SIGCHLD, signal.SIGHUP)]
    """
    with template(tmp_path, source) as made:
        made.prepared()
        assert made.fork().call() == ["ours", "ours"]


OPENMP = """
    import ctypes
    gomp = ctypes.CDLL("libgomp.so.1")

    def computes():
        ran = []
        region = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(ran.append)
        gomp.GOMP_parallel(region, None, 0, 0)
        return len(ran)

    at_import = computes()

    def f():
        return at_import, computes()
"""


@pytest.mark.skipif(not find_library("gomp"), reason="no libgomp here")
@pytest.mark.parametrize("at_once", [1, 2])
def test_openmp_computes_in_a_fork_of_a_template_in_which_it_has_computed(at_once: int, tmp_path: Path):
    with template(tmp_path, OPENMP, env={"OMP_NUM_THREADS": "3"}, max_inputs=at_once) as made:
        made.prepared()
        assert made.prove() == "Proved"
        assert made.fork().calls(2) == [(1, 3)] * 2
        assert made.fork().calls(2) == [(1, 3)] * 2


@pytest.mark.skipif(not find_library("gomp"), reason="no libgomp here")
def test_a_pool_that_user_code_gave_threads_and_used_is_a_reason(tmp_path: Path):
    source = "import os\nos.environ['OMP_NUM_THREADS'] = '3'\n" + textwrap.dedent(OPENMP)
    with template(tmp_path, source) as made:
        assert made.unfit().startswith("its import leaves 2 native threads running (python")
