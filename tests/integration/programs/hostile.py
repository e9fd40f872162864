"""Functions that do what they must not: at import, in a template, and in an input. What they had is what they return."""

import ctypes
import os
import socket
import struct
import sys
import threading
import time

import attempts
import modal

OUTSIDE = os.environ.get("OUTSIDE", "{}")
KIND = os.environ.get("KIND", "")

app = modal.App("hostile")
image = modal.Image.debian_slim("3.11").add_local_python_source("attempts", "attempts_later")
volume = modal.Volume.from_name("of-the-hostile", create_if_missing=True)

DATA_FD, SIDE_FD, CELL_FD, FORK_FD = 100, 101, 102, 103
SPACE = os.readlink("/proc/self/ns/pid")

HAD = attempts.try_all() if KIND in ("forked", "plain") else {}

if KIND == "plain":  # what starts a thread at its import is not forked
    threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()


def is_fork():
    return os.readlink("/proc/self/ns/pid") != SPACE


def everywhere():
    had_in_an_input = attempts.try_all()
    import attempts_later

    return {"forked": is_fork(), "import": HAD, "input": had_in_an_input, "later": attempts_later.HAD}


# What an import reads in a volume may change, so such a function is forked only where a snapshot is asked for.
@app.function(
    image=image,
    volumes={"/vol": volume},
    env={"KIND": "forked", "OUTSIDE": OUTSIDE},
    enable_memory_snapshot=True,
)
def forked():
    return everywhere()


@app.function(image=image, volumes={"/vol": volume}, env={"KIND": "plain", "OUTSIDE": OUTSIDE})
def plain():
    return everywhere()


# --- what takes more than it may


@app.function(image=image, single_use_containers=True)
def bomb(most):
    """So many processes at once, as far as there may be."""
    made = []
    libc = ctypes.PyDLL(None, use_errno=True)
    while len(made) < most:
        pid = libc.fork()
        if pid == 0:
            libc.pause()
        if pid < 0:
            break
        made.append(pid)
    why = 0 if len(made) == most else ctypes.get_errno()
    for pid in made:
        os.kill(pid, 9)
    return len(made), why


@app.function(image=image, memory=(64, 256), single_use_containers=True)
def fill_memory():
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1 << 20)))


@app.function(image=image, memory=(64, 256), single_use_containers=True)
def fill_shared_memory():
    written = 0
    try:
        with open("/dev/shm/full", "wb", buffering=0) as file:
            while written < 2048:
                file.write(b"x" * (1 << 20))
                written += 1
    except OSError as error:
        return written, error.errno
    return written, 0


@app.function(image=image, ephemeral_disk=64, single_use_containers=True, timeout=60)
def fill_disk(where):
    """In one file, in many, or in one that has no name."""
    for number in range(4096):
        path = f"/{where}/full-{number if where != 'var/tmp' else 0}"
        with open(path, "ab", buffering=0) as file:
            if where == "root":
                os.unlink(path)
                while file.tell() < 4 << 30:
                    file.write(bytes(1 << 20))
                    time.sleep(0.002)
            file.write(bytes(1 << 20))
        time.sleep(0.01)  # it would fill the disk of who runs this, where it is not ended


# --- what is told to the worker


def packed(header, payload=b"", kind=0, announced=None):
    return struct.pack("<BII", kind, announced or len(header), len(payload)) + header + payload


MESSAGES = (
    b"rubbish",
    b"\xff\xfe\x00",
    b"[]",
    b"{}",
    b"null",
    b'["Ready", 0, {}]',
    b'["Ready", 1, {"python": 3}]',
    b'["Failed", 0, {"message": 7}]',
    b'["Prepared", 0, {"python": "3.11"}]',
    b'["Unfit", 0, {}]',
    b'["StartContainer", 1, {}]',
    b'["ContainerState", 0, {"container": 1, "state": "ended"}]',
    b'["ListSecrets", 5, {"environment": "main"}]',
    b'["StopApp", 6, {"app_id": "ap-1"}]',
    b'["NoSuchMessage", 7, {}]',
    b"[" * 5000,
)


def tell_rubbish(which):
    """In place of a result."""
    if which == "messages":
        side = socket.socket(fileno=os.dup(SIDE_FD))
        for message in MESSAGES:
            for kind in (0, 1, 2, 3, 200):
                side.sendall(packed(message, kind=kind))
    elif which == "long":
        socket.socket(fileno=os.dup(SIDE_FD)).sendall(packed(b"x", announced=0xFFFFFFF0))
    elif which == "packets":
        data = socket.socket(fileno=os.dup(DATA_FD))
        for size in (1, 8, 9, 10, 60, 1000):
            for kind in (0, 3):
                data.send(packed(os.urandom(size), kind=kind))
                data.send(os.urandom(size))
                data.send(packed(b"", kind=kind, announced=size))
    elif which == "descriptors":
        data = socket.socket(fileno=os.dup(DATA_FD))
        call_id = os.pread(CELL_FD, 29, 16)
        for fd in (
            os.eventfd(0),
            os.open("/dev/zero", os.O_RDONLY),
            os.pipe()[0],
            os.open("/", os.O_RDONLY),
            SIDE_FD,
        ):
            for size in (5, 1 << 30):
                header = struct.pack("<29sIQ5I", call_id, 0, 0, 0, 1, 0, 0, size)
                socket.send_fds(data, [packed(header, kind=3)], [fd] * 20)
    elif which == "cell":
        os.pwrite(CELL_FD, os.urandom(4096), 0)
        for size in (1 << 40, 0):
            try:
                os.ftruncate(CELL_FD, size)
            except OSError:
                pass
    elif which == "closed":
        os.closerange(0, 200)


@app.function(image=image, single_use_containers=True, timeout=20)
def rubbish(which):
    tell_rubbish(which)
    time.sleep(0.3)  # the worker looks at the cell now and then
    return which


# --- what is done to our own code in a template


def ours():
    return sys.modules.get("ionian.container.fork")


def fail(*arguments, **more):
    raise RuntimeError("tampered")


def tamper(kind):
    if ours() is None:
        return  # a plain start: nothing is forked here
    fork = ours()
    if kind == "fork fails":
        os.fork = fail
        fork._unshare = fail
    elif kind == "descriptor closed":
        os.close(FORK_FD)
    elif kind == "answers rubbish":
        warden = socket.socket(fileno=os.dup(FORK_FD))
        for word in (b"C", b"A", b"B", b"x" * 1000, b"{}"):
            socket.send_fds(warden, [word], [0, 1, 2])

        def say(warden, flags):
            for word in (b"A", b"B", b"C", os.urandom(900)):
                socket.send_fds(warden, [word], [0] * 50)

        fork._unshare = say
    elif kind == "keeps rights":
        fork._give_up_rights = lambda filter_: None
    elif kind == "no place":
        fork.Forks._place = fail
    elif kind == "more threads":
        place = fork.Forks._place

        def more(self, *arguments):
            threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()
            place(self, *arguments)

        fork.Forks._place = more
    elif kind == "forks itself":
        for _ in range(20):
            if os.fork() == 0:
                os.setsid()
                time.sleep(1e6)


KINDS = (
    "fork fails",
    "descriptor closed",
    "answers rubbish",
    "keeps rights",
    "no place",
    "more threads",
    "forks itself",
)


def tampered():
    """What a container has that came of it all the same."""
    with open("/proc/self/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    return [int(status["CapEff"], 16), int(status["CapBnd"], 16), status["NoNewPrivs"], status["Seccomp"]]


for kind in KINDS:
    app.function(image=image, name=kind.replace(" ", "_"), env={"KIND": kind}, single_use_containers=True)(
        tampered
    )

if KIND in KINDS:
    tamper(KIND)
