"""Forks of a template: each is a container of its own, and goes on where the template stands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cloudpickle
import pytest

from ionian import parameters

from .forking import template

CLASS = """
    import asyncio, os, modal

    app = modal.App()
    ran = []

    @app.cls(enable_memory_snapshot=True)
    class C:
        name: str = modal.parameter(default="none")

        @modal.enter(snap=True)
        async def load(self):
            self.loop = asyncio.get_running_loop()
            ran.append(("snap", self.name, os.getpid()))

        @modal.enter()
        async def connect(self):
            ran.append(("enter", self.loop.is_closed(), os.getpid()))

        @modal.method()
        def seen(self):
            return ran

        @modal.exit()
        def leave(self):
            print("left", os.environ["MODAL_TASK_ID"])
"""


def test_a_fork_runs_inputs_with_what_the_template_has_imported(tmp_path: Path):
    source = """
        import os
        imported_by = os.getpid()

        def f(x):
            return x + 1, imported_by, os.getpid()
    """
    with template(tmp_path, source) as made:
        assert set(made.prepared()["seconds"]) == {"imports"}
        one, other = made.fork(), made.fork()
        assert one.call(1) == (2, made.process.pid, one.pid)
        assert other.call(2) == (3, made.process.pid, other.pid)
        one.end()
        other.end()


def test_memory_is_each_forks_own(tmp_path: Path):
    source = """
        seen = []

        def f(x):
            seen.append(x)
            return seen
    """
    with template(tmp_path, source) as made:
        made.prepared()
        one, other = made.fork(), made.fork()
        assert one.call(1) == [1]
        assert other.call(2) == [2]
        assert made.fork().call(3) == [3]


def test_a_class_is_made_and_its_snapshot_hooks_run_once_for_all_forks(tmp_path: Path):
    with template(tmp_path, CLASS, "C", is_class=True, snapshot=True) as made:
        assert set(made.prepared()["seconds"]) == {"imports", "enter"}
        for fork in (made.fork(), made.fork()):
            assert fork.call(method="seen") == [
                ("snap", "none", made.process.pid),
                ("enter", True, fork.pid),
            ]


def test_without_a_snapshot_all_hooks_run_in_the_fork(tmp_path: Path):
    source = CLASS.replace("self.loop.is_closed()", "self.loop is asyncio.get_running_loop()")
    with template(tmp_path, source, "C", is_class=True) as made:
        made.prepared()
        fork = made.fork()
        assert fork.call(method="seen") == [("snap", "none", fork.pid), ("enter", True, fork.pid)]


def test_the_parameters_of_a_class_are_there_in_its_snapshot_hooks(tmp_path: Path):
    arguments = parameters.encoded({"name": "Ada"})
    with template(tmp_path, CLASS, "C", is_class=True, snapshot=True, arguments=arguments) as made:
        made.prepared()
        assert made.fork().call(method="seen")[0] == ("snap", "Ada", made.process.pid)


def test_without_a_snapshot_forks_of_one_template_are_made_with_parameters_of_their_own(tmp_path: Path):
    with template(tmp_path, CLASS, "C", is_class=True) as made:
        made.prepared()
        for name in ("Ada", "Alan"):
            fork = made.fork(arguments=parameters.encoded({"name": name}))
            assert fork.call(method="seen")[0] == ("snap", name, fork.pid)


def test_what_runs_at_the_end_runs_in_each_fork_and_not_in_the_template(tmp_path: Path):
    source = CLASS + "\n    import atexit\n    atexit.register(lambda: print('atexit'))\n"
    with template(tmp_path, source, "C", is_class=True, snapshot=True) as made:
        made.prepared()
        one, other = made.fork("ta-1"), made.fork("ta-2")
        assert one.end() == "left ta-1\natexit\n"
        assert other.end() == "left ta-2\natexit\n"
        made.control.close()
        made.process.wait(20)
        assert made.printed() == ""


def test_what_the_import_prints_is_printed_once(tmp_path: Path):
    source = """
        import sys
        sys.stdout.write("imported")

        def f():
            print("called")
    """
    with template(tmp_path, source) as made:
        made.prepared()
        fork = made.fork()
        fork.call()
        assert fork.end() == "called\n"
        assert made.printed() == "imported"


def test_a_module_that_enters_app_run_is_forked_there(tmp_path: Path):
    source = """
        import modal
        app = modal.App()

        @app.function()
        def f():
            return "called"

        with app.run():
            print(f.remote())
    """
    with template(tmp_path, source) as made:
        made.prepared()
        assert [made.fork().call(), made.fork().call()] == ["called", "called"]


def by_value(function: Callable[..., object]) -> bytes:
    here = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(here)
    try:
        return cloudpickle.dumps(function)
    finally:
        cloudpickle.unregister_pickle_by_value(here)


def test_a_serialized_function_is_forked(tmp_path: Path):
    held: list[int] = []

    def f(x: int) -> list[int]:
        held.append(x)
        return held

    (tmp_path / "function.pickle").write_bytes(by_value(f))
    with template(tmp_path, "", serialized=str(tmp_path / "function.pickle")) as made:
        made.prepared()
        assert made.fork().call(1) == [1]
        assert made.fork().call(2) == [2]


def test_a_failed_import_is_told_as_a_container_tells_it(tmp_path: Path):
    with (
        template(tmp_path, "raise ValueError('no model')") as made,
        pytest.raises(ValueError, match="no model"),
    ):
        made.prepared()


def test_a_hook_that_fails_in_a_fork_fails_that_fork_alone(tmp_path: Path):
    source = CLASS.replace("self.loop.is_closed()", "1 / (os.environ['MODAL_TASK_ID'] != 'ta-bad')")
    with template(tmp_path, source, "C", is_class=True, snapshot=True) as made:
        made.prepared()
        with pytest.raises(ZeroDivisionError):
            made.fork("ta-bad")
        assert made.fork("ta-good").call(method="seen")[1][0] == "enter"


def test_user_code_of_a_fork_reaches_the_server(tmp_path: Path):
    source = """
        import modal

        def f():
            from ionian import link
            from ionian.protocol.messages import FindBlobs
            link.current().post(FindBlobs(["a"]))
    """
    with template(tmp_path, source) as made:
        made.prepared()
        fork = made.fork()
        fork.call()
        assert fork.side.hear()[:2] == ("FindBlobs", {"digests": ["a"]})


def test_a_fork_that_computes_is_proof(tmp_path: Path):
    with template(tmp_path, "def f(): pass") as made:
        made.prepared()
        assert made.prove() == "Proved"
        assert made.fork().call() is None


FAKE_NUMPY = """
class Matrix:
    def __matmul__(self, other):
        {computes}

def ones(shape):
    return Matrix()
"""


def test_a_fork_that_hangs_or_computes_wrong_is_none(tmp_path: Path):
    fakes = {"": "import time; time.sleep(60)", "Failed": "return {(0, 0): 7}"}
    for said, computes in fakes.items():
        (tmp_path / "numpy.py").write_text(FAKE_NUMPY.format(computes=computes))
        with template(tmp_path, "import numpy\ndef f(): pass") as made:
            made.prepared()
            assert made.prove(limit_s=1) == said


def test_objects_of_the_template_are_left_out_of_a_forks_collections(tmp_path: Path):
    source = "import gc\ndef f(): return gc.get_freeze_count() > 1000, gc.isenabled()"
    with template(tmp_path, source) as made:
        made.prepared()
        assert made.fork().call() == (True, True)


def test_collections_that_user_code_has_turned_off_stay_off(tmp_path: Path):
    with template(tmp_path, "import gc\ngc.disable()\ndef f(): return gc.isenabled()") as made:
        made.prepared()
        assert made.fork().call() is False


def test_several_inputs_run_at_once_in_a_fork(tmp_path: Path):
    source = """
        import threading
        both = threading.Barrier(2)

        def f():
            both.wait(20)
            return threading.current_thread().name
    """
    with template(tmp_path, source, max_inputs=2) as made:
        made.prepared()
        fork = made.fork()
        assert sorted(fork.calls(2)) == ["ionian-input-1", "ionian-input-2"]


def test_what_a_fork_rehearses_ahead_is_seen_by_nobody(tmp_path: Path):
    source = """
        import os
        print("imported")

        def f():
            return [len(os.listdir(f"/proc/self/{of}")) for of in ("fd", "task")]
    """
    with template(tmp_path, source) as made:
        made.prepared()
        one, other = made.fork(), made.fork(ahead=True)
        assert one.call() == other.call()
        assert (one.end(), other.end()) == ("", "")
        assert made.printed() == "imported\n"


def test_no_input_runs_where_a_container_that_was_made_ahead_begins(tmp_path: Path):
    source = """
        import modal, os
        seen = []

        class At:
            def __init__(self): seen.append(modal.current_input_id())

        os.register_at_fork(after_in_child=At)

        @modal.App().cls()
        class C:
            @modal.enter()
            def enter(self): seen.append(modal.current_input_id())

            @modal.method()
            def f(self): return seen + [modal.current_input_id()]
    """
    with template(tmp_path, source, "C", is_class=True) as made:
        made.prepared()
        before, entered, now = made.fork(ahead=True).call(method="f")
        assert (before, entered) == (None, None)
        assert now


def test_a_template_without_a_worker_ends(tmp_path: Path):
    with template(tmp_path, "def f(): pass") as made:
        made.prepared()
        made.control.close()
        assert made.process.wait(20) == 0


def test_nothing_of_a_template_is_imported_by_a_container_that_starts_on_its_own():
    program = "import sys, ionian.container.agent; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    own = {
        "template",
        "fitness",
        "pools",
        "reseed",
        "native",
        "after_import",
        "surroundings",
        "files",
        "canary",
    }
    assert not {f"ionian.container.{name}" for name in own} & set(done.stdout.split())
