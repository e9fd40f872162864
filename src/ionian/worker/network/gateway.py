"""The gateway: a process beside the worker that makes net namespaces, and joins them to the machine's network.

    container ──veth──▶ gateway ──pasta──▶ the machine's sockets
    container ──veth──▶    │
                           └ rules: not to each other, not to this machine, not to its cloud's metadata

The launcher starts it, it becomes uid 0 of a user namespace that holds nothing else, and dies with the launcher. All that it
makes is in net namespaces of its own: the machine has no interface, route or rule more, and after a kill nothing is
left to clean. pasta (from passt) does outside what containers do inside, with a plain user's rights, so routes, proxies
and VPNs of the machine count. It has rights in the gateway's namespace, and none outside.

    control socket:  → its plan as JSON    ← "ready", or "failed WHY"
                     → "n" for a namespace ← "n" with the descriptor of one

A container's namespace lives as long as its processes, or a descriptor of it. When it has gone, so has its end in
here, and its address is free.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time

from .netlink import ADDRESSES, LINKS, LOOPBACK, LOST, ROUTES, RTM_DELLINK, Netlink, name_of
from .plan import TO_CONTAINERS, Plan, machine_set

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_PDEATHSIG = 1
CONTROL_FD, LAUNCHER_FD = 3, 4
MTU = 65_520
"""What pasta has: large packets are what makes it quick."""
UP_S = 10.0
AGAIN_S = 2.0
"""pasta ends where the machine has no route (yet), or when somebody kills it."""
FIRST_INDEX = 1000
"""Above the interfaces that a kernel may put into each new namespace (tunl0, sit0)."""

SETTINGS = {
    "net/ipv6/conf/default/disable_ipv6": "1",
    "net/ipv4/ip_unprivileged_port_start": "0",  # whose port 80 is it, if not the container's
    "net/ipv4/ping_group_range": "0 0",
}

libc = ctypes.CDLL(None, use_errno=True)


class CannotConnect(Exception):
    """The gateway can't be made; the message says what refused it."""


def main() -> None:
    control = socket.socket(fileno=CONTROL_FD)
    control.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    enter_user_namespace(socket.socket(fileno=LAUNCHER_FD))
    die_with(int(sys.argv[2]))  # after the change of ids, which clears it
    asked = json.loads(control.recv(4096))
    plan = Plan(asked["network"], forwards=asked["forwards"])
    try:
        gateway = Gateway(control, plan)
    except (CannotConnect, OSError) as error:
        control.send(f"failed {error}".encode()[:4000])
        return
    try:
        control.send(b"ready")
        gateway.serve()
    except ConnectionError:
        pass  # the worker has gone
    finally:
        gateway.uplink.kill()


class Gateway:
    """The namespace between containers and pasta."""

    def __init__(self, control: socket.socket, plan: Plan) -> None:
        self.control = control
        self.plan = plan
        # These two stay in the machine's namespace, which this process leaves for ever.
        self.of_machine = Netlink()
        self.moves = Netlink(ADDRESSES)
        self.uplink = Uplink(plan)
        unshare_network()
        self.here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.links = Netlink()
        self.ends = Netlink(LINKS)
        self.free: set[int] = set()  # numbers of containers that have ended
        self.next = 0
        self._set_up()

    def _set_up(self) -> None:
        put("net/ipv4/ip_forward", "1")
        for which in ("all", "default"):
            put(f"net/ipv4/conf/{which}/rp_filter", "1")  # nobody speaks from another's address
        put("net/ipv6/conf/default/disable_ipv6", "1")
        self.links.set_up(LOOPBACK)
        self.links.add_address(LOOPBACK, self.plan.gateway)
        nft(self.plan.rules() + machine_set(self.of_machine.addresses()))
        news = Netlink(ROUTES)
        self.uplink.start(self.here)
        if self.of_machine.has_default_route():  # else pasta comes up when there is one
            self._wait_for_uplink(news)
        news.close()

    def _wait_for_uplink(self, news: Netlink) -> None:
        deadline = time.monotonic() + UP_S
        while not self.links.has_default_route():
            ready = select.select([news, self.uplink.said], [], [], max(0.0, deadline - time.monotonic()))[0]
            if not ready:
                raise CannotConnect("pasta: it does not answer")
            if self.uplink.said in ready:
                raise CannotConnect(f"pasta: {self.uplink.complaint()}")
            list(news.events())

    def serve(self) -> None:
        poll = select.poll()
        for what in (self.control, self.moves, self.ends):
            poll.register(what, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self.ends.fileno() in ready:
                self._note_ends()
            if self.moves.fileno() in ready:
                list(self.moves.events())
                nft(machine_set(self.of_machine.addresses()))
            if self.control.fileno() in ready:
                if not self.control.recv(16):
                    return
                self._give()

    def _give(self) -> None:
        self._note_ends()
        try:
            namespace = self.make()
        except OSError as error:
            self.control.send(f"failed a net namespace could not be made: {error}".encode())
            return
        socket.send_fds(self.control, [b"n"], [namespace])
        os.close(namespace)

    def make(self) -> int:
        """A net namespace that is joined to the gateway: its descriptor."""
        number = self._number()
        index, address = FIRST_INDEX + number, self.plan.address(number)
        unshare_network()
        namespace = -1
        try:
            namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            for name, value in SETTINGS.items():
                put(name, value)
            inside = Netlink()
            inside.set_up(LOOPBACK)
            inside.add_pair("eth0", index, f"{TO_CONTAINERS}{number}", self.here, MTU)
            inside.add_address(index, address)
            inside.add_default_route(index, self.plan.gateway)
            inside.close()
        except BaseException:
            if namespace >= 0:
                os.close(namespace)
            raise
        finally:
            check(libc.setns(self.here, CLONE_NEWNET), "going back to the gateway")
        self.links.set_up(index)
        self.links.add_route(index, address)
        return namespace

    def _number(self) -> int:
        """A number that no interface has."""
        while self.free:
            number = self.free.pop()
            if not exists(f"{TO_CONTAINERS}{number}"):  # what was told of its end may have been another's
                return number
        if self.next == self.plan.count:
            raise OSError(f"{self.plan.count} containers have all its addresses")
        self.next += 1
        return self.next - 1

    def _note_ends(self) -> None:
        for kind, body in self.ends.events():
            if kind == RTM_DELLINK and (number := number_of(name_of(body))) >= 0:
                self.free.add(number)
            elif kind == LOST:
                live = {number_of(name) for _, name in socket.if_nameindex()}
                self.free = {number for number in range(self.next) if number not in live}


class Uplink:
    """pasta, and a process that stays in the machine's net namespace to start it, and to start it again."""

    def __init__(self, plan: Plan) -> None:
        self.said, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        gateway = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self.said.close()
                die_with(gateway)
                stay(plan, theirs)
            finally:
                os._exit(1)
        theirs.close()

    def start(self, namespace: int) -> None:
        """pasta may join the gateway's namespace."""
        socket.send_fds(self.said, [b"start"], [namespace])

    def complaint(self) -> str:
        """What pasta said when it ended."""
        lines = self.said.recv(4096).decode(errors="replace").strip().splitlines()
        return "; ".join(line for line in lines if "syslog" not in line)[:1000] or "it ended"

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)


def stay(plan: Plan, gateway: socket.socket) -> None:
    """Keeps pasta running, from the machine's net namespace."""
    _, (namespace,), _, _ = socket.recv_fds(gateway, 16, 1)
    me = os.getpid()
    while True:
        # By descriptor: pasta has given up the right to look at another's namespace by then.
        pasta = subprocess.Popen(
            plan.pasta(f"/proc/self/fd/{namespace}"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[namespace],
            preexec_fn=lambda: die_with(me),
        )
        words = pasta.communicate()[1]
        with contextlib.suppress(BlockingIOError):  # once it was up nobody reads it
            gateway.send(words[-4000:] or b"it ended", socket.MSG_DONTWAIT)
        time.sleep(AGAIN_S)


def exists(interface: str) -> bool:
    try:
        return socket.if_nametoindex(interface) > 0
    except OSError:
        return False


def number_of(interface: str) -> int:
    """Of which container an interface is; -1: of none."""
    rest = interface.removeprefix(TO_CONTAINERS)
    return int(rest) if rest != interface and rest.isdigit() else -1


def enter_user_namespace(launcher: socket.socket) -> None:
    """Becomes uid 0 of a user namespace, whose ids the launcher writes."""
    with launcher:
        if libc.unshare(CLONE_NEWUSER) < 0:
            launcher.send(b"user namespaces are forbidden")
            sys.exit(1)
        launcher.send(b"map")
        if launcher.recv(4096) != b"ok":
            sys.exit(1)
    os.setresgid(0, 0, 0)
    with contextlib.suppress(PermissionError):
        os.setgroups([])  # a plain user's namespace may not
    os.setresuid(0, 0, 0)


def unshare_network() -> None:
    check(libc.unshare(CLONE_NEWNET), "a net namespace")


def die_with(parent: int) -> None:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def nft(rules: str) -> None:
    done = subprocess.run(["nft", "-f", "-"], input=rules, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotConnect(f"nft: {(done.stderr.strip().splitlines() or ['it failed'])[0]}")


def put(setting: str, value: str) -> None:
    fd = os.open(f"/proc/sys/{setting}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    sys.exit("the launcher starts it")
