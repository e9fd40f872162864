"""Processes, signals and threads in a container, from `ionian run`: prints what it saw as one line of JSON."""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import modal

app = modal.App("processes")


def square(n: int) -> int:
    return n * n


def told(n: int) -> list[object]:
    import modal

    return [modal.is_local(), modal.__name__, square(n)]


@app.function(max_containers=1)
def increment(n: int) -> int:
    return n + 1


@app.function(max_containers=1)
def pool(kind: str) -> list[object]:
    context = multiprocessing.get_context(kind)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        return [list(executor.map(square, range(4))), list(executor.map(told, [2]))]


@app.function(max_containers=1)
def child(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.stdout + done.stderr


@app.function()
def signals() -> list[object]:
    got: list[object] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: got.append(signal.Signals(number).name))
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGALRM, lambda number, frame: got.append(signal.Signals(number).name))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    signal.pause()
    thread = threading.Thread(
        target=lambda: got.append(threading.current_thread() is threading.main_thread())
    )
    thread.start()
    thread.join()
    got.append(threading.current_thread() is threading.main_thread())
    return got


@app.function()
def forked() -> list[object]:
    """What a forked child is told when it calls out, and that its parent still can."""
    read, write = os.pipe()
    if os.fork() == 0:
        try:
            os.write(write, str(increment.remote(1)).encode())
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.wait()
    return [os.read(read, 1000).decode(), increment.remote(2)]


@app.function(max_containers=1)
def without_streams() -> int:
    sys.stdout.close()
    sys.stderr = None  # type: ignore[assignment]
    return os.getpid()


@app.function(max_containers=1)
def bare(n: int) -> int:
    """Leaves a process behind, which its container ends with."""
    subprocess.Popen(["sleep", "1000"])
    return n


def ask(n: int) -> int:
    return increment.remote(n)


@app.local_entrypoint()
def main() -> None:
    seen: dict[str, object] = {kind: pool.remote(kind) for kind in ("fork", "spawn", "forkserver")}
    seen["child"] = child.remote("import ionian, modal; print(ionian is modal, modal.is_local())")
    seen["child, user's module"] = child.remote("import processes; print(processes.square(3))")
    seen["child calls"] = child.remote("import ionian.link; ionian.link.current()")
    seen["signals"] = signals.remote()
    seen["forked"] = forked.remote()
    seen["without streams"] = [without_streams.remote() for _ in range(2)]
    seen["bare"] = bare.remote(1)
    with multiprocessing.get_context("fork").Pool(2) as workers:
        seen["forked at home"] = workers.map(ask, range(4))
    print("SEEN " + json.dumps(seen), flush=True)
