"""Runs one program inside a sandbox that runs already, as its user, with no more rights than what runs there.

    launcher ──fork, exec──▶ this ──setns, fork──▶ the attendant ──fork──▶ the program
                             (outside)             (in the sandbox's pid namespace)

Run as a script by `python -I -S`, standard library only: a fresh process, so that nothing of the launcher's memory is
ever seen in there. Its cgroups were joined before. The attendant adopts what the program leaves behind and ends it with
it, or when the worker closes its end of the control socket. It is not dumpable: code in the sandbox, which has the same
user, can neither trace it nor look into its memory, its descriptors or its executable.

    python -I -S enter.py LAUNCHER      descriptors: see the numbers below
"""

from __future__ import annotations

import base64
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import termios
from typing import Any, NoReturn

SPEC_FD, PID_FD, CONTROL_FD = 3, 4, 5
NAMESPACES = {  # in this order: the user namespace gives the right to enter the others
    "user": 0x10000000,
    "mnt": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "net": 0x40000000,
    "pid": 0x20000000,
}
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47
CAP_VERSION_3 = 0x20080522
CAPSET = {"x86_64": 126, "aarch64": 91}
TIOCGPTPEER, TIOCSPTLCK = 0x5441, 0x40045431
GRACE_MS = 2000
"""For so long a program that nobody wants any more may clean up after its SIGHUP."""

libc = ctypes.CDLL(None, use_errno=True)
Spec = dict[str, Any]


def main() -> None:
    control = socket.socket(fileno=CONTROL_FD)
    try:
        spec = read_spec()
        join()
        prctl(PR_SET_DUMPABLE, 0)  # before anything of ours is in the sandbox's pid namespace
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # the change of ids cleared it
        if os.getppid() != int(sys.argv[1]):
            return  # the launcher died meanwhile
        attendant = os.fork()
    except (OSError, ValueError) as error:
        control.send(b"failed " + str(error).encode()[:2000])
        return
    if attendant == 0:
        attend(spec, control)
    control.close()
    os.closerange(0, 3)
    os.waitpid(attendant, 0)


def read_spec() -> Spec:
    with os.fdopen(SPEC_FD, "rb") as file:
        return json.loads(file.read())


def join() -> None:
    """Enters the namespaces that differ from ours, and becomes uid 0 of the user namespace."""
    with open(f"/proc/self/fdinfo/{PID_FD}") as file:
        pid = next(line.split()[1] for line in file if line.startswith("Pid:"))
    names = [n for n in NAMESPACES if namespace(pid, n) != namespace("self", n)]
    check_alive(PID_FD)  # else the number may be another's by now
    for name in names:
        check(libc.setns(PID_FD, NAMESPACES[name]), f"entering the sandbox's {name} namespace")
        if name == "user":
            os.setresgid(0, 0, 0)
            try:
                os.setgroups([])
            except PermissionError:
                pass  # a plain user's namespace may not; its groups are unmapped then
            os.setresuid(0, 0, 0)


def namespace(pid: str, name: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/{name}")
    except FileNotFoundError:
        return ""  # a kernel without it


def check_alive(pidfd: int) -> None:
    if select.select([pidfd], [], [], 0)[0]:
        raise OSError("the container has ended")


# --- in the sandbox's pid namespace --------------------------------------------------------------------------------


def attend(spec: Spec, control: socket.socket) -> NoReturn:
    """Starts the program, waits for its end or the worker's, and leaves nothing of it."""
    code = 0
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        terminal = open_terminal(spec, control) if spec["pty"] else -1
        program = os.fork()
        if program == 0:
            become(spec, terminal)
        for fd in (0, 1, 2, PID_FD, *spec["fds"], terminal):
            if fd >= 0:
                os.close(fd)
        control.send(b"started")
        code = watch(program, control)
        end_descendants()
        control.send(b"end %d" % code)
    except BaseException as error:
        try:
            control.send(b"failed " + str(error).encode()[:2000])
        except OSError:
            pass  # the worker has gone
    os._exit(0)


def open_terminal(spec: Spec, control: socket.socket) -> int:
    """A terminal of the sandbox's own, so that programs find it by name; the worker gets the other side.

    /dev/pts is a mount, which code in there can't replace, and the peer is opened by descriptor, not by name.
    """
    master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
    terminal = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", spec["rows"], spec["columns"], 0, 0))
    socket.send_fds(control, [b"terminal"], [master])
    os.close(master)
    return terminal


def watch(program: int, control: socket.socket) -> int:
    """The program's exit status, or minus its signal."""
    pidfd = os.pidfd_open(program)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(control, select.POLLIN)
    ended = [fd for fd, _ in poll.poll()]
    if pidfd not in ended:  # the worker closed its end: nobody wants the program any more
        os.kill(program, signal.SIGHUP)
        poll.unregister(control)
        if not poll.poll(GRACE_MS):
            os.kill(program, signal.SIGKILL)
    _, status = os.waitpid(program, 0)
    os.close(pidfd)
    return os.waitstatus_to_exitcode(status)


def end_descendants() -> None:
    """Ends what the program left: its orphans are ours."""
    while True:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            pids = [int(word) for word in file.read().split()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


# --- the program ---------------------------------------------------------------------------------------------------


def become(spec: Spec, terminal: int) -> NoReturn:
    try:
        os.setsid()
        if terminal >= 0:
            fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
            for fd in (0, 1, 2):
                os.dup2(terminal, fd)
        for fd in map(int, os.listdir("/proc/self/fd")):
            if fd > 2 and fd not in spec["fds"]:
                try:
                    os.set_inheritable(fd, False)
                except OSError:
                    pass  # the one that listed them
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.umask(0o022)
        enter_folder(spec["cwd"])
        os.environ.clear()
        give_up_rights(base64.b64decode(spec["seccomp"]))
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        execute(spec["argv"], spec["env"])
    except BaseException as error:
        os.write(2, f"{error}\n".encode())
    os._exit(126)


def enter_folder(path: str) -> None:
    try:
        os.chdir(path)
    except OSError:
        os.chdir("/")  # the program deleted it, perhaps


def give_up_rights(filter_: bytes) -> None:
    """No capability, no new ones by setuid files, and the filter of all code in the sandbox."""
    for cap in range(64):
        if libc.prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0:
            break  # past the last one
    libc.prctl(PR_CAP_AMBIENT, 4, 0, 0, 0)
    nothing = struct.pack("6I", *[0] * 6)
    check(
        libc.syscall(CAPSET[os.uname().machine], struct.pack("Ii", CAP_VERSION_3, 0), nothing),
        "giving up capabilities",
    )
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    code = ctypes.create_string_buffer(filter_, len(filter_))
    program = struct.pack("HxxxxxxP", len(filter_) // 8, ctypes.addressof(code))
    check(libc.prctl(PR_SET_SECCOMP, 2, program, 0, 0), "the seccomp filter")


def execute(argv: list[str], env: dict[str, str]) -> NoReturn:
    try:
        os.execvpe(argv[0], argv, env)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        os._exit(126 if isinstance(error, PermissionError) else 127)


def prctl(option: int, value: int) -> None:
    libc.prctl(option, value, 0, 0, 0)


def check(result: int, what: str) -> None:
    if result < 0:
        raise OSError(f"{what}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
