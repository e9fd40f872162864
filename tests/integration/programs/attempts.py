"""What a hostile function tries to have. Each attempt returns what it had: nothing, where all is well.

Standard library alone; nothing is left behind that would be a reason not to be forked (threads, descriptors).
"""

import contextlib
import ctypes
import json
import os
import platform
import re
import socket
import struct

libc = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
OUTSIDE = json.loads(os.environ.get("OUTSIDE", "{}"))
"""What there is outside: the test says where to look for it, as a hostile neighbour may know it."""

CANARY = re.compile(rb"canary-[0-9a-f]{16}")
"""What a neighbour holds, in its variables, files, volume and memory."""

OWN = ("/tmp", "/dev", "/dev/shm", "/dev/mqueue", "/vol", "/", "/dev/pts")
"""Mounts that a container may write to: they are its own, or given to it."""

attempts = {}


def attempt(function):
    attempts[function.__name__] = function
    return function


def try_all():
    """What was had, by the attempt."""
    had = {}
    for name, function in attempts.items():
        try:
            got = function()
        except OSError:
            continue
        if got:
            had[name] = repr(got)[:500]
    return had


def files_below(*tops):
    for top in tops:
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                if not os.path.islink(path):
                    yield path


def opens(paths, flags=os.O_RDONLY):
    opened = []
    for path in paths:
        with contextlib.suppress(OSError):
            os.close(os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY))
            opened.append(path)
    return opened


# --- the kernel's files


@attempt
def writes_a_setting_of_the_kernel():
    paths = ["/proc/sysrq-trigger", *files_below("/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/sys")]
    assert len(paths) > 500
    return opens(paths, os.O_WRONLY)


@attempt
def reads_the_memory_of_the_kernel():
    content = []
    for name in ("kcore", "keys", "timer_list", "sched_debug", "kmsg", "vmallocinfo", "slabinfo"):
        with contextlib.suppress(OSError):
            fd = os.open("/proc/" + name, os.O_RDONLY | os.O_NONBLOCK)
            try:
                if os.read(fd, 64):
                    content.append(name)
            finally:
                os.close(fd)
    return content


@attempt
def opens_a_device_of_the_machine():
    harmless = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "console"}
    found = [path for path in files_below("/dev") if os.path.basename(path) not in harmless]
    names = (
        "mem",
        "kmem",
        "port",
        "kmsg",
        "kvm",
        "fuse",
        "net/tun",
        "sda",
        "vda",
        "nvme0n1",
        "loop-control",
        "vhost-net",
    )
    return opens(
        [path for path in found if not path.startswith(("/dev/shm/", "/dev/pts/", "/dev/nvidia"))]
        + ["/dev/" + name for name in names],
        os.O_RDWR,
    )


@attempt
def makes_a_device():
    made = []
    for kind, major, minor in ((0o020666, 1, 1), (0o020666, 10, 229), (0o060666, 8, 0), (0o060666, 259, 0)):
        for folder in ("/tmp", "/dev/shm", "/vol", "/dev"):
            path = f"{folder}/device-{major}-{minor}"
            with contextlib.suppress(OSError):
                os.mknod(path, kind, os.makedev(major, minor))
                made.append(path)
                os.unlink(path)
    return made


# --- calls of the kernel

AT_FDCWD = -100
CALLS = {
    "bpf": (321, 280, 0, 0, 0),
    "perf_event_open": (298, 241, 0, 0, -1, -1, 0),
    "userfaultfd": (323, 282, 0),
    "io_uring_setup": (425, 425, 1, 0),
    "keyctl read": (250, 219, 11, -3, 0, 0),
    "keyctl join": (250, 219, 1, 0),
    "keyctl get": (250, 219, 0, -4, 1),
    "add_key": (248, 217, b"user", b"a", b"b", 1, -3),
    "request_key": (249, 218, b"user", b"a", 0, -3),
    "kexec_load": (246, 104, 0, 0, 0, 0),
    "kexec_file_load": (320, 294, -1, -1, 0, b"", 0),
    "init_module": (175, 105, b"", 0, b""),
    "finit_module": (313, 273, 0, b"", 0),
    "delete_module": (176, 106, b"x", 0),
    "reboot": (169, 142, 0xFEE1DEAD, 672274793, 0, 0),
    "swapon": (167, 224, b"/tmp/swap", 0),
    "swapoff": (168, 225, b"/tmp/swap"),
    "settimeofday": (164, 170, struct.pack("qq", 1, 0), 0),
    "clock_settime": (227, 112, 0, struct.pack("qq", 1, 0)),
    "sethostname": (170, 161, b"x", 1),
    "setdomainname": (171, 162, b"x", 1),
    "acct": (163, 89, b"/tmp/acct"),
    "syslog": (103, 116, 3, b"\0" * 64, 64),
    "quotactl": (179, 60, 0x80000001, 0, 0, 0),
    "quotactl_fd": (443, 443, 0, 0x80000001, 0, 0),
    "fanotify_init": (300, 262, 0, 0),
    "open_by_handle_at": (304, 265, AT_FDCWD, struct.pack("IiQ", 8, 1, 2), 0),
    "chroot": (161, 51, b"/tmp"),
    "pivot_root": (155, 41, b"/tmp", b"/tmp"),
    "fsopen": (430, 430, b"tmpfs", 0),
    "fspick": (433, 433, AT_FDCWD, b"/", 0),
    "open_tree": (428, 428, AT_FDCWD, b"/", 1),
    "move_mount": (429, 429, AT_FDCWD, b"/tmp", AT_FDCWD, b"/root", 0),
    "mount_setattr": (442, 442, AT_FDCWD, b"/ionian", 0, struct.pack("4Q", 0, 1, 0, 0), 32),
    "mount tmpfs": (165, 40, b"x", b"/root", b"tmpfs", 0, 0),
    "mount proc": (165, 40, b"x", b"/root", b"proc", 0, 0),
    "mount sysfs": (165, 40, b"x", b"/root", b"sysfs", 0, 0),
    "mount cgroup": (165, 40, b"x", b"/root", b"cgroup", 0, b"memory"),
    "mount cgroup2": (165, 40, b"x", b"/root", b"cgroup2", 0, 0),
    "mount overlay": (165, 40, b"x", b"/root", b"overlay", 0, b"lowerdir=/usr:/etc"),
    "mount a bind": (165, 40, b"/proc", b"/root", 0, 4096, 0),
    "remount /": (165, 40, 0, b"/", 0, 32, 0),
    "remount the ring": (165, 40, 0, b"/ionian", 0, 32 | 4096, 0),
    "remount /proc/sys": (165, 40, 0, b"/proc/sys", 0, 32 | 4096, 0),
    "mount shared": (165, 40, 0, b"/", 0, (1 << 20) | (1 << 14), 0),
    "umount /proc/sys": (166, 39, b"/proc/sys", 2),
    "umount /tmp": (166, 39, b"/tmp", 2),
    "umount the ring": (166, 39, b"/ionian", 2),
    "vhangup": (153, 58),
    "process_madvise": (440, 440, 0, 0, 0, 0, 0),
    "lookup_dcookie": (212, 18, 0, b"", 0),
    "personality without randomness": (135, 92, 0x0040000),
    "clone3": (435, 435, struct.pack("8Q", 0x10000000, 0, 0, 0, 17, 0, 0, 0), 64),
    "a call of tomorrow": (1000, 1000, 0),
    "seccomp off": (157, 167, 22, 0, 0, 0, 0),
    "keeps no_new_privs off": (157, 167, 38, 0, 0, 0, 0),
}
if X86:
    CALLS |= {"iopl": (172, 0, 3), "ioperm": (173, 0, 0x80, 1, 1), "create_module": (174, 0, b"x", 1)}


def call(*arguments):
    done = libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return done, ctypes.get_errno()


@attempt
def calls_what_is_for_the_machine_alone():
    return [name for name, (x86, arm, *rest) in CALLS.items() if call(x86 if X86 else arm, *rest)[0] >= 0]


@attempt
def makes_a_namespace():
    made = []
    for flag in (
        0x20000,
        0x2000000,
        0x4000000,
        0x8000000,
        0x10000000,
        0x20000000,
        0x40000000,
        0x80,
        0x7E020000,
    ):
        if call(272 if X86 else 97, flag)[0] >= 0:
            made.append(f"unshare {flag:x}")
        if flag == 0x80:
            continue  # for clone this is a signal's number
        pid, _ = call(56 if X86 else 220, flag | 17, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        if pid > 0:
            os.waitpid(pid, 0)
            made.append(f"clone {flag:x}")
    return made


@attempt
def enters_a_namespace():
    entered = []
    for who in ("self", "1", str(OUTSIDE.get("worker", 1))):
        for kind in ("mnt", "pid", "user", "net", "ipc", "uts", "cgroup"):
            with contextlib.suppress(OSError):
                fd = os.open(f"/proc/{who}/ns/{kind}", os.O_RDONLY)
                if call(308 if X86 else 268, fd, 0)[0] >= 0:
                    entered.append(f"{who} {kind}")
                os.close(fd)
    return entered


@attempt
def touches_the_init_of_a_template():
    """On which all that are forked from it depend. A container's own init is its own affair."""
    if os.getpid() != 3:
        return None
    room = ctypes.create_string_buffer(64)
    got = opens(
        [f"/proc/1/{name}" for name in ("mem", "maps", "environ", "root/etc", "cwd", "fd/0", "fd/3")],
        os.O_RDONLY,
    )
    calls = {
        "ptrace": (101, 117, 0x4206, 1, 0, 0),
        "kcmp": (312, 272, 1, os.getpid(), 0, 0, 0),
        "pidfd_getfd": (438, 438, 1, 0, 0),
        "process_vm_readv": (
            310,
            270,
            1,
            struct.pack("PQ", ctypes.addressof(room), 8),
            1,
            struct.pack("PQ", 0x1000, 8),
            1,
            0,
        ),
    }
    return got + [
        name for name, (x86, arm, *rest) in calls.items() if call(x86 if X86 else arm, *rest)[0] >= 0
    ]


@attempt
def gets_a_capability_or_a_user():
    got = []
    header, sets = struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[0xFFFFFFFF] * 6)
    for bits in (sets, struct.pack("6I", 1 << 21, 1 << 21, 0, 0, 0, 0)):
        if call(126 if X86 else 91, header, bits)[0] >= 0:
            got.append("capset")
    if libc.prctl(47, 2, 21, 0, 0) >= 0:
        got.append("ambient")
    for change in (
        lambda: os.setuid(1),
        lambda: os.setgroups([0, 1]),
        lambda: os.setpriority(os.PRIO_PROCESS, 0, -20),
    ):
        with contextlib.suppress(OSError):
            change()
            got.append("changed its ids or its priority")
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        got.append("real time")
    with open("/proc/self/status") as file:
        lines = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    got += [name for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb", "CapInh") if int(lines[name], 16)]
    return got + [name for name, right in (("NoNewPrivs", "1"), ("Seccomp", "2")) if lines[name] != right]


# --- others on the machine


@attempt
def sees_a_process_of_somebody_else():
    seen = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with open(f"/proc/{name}/cmdline", "rb") as file:
            line = file.read()
        if b"ionian.container" not in line:
            seen.append(line)
    return seen


@attempt
def sends_a_signal_to_the_worker():
    if len(os.listdir("/proc")) and os.path.exists(f"/proc/{OUTSIDE.get('worker', 0)}"):
        return "the worker's number is there"
    os.kill(OUTSIDE["worker"], 0)
    return "a signal"


@attempt
def finds_what_a_neighbour_holds():
    found = []
    with open("/proc/self/mounts", "rb") as file:
        found += CANARY.findall(file.read())
    tops = ("/tmp", "/root", "/home", "/var/tmp", "/dev/shm", "/run", "/mnt", "/srv", "/vol")
    for path in files_below(*tops):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            if file.seekable() and CANARY.search(file.read(1 << 16)):
                found.append(path)
    for name in filter(str.isdigit, os.listdir("/proc")):
        for part in ("environ", "cmdline"):
            with contextlib.suppress(OSError), open(f"/proc/{name}/{part}", "rb") as file:
                found += CANARY.findall(file.read())
    return found


@attempt
def finds_the_memory_that_others_share():
    found = []
    for kind in ("shm", "sem", "msg"):
        with open(f"/proc/sysvipc/{kind}") as file:
            found += file.read().splitlines()[1:]
    return found + (os.listdir("/dev/mqueue") if os.path.isdir("/dev/mqueue") else [])


@attempt
def connects_to_the_machine():
    connected = []
    addresses = {"127.0.0.1", "127.0.0.53", "0.0.0.0", *OUTSIDE.get("addresses", ())}
    with open("/proc/net/route") as file:
        gateways = [line.split()[2] for line in file.read().splitlines()[1:]]
    addresses |= {socket.inet_ntoa(struct.pack("=I", int(text, 16))) for text in gateways} - {"0.0.0.0"}
    for address in sorted(addresses):
        for port in OUTSIDE.get("ports", ()):
            with contextlib.suppress(OSError):
                socket.create_connection((address, port), timeout=2).close()
                connected.append(f"{address}:{port}")
    for name in OUTSIDE.get("sockets", ()):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as unix:
            unix.connect(name.replace("@", "\0", 1))
            connected.append(name)
    return connected


@attempt
def makes_a_socket_that_sees_more():
    made = []
    kinds = (
        (17, socket.SOCK_RAW, 0x300),
        (2, socket.SOCK_RAW, 1),
        (2, socket.SOCK_RAW, 255),
        (38, 5, 0),
        (40, 1, 0),
    )
    for kind in kinds:
        with contextlib.suppress(OSError):
            socket.socket(*kind).close()
            made.append(kind)
    return made


@attempt
def types_into_a_terminal():
    import fcntl

    typed = []
    for fd in (0, 1, 2):
        with contextlib.suppress(OSError):
            fcntl.ioctl(fd, 0x5412, b"x")
            typed.append(fd)
    return typed + opens(["/dev/tty"], os.O_RDWR)


# --- files


@attempt
def reaches_a_folder_of_the_machine():
    there = [
        path
        for path in OUTSIDE.get("paths", ())
        if os.path.lexists(path) or os.path.lexists("/proc/1/root" + path)
    ]
    here = os.stat("/")
    for path in ("/", "/vol", "/tmp", "/ionian", "/proc", "/dev"):
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            end = os.open("../" * 40, os.O_RDONLY, dir_fd=fd)
            if (os.fstat(end).st_dev, os.fstat(end).st_ino) != (here.st_dev, here.st_ino):
                there.append("above " + path)
            os.close(end)
            os.close(fd)
    return there


@attempt
def writes_where_others_read():
    written = []
    with open("/proc/self/mountinfo") as file:
        places = [line.split()[4] for line in file]
    for place in places:
        if place in OWN:
            continue
        with contextlib.suppress(OSError):
            if os.path.isdir(place):
                os.close(os.open(f"{place}/had", os.O_CREAT | os.O_WRONLY))
            elif place not in (
                "/dev/null",
                "/dev/zero",
                "/dev/full",
                "/dev/random",
                "/dev/urandom",
                "/dev/tty",
            ):
                os.close(os.open(place, os.O_WRONLY | os.O_NONBLOCK))
                if os.path.samefile(place, "/dev/null") or os.stat(place).st_rdev == os.makedev(1, 3):
                    continue  # what masks a file of the kernel's
            else:
                continue
            written.append(place)
    return written


@attempt
def leaves_traps_in_its_volume():
    """What is left there is looked at from outside; here: what comes of it at once."""
    import shutil
    import subprocess

    if not os.path.isdir("/vol"):
        return None
    for name, target in (("to-root", "/"), ("to-home", OUTSIDE.get("paths", ["/"])[0]), ("up", "../" * 40)):
        with contextlib.suppress(FileExistsError):
            os.symlink(target, f"/vol/{name}")
    shutil.copy(os.path.realpath("/usr/bin/id"), "/vol/setuid")
    os.chmod("/vol/setuid", 0o6755)
    with contextlib.suppress(OSError):
        os.setxattr(
            "/vol/setuid", "security.capability", bytes.fromhex("0100000200002000000000000000000000000000")
        )
        return "a capability of a file"
    said = subprocess.run(["/vol/setuid", "-u"], capture_output=True, text=True, check=False).stdout.strip()
    if said != str(os.getuid()):
        return f"another user: {said}"
    with contextlib.suppress(OSError):
        os.link("/ionian/ionian/__init__.py", "/vol/link")
        return "a link into another file system"
    return None


@attempt
def hides_from_its_cgroup():
    changed = opens(
        [
            path
            for path in files_below("/sys/fs/cgroup", "/sys/fs")
            if path.endswith(("procs", "tasks", ".max", "_in_bytes"))
        ],
        os.O_WRONLY,
    )
    with open("/proc/self/cgroup") as file:
        seen = [line.rstrip("\n") for line in file if "/../" in line]
    return changed + seen


@attempt
def raises_a_limit():
    import resource

    raised = []
    for name in ("RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_CORE"):
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        if hard == resource.RLIM_INFINITY:
            continue
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(number, (hard, hard + 1))
            raised.append(name)
    return raised
