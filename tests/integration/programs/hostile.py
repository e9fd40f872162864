"""Functions that do what they must not: at import, in a template, and in an input. What they had is what they return."""

import array
import ctypes
import dataclasses
import json
import os
import pickle
import socket
import struct
import sys
import threading
import time
import typing

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


# --- what is asked of the server, where nothing may be


def packed_message(name, number):
    """A message that a decoder takes; what it must have is empty."""
    from ionian.container import link, wire

    return wire.pack_message(empty(link._message(name)), number)


def empty(kind):
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, {**vars(typing), **vars(sys.modules[kind.__module__])})
        return kind(*(empty(hints[field.name]) for field in dataclasses.fields(kind) if required(field)))
    if typing.get_origin(kind) is typing.Literal:
        return typing.get_args(kind)[0]
    return (typing.get_origin(kind) or kind)()


def required(field):
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def inputs_by_hand(function_id):
    """A call of another function, and an input of it."""
    from ionian.container import wire
    from ionian.protocol.batch import Batch
    from ionian.protocol.calls import OpenCall
    from ionian.protocol.wire import INPUTS

    payload = pickle.dumps(((), {}))
    batch = Batch("fc-" + "0" * 25 + "7", array.array("I", [0]), [len(payload)], payload)
    return wire.pack_message(OpenCall(batch.call_id, function_id), 9001) + batch.pack(INPUTS)


def entry_of(stream):
    """The next one that the worker passes on: kind, header, payload."""
    kind, header, payload = struct.unpack("<BII", stream.read(9))
    return kind, stream.read(header), stream.read(payload)


@app.function(image=image)
def other():
    print("other was called")


def ask_by_hand(names, function_id):
    """What is answered to each message that containers send, and to an input; written to the socket without the SDK."""
    side = socket.socket(fileno=os.dup(SIDE_FD))
    side.settimeout(30)
    answers = side.makefile("rb")
    side.sendall(inputs_by_hand(function_id))
    for number, name in enumerate(names, 1):
        side.sendall(packed_message(name, number))
    waiting, said = {"an input", *names}, {}
    while waiting:
        kind, header, payload = entry_of(answers)
        if kind == 0:
            answer, number, fields = json.loads(header)
            name = names[-number - 1] if -number <= len(names) else "OpenCall by hand"
            said[name] = f"{answer} {fields}"
        else:
            name = "an input"
            said[name] = payload.decode(errors="replace")
        waiting.discard(name)
    return said


@app.function(image=image, restrict_modal_access=True, timeout=60)
def asks(names, function_id):
    return ask_by_hand(names, function_id)


@app.function(image=image, timeout=60)
def asks_and_may(names, function_id):
    return ask_by_hand(names, function_id)


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
