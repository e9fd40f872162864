"""The launcher: a small process beside the worker that forks sandboxes.

    worker ──SEQPACKET──▶ launcher ──fork──▶ bwrap (monitor) ──clone──▶ pid 1 of the sandbox

It exists because a fork of the worker would stall the worker's loop, because what must be done between fork and exec
(cgroup, namespaces, mounts, ids) is not safe in a process with threads, and because everything here dies with it: at the
worker's end it kills all and waits until all is gone; bwrap's parent-death signal is our end, and pid 1's is bwrap's.
bwrap killed in its first moments would leave a pid 1 that waits for it for ever and has no such signal yet: so we
adopt orphans (a subreaper does), and kill them.

Run as a script by `python -I -S`; standard library only. What it imports of ours, only templates need.

    python -I -S launcher.py CONTROL WORKER OWN_IDS

A plain user's launcher lives in a user namespace of its own, the parent of all of its sandboxes' and of the network
gateway's: it has the same ids as outside, and there the rights to give a sandbox its ids, and a net namespace that the
gateway made.

Between fork and exec, the child:
 1. joins its cgroups, so that nothing ever runs outside them, and its net namespace where it was given one;
 2. opens every source with the worker's own rights and binds it at a short name under a private tmpfs, so that the
    sandbox's ids need no way through the worker's folders, and overlay options fit in their one page;
 3. makes the user namespace (the launcher writes its maps) and becomes uid 0 of it;
 4. leaves the worker's session keyring, raises no core files, and executes bwrap.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import importlib
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import types
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_SLAVE = 4096, 1 << 14, 1 << 19
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER = 1, 4, 24, 36
CAP_VERSION_3 = 0x20080522
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
OPENAT2, BENEATH, NO_MAGIC_LINKS = 437, 0x08, 0x02
KEYCTL_JOIN_SESSION_KEYRING = 1
KEYCTL = {"x86_64": 250, "aarch64": 219}
CAPSET = {"x86_64": 126, "aarch64": 91}
# DAC_READ_SEARCH for its own files, SETGID and SETUID for pasta's user, NET_ADMIN and SYS_ADMIN for net namespaces.
GATEWAY_CAPS = (2, 6, 7, 12, 21)
ALL_CAPS = range(64)  # past the last one prctl answers EINVAL, and that is the end
MAX_FDS = 250  # the kernel takes 253 in one message
# Where sources are staged: the first of these that exists. It is hidden only from bwrap, in a mount namespace of its own.
STAGES = ("/mnt", "/media", "/srv", "/opt", "/tmp")
TUNNELS = "/dev/net/tun"

libc = ctypes.CDLL(None, use_errno=True)
MACHINE = os.uname().machine

Request = dict[str, Any]
Run = Callable[[socket.socket], None]


def main() -> None:
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, end)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)  # it had to be, to come here; a sandbox that held it could answer for us
    own_ids: Request = json.loads(sys.argv[3])
    if own_ids:
        enter_own_namespace(own_ids)
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(sys.argv[2]):
        sys.exit(0)  # the worker died before prctl
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, nothing)  # so that it reaches the wakeup descriptor
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    launcher = Launcher(control)
    try:
        launcher.serve(wake_read)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        launcher.end_all()


def end(number: int, frame: object) -> NoReturn:
    sys.exit(0)


def nothing(number: int, frame: object) -> None:
    pass


class Launcher:
    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.children: dict[int, int] = {}  # pid → id of its request
        self.orphans: dict[int, int] = {}  # pid → id of the request whose process left it
        self.ends: dict[int, Request] = {}  # id → what is told once its orphans have gone

    def serve(self, wake: int) -> None:
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(wake, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == wake:
                    os.read(wake, 4096)
                    self.reap()
                elif not self.take():
                    return

    def take(self) -> bool:
        """Handles one request; False at the worker's end."""
        data, fds = receive(self.control)
        if not data:
            return False
        request: Request = json.loads(data)
        try:
            getattr(self, "do_" + request["do"])(request, fds)
        except OSError as error:
            self.reply(request, failed=f"{request['do']}: {error}")
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def do_start(self, request: Request, fds: list[int]) -> None:
        self.run_child(request, partial(become_bwrap, request, fds))

    def do_gateway(self, request: Request, fds: list[int]) -> None:
        self.run_child(request, partial(become_gateway, request, fds))

    def do_remove(self, request: Request, fds: list[int]) -> None:
        self.run_child(request, partial(remove_tree, request))

    def do_remover(self, request: Request, fds: list[int]) -> None:
        self.run_child(request, partial(become_remover, request, fds))

    def do_enter(self, request: Request, fds: list[int]) -> None:
        self.run_child(request, partial(become_enterer, request, fds))

    def do_warden(self, request: Request, fds: list[int]) -> None:
        self.run_child(request, partial(become_warden, request, fds))

    def do_kill(self, request: Request, fds: list[int]) -> None:
        for pid, owner in self.children.items():
            if owner == request["target"]:
                kill(pid)

    def run_child(self, request: Request, run: Run) -> None:
        """Forks; `run` may ask once for the user namespace's maps, and ends by exec or by an error on the pipe."""
        ours, theirs = socket.socketpair()
        request["launcher"] = os.getpid()
        pid = os.fork()
        if pid == 0:
            in_child(ours, theirs, run)
        theirs.close()
        self.children[pid] = request["id"]
        said = ours.recv(4096)
        if said == b"map":
            problem = write_maps(pid, request)
            ours.send(problem.encode() if problem else b"ok")
            said = ours.recv(4096)
        ours.close()
        self.reply(request, failed=said.decode() if said else "", pid=pid)

    def reap(self) -> None:
        while self.children or self.orphans:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.reaped(pid, status, usage)

    def reaped(self, pid: int, status: int, usage: resource.struct_rusage) -> None:
        owner = self.children.pop(pid, None)
        if owner is None:
            owner = self.orphans.pop(pid, 0)
        else:
            # bwrap has waited for pid 1 and pid 1 for all others: this is the CPU time of the whole sandbox.
            self.ends[owner] = {"ended": status, "cpu_s": usage.ru_utime + usage.ru_stime}
            if os.WIFSIGNALED(status):
                self.adopt(owner)
        if owner in self.ends and owner not in self.orphans.values():
            self.reply({"id": owner}, **self.ends.pop(owner))

    def adopt(self, owner: int) -> None:
        """Kills the children that we did not make: what a killed bwrap left."""
        for pid in own_children() - set(self.children) - set(self.orphans):
            self.orphans[pid] = owner
            kill(pid)

    def end_all(self) -> None:
        while pids := own_children():
            for pid in pids:
                kill(pid)
            os.waitpid(-1, 0)

    def reply(self, request: Request, **what: object) -> None:
        try:
            self.control.send(json.dumps({"id": request["id"], **what}).encode())
        except ConnectionError:
            pass  # the worker has ended: the next request that we try to read tells so


def kill(pid: int) -> None:
    """Kills a child of ours, which was not waited for: the number is still its own."""
    try:
        os.kill(pid, signal.SIGKILL)
    except PermissionError:
        pass  # newuidmap, which is root and ends by itself


def own_children() -> set[int]:
    """Children that live or were not waited for yet: their numbers can't be another's."""
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return set(map(int, file.read().split()))


def receive(control: socket.socket) -> tuple[bytes, list[int]]:
    room = socket.CMSG_SPACE(MAX_FDS * array.array("i").itemsize)
    try:
        data, ancillary, _, _ = control.recvmsg(1 << 20, room, socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        return b"", []
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    return data, list(fds)


def write_maps(pid: int, request: Request) -> str:
    """Gives the namespace of `pid` its ids; returns what went wrong, for the one who asked."""
    try:
        if request.get("by_helper"):
            for tool, ids in (("newuidmap", request["uids"]), ("newgidmap", request["gids"])):
                done = subprocess.run([tool, str(pid), *ids.split()], stderr=subprocess.PIPE, check=False)
                if done.returncode:
                    return f"{tool} refused: {done.stderr.decode(errors='replace').strip()}"
            return ""
        if request["one_group"]:
            put(f"/proc/{pid}/setgroups", "deny")
        put(f"/proc/{pid}/uid_map", request["uids"])
        put(f"/proc/{pid}/gid_map", request["gids"])
    except OSError as error:
        return f"the ids of the sandbox could not be mapped: {error}"
    return ""


def enter_own_namespace(ids: Request) -> None:
    """Moves this process into a user namespace with the ids that it has; a child outside of it writes the maps."""
    go, ready = os.pipe()
    writer = os.fork()
    if writer == 0:
        os.close(ready)
        # Where there is none, each sandbox says what forbids it.
        problem = write_maps(os.getppid(), ids) if os.read(go, 1) else ""
        if problem:
            os.write(2, f"launcher: {problem}\n".encode())
        os._exit(bool(problem))
    os.close(go)
    if libc.unshare(CLONE_NEWUSER) == 0:
        os.write(ready, b"g")
    os.close(ready)
    _, status = os.waitpid(writer, 0)
    if status:
        sys.exit(1)


# --- in the child -------------------------------------------------------------------------------------------------


def in_child(ours: socket.socket, sync: socket.socket, run: Run) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        ours.close()
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        run(sync)
    except BaseException as error:
        sync.send(str(error).encode()[:4000])
    os._exit(125)


def become_bwrap(request: Request, fds: list[int], sync: socket.socket) -> None:
    # Now: the sandbox's first user perhaps has no way to our files.
    supervision: Any = import_ours("supervision") if "listener" in request else None
    settle(request)
    if request["joins_network"]:
        check(libc.setns(fds.pop(), CLONE_NEWNET), "entering its net namespace")
    if os.geteuid() == 0:
        check(libc.unshare(CLONE_NEWNS), "a mount namespace of its own")
        stage(request["sources"])
        enter_user_namespace(sync, CLONE_NEWUSER)
    else:
        enter_user_namespace(sync, CLONE_NEWUSER | CLONE_NEWNS)
        stage(request["sources"])
    limit_processes(request["processes"])
    keep_only(request["caps"])
    place(fds, request["targets"])
    if supervision is not None:
        send_listener(request["listener"], supervision.supervise())
    if os.getppid() != request["launcher"]:
        os._exit(125)  # the launcher died while we changed ids, which clears the parent-death signal
    os.execve(request["argv"][0], request["argv"], request["env"])


def become_enterer(request: Request, fds: list[int], sync: socket.socket) -> None:
    """Runs enter.py, which goes into a sandbox that is there already. A net namespace of the gateway's is ours alone to
    enter; enter.py enters one of the sandbox's own, and there is nothing to enter where it has the machine's."""
    settle(request)
    libc.setns(fds[request["targets"].index(request["process"])], CLONE_NEWNET)
    place(fds, request["targets"])
    os.execve(request["argv"][0], [*request["argv"], str(request["launcher"])], {})


def become_gateway(request: Request, fds: list[int], sync: socket.socket) -> None:
    """Runs network/gateway.py, with rights over networks and no others that are of use."""
    if os.geteuid() == 0:
        check(libc.unshare(CLONE_NEWNS), "a mount namespace of its own")
        open_tunnels()
    place(fds, request["targets"])
    hand_on(GATEWAY_CAPS)
    os.execve(request["argv"][0], [*request["argv"], str(request["launcher"])], request["env"])


def hand_on(caps: tuple[int, ...]) -> None:
    """Leaves only these, and takes them through the next exec, which a plain user's would lose there."""
    for cap in ALL_CAPS:
        if cap not in caps and libc.prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0:
            break  # past the last one
    bits = sum(1 << cap for cap in caps)
    header = struct.pack("Ii", CAP_VERSION_3, 0)
    check(libc.syscall(CAPSET[MACHINE], header, struct.pack("6I", bits, bits, bits, 0, 0, 0)), "capabilities")
    for cap in caps:
        check(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0), "ambient capabilities")


def open_tunnels() -> None:
    """Lets a user without rights make tunnels, in this mount namespace: most machines let anyone, some only root."""
    if not os.path.exists(TUNNELS) or os.stat(TUNNELS).st_mode & 0o006 == 0o006:
        return
    mount(None, "/", None, MS_REC | MS_SLAVE)
    at = next(p for p in STAGES if os.path.isdir(p))
    mount("tmpfs", at, "tmpfs", 0, "mode=0755,size=64k")
    os.mknod(f"{at}/tun", 0o020666, os.stat(TUNNELS).st_rdev)
    os.chmod(f"{at}/tun", 0o666)
    mount(f"{at}/tun", TUNNELS, None, MS_BIND)


def settle(request: Request) -> None:
    """What everything of a sandbox has: its cgroups, no core files, its number of files, a keyring of its own."""
    for path in request["cgroups"]:
        put(path, "0")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (request["files"], request["files"]))
    libc.syscall(
        KEYCTL[MACHINE], KEYCTL_JOIN_SESSION_KEYRING, None
    )  # over quota: user code can't call keyctl anyway


def limit_processes(most: int) -> None:
    """Where no cgroup counts them. In the sandbox's own user namespace, which is what the kernel counts by since 5.14."""
    if most:
        _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def become_warden(request: Request, fds: list[int], sync: socket.socket) -> None:
    """Serves the forks of a template, in its user namespace; see warden.py. What goes wrong is told to the worker."""
    control, template, init = socket.socket(fileno=fds[0]), socket.socket(fileno=fds[1]), fds[2]
    sync.close()  # the launcher need not wait for the rest
    keep_open({0, 1, 2, *fds})
    try:
        warden: Any = import_ours("warden")
        enter_as_warden(request, init)
        made = warden.Warden(control, template, request["init"], request)
        os.close(init)
        made.serve()
    except BaseException as error:
        control.send(json.dumps({"failed": f"{type(error).__name__}: {error}"}).encode())
        raise
    finally:
        os._exit(0)


def enter_as_warden(request: Request, init: int) -> None:
    prctl(PR_SET_DUMPABLE, 0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (request["files"], request["files"]))
    if os.geteuid() == 0:
        check(libc.unshare(CLONE_NEWNS), "a mount namespace of its own")
        stage(request["sources"])
        join_user_namespace(init)
        check(libc.unshare(CLONE_NEWNS), "a mount namespace of the sandbox's")
    else:
        join_user_namespace(init)
        check(libc.unshare(CLONE_NEWNS), "a mount namespace of its own")
        stage(request["sources"])
    os.chdir(next(p for p in STAGES if os.path.isdir(p)))
    if os.getppid() != request["launcher"]:
        os._exit(0)  # the launcher died while we changed ids, which clears the parent-death signal


def keep_open(fds: set[int]) -> None:
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd not in fds:
            try:
                os.close(fd)
            except OSError:
                pass  # the one that listed them


def join_user_namespace(pidfd: int) -> None:
    check(libc.setns(pidfd, CLONE_NEWUSER), "entering the sandbox's user namespace")
    become_first_user()


def import_ours(name: str) -> object:
    """A module of this folder. Its package is only a name here: what a package imports at its start is not for us."""
    package = types.ModuleType("ionian_sandbox")
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules.setdefault(package.__name__, package)
    return importlib.import_module(f"{package.__name__}.{name}")


def send_listener(number: int, listener: int) -> None:
    """To the warden that will be, through the template's own end: first in the queue."""
    with socket.socket(fileno=os.dup(number)) as template:
        socket.send_fds(template, [b"listener"], [listener])
    os.close(listener)


def remove_tree(request: Request, sync: socket.socket) -> None:
    """Deletes folders, in the namespace that their files' owners live in unless we are root and need none."""
    if os.geteuid() != 0:
        enter_user_namespace(sync, CLONE_NEWUSER)
    os.execvp("rm", ["rm", "-rf", "--one-file-system", "--", *request["paths"]])


def become_remover(request: Request, fds: list[int], sync: socket.socket) -> None:
    """Deletes small folders until the worker asks no more; see removal.py."""
    removal: Any = import_ours("removal")
    if os.geteuid() != 0:
        enter_user_namespace(sync, CLONE_NEWUSER)
    if os.getppid() != request["launcher"]:
        os._exit(0)  # the launcher died while we changed ids, which clears the parent-death signal
    sync.close()  # the launcher need not wait for the rest
    keep_open({0, 1, 2, *fds})
    try:
        removal.serve(socket.socket(fileno=fds[0]))
    finally:
        os._exit(0)


def open_source(path: str, below: str) -> tuple[int, bool]:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if below:
            fd = open_beneath(fd, below)
    except OSError as error:
        place = os.path.join(path, below) if below else path
        raise OSError(f"{place} is to be shown in the sandbox, but {error.strerror}") from None
    return fd, os.path.isdir(f"/proc/self/fd/{fd}")


def open_beneath(root: int, path: str) -> int:
    """A folder below `root`, where user code writes: a link that leads out of it is refused."""
    how = struct.pack("=3Q", os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY, 0, BENEATH | NO_MAGIC_LINKS)
    fd = libc.syscall(OPENAT2, root, path.encode(), how, len(how))
    if fd >= 0:
        return fd
    if (number := ctypes.get_errno()) != errno.ENOSYS:
        raise OSError(number, os.strerror(number))
    for name in path.split("/"):  # an old kernel: no link at all
        root = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
    return root


def stage(paths: list[tuple[str, str]]) -> None:
    """Binds the sources at STAGE/0, STAGE/1, … in this mount namespace; opened here, as a bind needs, and all before
    the stage hides what lies below it."""
    mount(None, "/", None, MS_REC | MS_SLAVE)
    sources = [open_source(path, below) for path, below in paths]
    at = next(p for p in STAGES if os.path.isdir(p))
    mount("tmpfs", at, "tmpfs", 0, "mode=0755,size=64k")
    for number, (fd, is_dir) in enumerate(sources):
        target = f"{at}/{number}"
        if is_dir:
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
        mount(f"/proc/self/fd/{fd}", target, None, MS_BIND | MS_REC)


def enter_user_namespace(sync: socket.socket, flags: int) -> None:
    check(libc.unshare(flags), "a user namespace (`ionian doctor` says what forbids it)")
    sync.send(b"map")
    answer = sync.recv(4096)
    if answer != b"ok":
        raise OSError(answer.decode())
    become_first_user()


def become_first_user() -> None:
    """Uid 0 of the user namespace that we have entered."""
    os.setresgid(0, 0, 0)
    try:
        os.setgroups([])
    except PermissionError:
        pass  # a plain user's namespace may not; its groups are unmapped then
    os.setresuid(0, 0, 0)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # the change of ids cleared it


def keep_only(caps: list[int]) -> None:
    """Leaves only `caps` in the bounding set; the others reach bwrap as inheritable ones, and it drops them."""
    everything = 0xFFFFFFFF
    last = next((c - 1 for c in ALL_CAPS if libc.prctl(23, c, 0, 0, 0) < 0), 63)  # PR_CAPBSET_READ
    high = (1 << (last - 31)) - 1 if last >= 32 else 0
    header = struct.pack("Ii", CAP_VERSION_3, 0)
    sets = struct.pack("6I", everything, everything, everything, high, high, high)
    check(libc.syscall(CAPSET[MACHINE], header, sets), "inheritable capabilities")
    for cap in range(last + 1):
        if cap not in caps:
            prctl(PR_CAPBSET_DROP, cap)


def place(fds: list[int], targets: list[int]) -> None:
    """Moves each descriptor to its number; no other reaches the program. First out of the way of all targets."""
    above = max(targets) + 1
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in fds]
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            os.set_inheritable(fd, False)
        except OSError:
            pass  # the one that listed them
    for fd, target in zip(moved, targets, strict=True):
        os.dup2(fd, target)


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    args = [x.encode() if x is not None else None for x in (source, target, kind)]
    done = libc.mount(*args, ctypes.c_ulong(flags), data.encode() if data else None)
    check(done, f"mounting {source} at {target}")


def prctl(option: int, value: int) -> None:
    libc.prctl(option, value, 0, 0, 0)


def check(result: int, what: str) -> None:
    if result < 0:
        raise OSError(f"{what}: {os.strerror(ctypes.get_errno())}")


def put(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


if __name__ == "__main__":
    main()
