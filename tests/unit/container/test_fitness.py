"""A template says in a line why no container can be forked from it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from .forking import template

FUNCTION = "\ndef f():\n    return 1\n"

UNFIT = {
    "a thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), name='poll', daemon=True).start()",
        "its import starts a thread (poll of module time)",
    ),
    "a thread without an object": (
        "import _thread, threading\ngo = threading.Event()\n_thread.start_new_thread(go.wait, ())\n"
        "import sys\nwhile len(sys._current_frames()) < 2: pass",
        "its import starts a thread (of module threading)",
    ),
    "a process": (
        "import subprocess\nchild = subprocess.Popen(['sleep', '60'])",
        "its import leaves a process running (sleep)",
    ),
    "the resource tracker of multiprocessing": (
        "from multiprocessing import resource_tracker\nresource_tracker.ensure_running()",
        "its import leaves a process running (python",
    ),
    "a socket": (
        "import socket\nsock = socket.socket()",
        "its import keeps a socket open",
    ),
    "a file": (
        "log = open('app.log', 'w')",
        "its import keeps the file {folder}/app.log open",
    ),
    "a pipe": (
        "import os\npipe = os.pipe()",
        "its import keeps a pipe open",
    ),
    "another standard output": (
        "import os\nlog = os.open('app.log', os.O_CREAT | os.O_WRONLY)\nos.dup2(log, 1)\nos.close(log)",
        "its import puts another file in place of its standard output",
    ),
    "an event loop": (
        "import asyncio\nloop = asyncio.new_event_loop()",
        "its import keeps an event loop, which can't be shared",
    ),
    "a lock of multiprocessing": (
        "import multiprocessing\nlock = multiprocessing.get_context('fork').Lock()",
        "its import makes a lock or semaphore of multiprocessing, which all its containers would share",
    ),
    "shared memory": (
        "import mmap\nmemory = mmap.mmap(-1, 4096)",
        "its import maps memory that all its containers would share (/dev/zero (deleted))",
    ),
    "a timer": (
        "import signal\nsignal.alarm(60)",
        "its import sets a timer (signal.alarm or setitimer), which a fork does not have",
    ),
    "a native thread": (
        "import faulthandler\nfaulthandler.dump_traceback_later(60)",
        "its import leaves a native thread running (",
    ),
    "a request": (
        "from ionian import link\nlink.current()",
        "its import asks something of the server",
    ),
}


@pytest.mark.parametrize("what", UNFIT)
def test_what_a_fork_can_not_have_is_named(what: str, tmp_path: Path):
    source, reason = UNFIT[what]
    with template(tmp_path, source + FUNCTION) as made:
        assert made.unfit().startswith(reason.format(folder=tmp_path))


FIT = {
    "a thread that has ended": "import threading\nt = threading.Thread(target=int)\nt.start()\nt.join()",
    "a process that has ended": "import subprocess\nsubprocess.run(['true'])",
    "a file that is closed": "open('app.log', 'a').write('x')",
    "memory of its own": "import mmap\nmemory = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE)",
    "a file mapped for reading": "import mmap\nopen('data', 'w').write('x')\nwith open('data') as file:\n"
    "    memory = mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)",
    "a database in memory": "import sqlite3\ndb = sqlite3.connect(':memory:')",
    "an event loop that is closed": "import asyncio\nasyncio.run(asyncio.sleep(0))",
    "a held lock": "import threading\nlock = threading.RLock()\nlock.acquire()",
    "pools that are not used yet": "import concurrent.futures\npool = concurrent.futures.ThreadPoolExecutor()",
    "a native thread that a fork does well without": (
        "import faulthandler, os\nfaulthandler.dump_traceback_later(60)\n"
        "(task,) = set(os.listdir('/proc/self/task')) - {str(os.getpid())}\n"
        "open(f'/proc/self/task/{task}/comm', 'w').write('jemalloc_bg_thd')"
    ),
    "a held lock of logging": "import logging\nlogging._lock.acquire()",
    "a device without a state": "import os\nnull = open(os.devnull, 'w')",
}


@pytest.mark.parametrize("what", FIT)
def test_what_a_fork_has_a_copy_of_is_no_reason(what: str, tmp_path: Path):
    with template(tmp_path, FIT[what] + FUNCTION) as made:
        made.prepared()
        fork = made.fork()
        assert fork.call() == 1
        fork.end()


def test_a_connection_is_named_by_where_it_leads(tmp_path: Path):
    source = (
        "import os, socket\nsock = socket.create_connection(('127.0.0.1', int(os.environ['PORT'])))"
        + FUNCTION
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        with template(tmp_path, source, env={"PORT": port}) as made:
            assert made.unfit() == f"its import keeps a socket (to 127.0.0.1:{port}) open"


def test_what_an_import_reads_in_a_volume_may_change_for_later_containers(tmp_path: Path):
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "settings.json").write_text("{}")
    source = f"text = open('{volume}/settings.json').read()" + FUNCTION
    with template(tmp_path, source, volumes=[str(volume)]) as made:
        assert made.unfit() == (
            f"its import reads {volume}/settings.json, which lies in a volume and may change"
        )
    with template(tmp_path, source, volumes=[str(volume)], snapshot=True) as made:
        made.prepared()
    with template(tmp_path, source, volumes=[f"{volume}/settings"]) as made:
        made.prepared()


def test_a_file_that_is_deleted_has_no_other_way_in(tmp_path: Path):
    source = "import tempfile\nfile = tempfile.TemporaryFile(dir='.')" + FUNCTION
    with template(tmp_path, source) as made:
        assert made.unfit().startswith(f"its import keeps the file {tmp_path}/")


def test_an_open_database_is_named_by_its_file(tmp_path: Path):
    source = "import sqlite3\ndb = sqlite3.connect('my.db')\ndb.execute('create table t (x)')" + FUNCTION
    with template(tmp_path, source) as made:
        assert made.unfit() == f"its import keeps the file {tmp_path}/my.db open"


ASKS_FOR_A_GPU = {
    "torch": "import torch.cuda\ndevice = torch.cuda.is_available()",
    "the driver": "import ctypes\ntry: ctypes.CDLL('libnvidia-ml.so.1')\nexcept OSError: pass",
    "its command": "import subprocess\ntry: subprocess.run(['nvidia-smi'])\nexcept OSError: pass",
    "its device": "try: open('/dev/nvidiactl')\nexcept OSError: pass",
}


@pytest.mark.parametrize("what", ASKS_FOR_A_GPU)
def test_a_gpu_that_is_asked_for_is_a_reason_where_containers_have_one(what: str, tmp_path: Path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(
        "def set_num_threads(number): pass\ndefault_generator = None"
    )
    questions = "def is_available(): return False\n_lazy_init = device_count = is_available"
    (tmp_path / "torch" / "cuda.py").write_text(questions)
    with template(tmp_path, ASKS_FOR_A_GPU[what] + FUNCTION, has_gpu=True) as made:
        assert made.unfit() == "its import asks for a GPU, which a template does not have"
    with template(tmp_path, ASKS_FOR_A_GPU[what] + FUNCTION) as made:
        made.prepared()


def test_a_package_that_looks_for_a_gpu_is_named_where_containers_have_one(tmp_path: Path):
    (tmp_path / "cupy.py").touch()
    with template(tmp_path, "import cupy" + FUNCTION, has_gpu=True) as made:
        assert made.unfit() == "its import takes in cupy, which looks for a GPU, and a template has none"


def test_an_import_of_torch_alone_is_no_reason_for_a_function_with_gpus(tmp_path: Path):
    (tmp_path / "torch.py").write_text("def set_num_threads(number): pass\ndefault_generator = None")
    with template(tmp_path, "import torch" + FUNCTION, has_gpu=True) as made:
        made.prepared()


def test_a_thread_of_a_snapshot_hook_is_said_to_be_its(tmp_path: Path):
    source = """
        import threading, time, modal

        @modal.App().cls(enable_memory_snapshot=True)
        class C:
            @modal.enter(snap=True)
            def start(self):
                threading.Thread(target=time.sleep, args=(60,), name="beat", daemon=True).start()

            @modal.method()
            def f(self):
                pass
    """
    with template(tmp_path, source, "C", is_class=True, snapshot=True) as made:
        assert made.unfit() == "its @enter(snap=True) starts a thread (beat of module time)"


def test_a_task_that_a_snapshot_hook_leaves_is_a_reason(tmp_path: Path):
    source = """
        import asyncio, modal

        @modal.App().cls(enable_memory_snapshot=True)
        class C:
            @modal.enter(snap=True)
            async def start(self):
                self.task = asyncio.create_task(asyncio.sleep(60))

            @modal.method()
            def f(self):
                pass
    """
    with template(tmp_path, source, "C", is_class=True, snapshot=True) as made:
        assert made.unfit() == "its @enter(snap=True) leaves a task running on the event loop"
