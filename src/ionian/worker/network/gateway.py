"""The gateway: a process beside the worker that makes net namespaces, and joins them to the machine's network.

    container ──veth──▶ gateway ──pasta──▶ the machine's sockets
    container ──veth──▶    │
                           └ rules: not to each other, not to this machine, not to its cloud's metadata

The launcher starts it with the launcher's rights over networks, and it dies with the launcher. All that it makes is in net
namespaces of its own: the machine has no interface, route or rule more, and after a kill nothing is left to clean.
pasta (from passt) does outside what containers do inside, with a plain user's rights, so routes, proxies and VPNs of
the machine count. The gateway's net namespace belongs to a user namespace that holds nothing but pasta, which has no
right outside it.

    control socket:  → its plan as JSON                  ← "ready", or "failed WHY"
                     → "n" for a namespace               ← "n" with the descriptor of one, or "n WHY" it could not be
                     → "j" with an empty one to join     ← "j" when it is joined, or "j WHY"
                     → "c" or "x" with several           ← "c NUMBER…" when they reach each other (of "x": nothing
                                                            else), "6" before them where by IPv6 too; or "c! WHY"

A container's namespace lives as long as its processes, or a descriptor of it. When it has gone, so has its end in
here, and its address is free.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from typing import Any

from .kernel import HAS_IPV6, CannotConnect, check, libc, nft, put, write
from .netlink import ADDRESSES, LINKS, LOOPBACK, LOST, ROUTES, RTM_DELLINK, Netlink, name_of
from .peers import Peers
from .plan import TO_CONTAINERS, Plan, machine_set

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_PDEATHSIG = 1
CONTROL_FD = 3
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
}

MOST_AT_ONCE = 253
"""Descriptors that one message can bring."""

Ids = dict[str, Any]
"""The ids of its user namespace, as lines of its maps, and the group that may ping."""


def main() -> None:
    control = socket.socket(fileno=CONTROL_FD)
    control.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with(int(sys.argv[2]))
    asked = json.loads(control.recv(4096))
    try:
        gateway = Gateway(control, Plan(asked["network"], forwards=asked["forwards"]), asked["ids"])
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

    def __init__(self, control: socket.socket, plan: Plan, ids: Ids) -> None:
        self.control = control
        self.plan = plan
        self.settings = SETTINGS | {"net/ipv4/ping_group_range": f"{ids['ping']} {ids['ping']}"}
        # These two stay in the machine's namespace, which this process leaves for ever.
        self.of_machine = Netlink()
        self.moves = Netlink(ADDRESSES)
        self.uplink = Uplink(plan, ids)
        self.here = self.uplink.namespace
        self._return()
        self.links = Netlink()
        self.ends = Netlink(LINKS)
        self.peers = Peers(plan, self.links)
        self.free: set[int] = set()  # numbers of containers that have ended
        self.next = 0
        self._set_up()

    def _set_up(self) -> None:
        put("net/ipv4/ip_forward", "1")
        for which in ("all", "default"):
            put(f"net/ipv4/conf/{which}/rp_filter", "1")  # nobody speaks from another's address
        put("net/ipv6/conf/default/disable_ipv6", "1")
        put(
            "net/ipv6/conf/all/forwarding", "1"
        )  # from member to member of a cluster: no other has such an address
        self.links.set_up(LOOPBACK)
        self.links.add_address(LOOPBACK, self.plan.gateway)
        nft(self.plan.rules() + machine_set(self.of_machine.addresses()))
        news = Netlink(ROUTES)
        self.uplink.start()
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
                word, fds, _, _ = socket.recv_fds(self.control, 16, MOST_AT_ONCE, socket.MSG_CMSG_CLOEXEC)
                if not word:
                    return
                self._note_ends()
                if word in (b"c", b"x"):
                    self._let_meet(fds, closed=word == b"x")
                elif fds:
                    self._join(fds[0])
                else:
                    self._give()

    def _give(self) -> None:
        """A new namespace for the worker."""
        namespace = -1
        try:
            unshare_network()
            namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            self._connect()
            socket.send_fds(self.control, [b"n"], [namespace])
        except ConnectionError:
            raise
        except OSError as error:
            self.control.send(f"n {error}".encode())
        finally:
            self._return()
            if namespace >= 0:
                os.close(namespace)

    def _join(self, namespace: int) -> None:
        """One that something of the worker's has made for itself."""
        try:
            check(libc.setns(namespace, CLONE_NEWNET), "entering a container's net namespace")
            self._connect()
            self.control.send(b"j")
        except ConnectionError:
            raise
        except OSError as error:
            self.control.send(f"j {error}".encode())
        finally:
            self._return()
            os.close(namespace)

    def _let_meet(self, namespaces: list[int], *, closed: bool) -> None:
        """Containers of one cluster reach each other from here on."""
        numbers: list[int] = []
        try:
            for namespace in namespaces:
                check(libc.setns(namespace, CLONE_NEWNET), "entering a container's net namespace")
                numbers.append(socket.if_nametoindex("eth0") - FIRST_INDEX)
                if HAS_IPV6:
                    self.peers.furnish(FIRST_INDEX + numbers[-1], numbers[-1])
            self._return()
            for number in numbers if HAS_IPV6 else ():
                self.peers.lead_to(FIRST_INDEX + number, number)
            self.peers.add(numbers, closed=closed)
            said = f"c {'6' if HAS_IPV6 else '4'} {' '.join(map(str, numbers))}"
            self.control.send(said.encode())
        except ConnectionError:
            raise
        except (CannotConnect, OSError) as error:
            self.control.send(f"c! {error}".encode()[:4000])
        finally:
            self._return()
            for namespace in namespaces:
                os.close(namespace)

    def _connect(self) -> None:
        """Joins the net namespace that this process is in to the gateway's."""
        number = self._number()
        index, address = FIRST_INDEX + number, self.plan.address(number)
        for name, value in self.settings.items():
            put(name, value)
        with closing(Netlink()) as inside:
            inside.set_up(LOOPBACK)
            inside.add_pair("eth0", index, f"{TO_CONTAINERS}{number}", self.here, MTU)
            inside.add_address(index, address)
            inside.add_default_route(index, self.plan.gateway)
        self.links.set_up(index)
        self.links.add_route(index, address)

    def _return(self) -> None:
        check(libc.setns(self.here, CLONE_NEWNET), "going to the gateway's net namespace")

    def _number(self) -> int:
        """A number that no interface has."""
        while self.free:
            number = self.free.pop()
            if not self.links.has(FIRST_INDEX + number):  # what was told of its end may have been another's
                return number
        if self.next == self.plan.count:
            raise OSError(f"{self.plan.count} containers have all its addresses")
        self.next += 1
        return self.next - 1

    def _note_ends(self) -> None:
        for kind, body in self.ends.events():
            if kind == RTM_DELLINK and (number := number_of(name_of(body))) >= 0:
                if self.peers.forget([number]):
                    self.free.add(number)
            elif kind == LOST:
                gone = [number for number in range(self.next) if not self.links.has(FIRST_INDEX + number)]
                self.free = set(gone) if self.peers.forget(gone) else self.free


class Uplink:
    """pasta, and a process that stays in the machine's net namespace to start it, and to start it again."""

    def __init__(self, plan: Plan, ids: Ids) -> None:
        self.said, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        gateway = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self.said.close()
                die_with(gateway)
                stay(plan, theirs, gateway)
            except (OSError, EOFError) as error:
                theirs.send(str(error).encode()[:1000])
            finally:
                os._exit(1)
        theirs.close()
        self._hear(b"map")
        write_maps(self._pid, ids)
        self.said.send(b"ok")
        self.namespace = self._hear(b"namespace")

    def _hear(self, word: bytes) -> int:
        """Waits for a word; the descriptor that came with it."""
        said, fds, _, _ = socket.recv_fds(self.said, 4096, 1, socket.MSG_CMSG_CLOEXEC)
        if said != word:
            raise CannotConnect(said.decode(errors="replace") or "its namespaces could not be made")
        return fds[0] if fds else -1

    def start(self) -> None:
        """pasta may join the gateway's namespace."""
        self.said.send(b"start")

    def complaint(self) -> str:
        """What pasta said when it ended."""
        lines = self.said.recv(4096).decode(errors="replace").strip().splitlines()
        return "; ".join(line for line in lines if "syslog" not in line)[:1000] or "it ended"

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)


def stay(plan: Plan, gateway: socket.socket, parent: int) -> None:
    """Makes the user namespace of the gateway's net namespace, and in it keeps pasta running."""
    become_first_user(gateway)
    die_with(parent)  # the change of ids cleared it
    namespace = make_network()
    socket.send_fds(gateway, [b"namespace"], [namespace])
    if gateway.recv(16) != b"start":
        return
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


def become_first_user(gateway: socket.socket) -> None:
    """Uid 0 of a new user namespace, whose ids the gateway writes."""
    check(libc.unshare(CLONE_NEWUSER), "a user namespace")
    gateway.send(b"map")
    if gateway.recv(16) != b"ok":
        raise EOFError
    os.setresgid(0, 0, 0)
    with contextlib.suppress(PermissionError):
        os.setgroups([])  # a plain user's namespace may not
    os.setresuid(0, 0, 0)


def make_network() -> int:
    """A net namespace of this user namespace, which this process stays out of."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    maker = os.fork()
    if maker == 0:
        try:
            unshare_network()
            namespace = os.open("/proc/self/ns/net", os.O_RDONLY)
            socket.send_fds(theirs, [b"made"], [namespace])
        finally:
            os._exit(0)
    theirs.close()
    with ours:
        _, fds, _, _ = socket.recv_fds(ours, 16, 1, socket.MSG_CMSG_CLOEXEC)
    os.waitpid(maker, 0)
    if not fds:
        raise OSError("a net namespace could not be made (user.max_net_namespaces?)")
    return fds[0]


def write_maps(pid: int, ids: Ids) -> None:
    if ids["one_group"]:
        write(f"/proc/{pid}/setgroups", "deny")
    write(f"/proc/{pid}/uid_map", str(ids["uids"]))
    write(f"/proc/{pid}/gid_map", str(ids["gids"]))


def number_of(interface: str) -> int:
    """Of which container an interface is; -1: of none."""
    rest = interface.removeprefix(TO_CONTAINERS)
    return int(rest) if rest != interface and rest.isdigit() else -1


def unshare_network() -> None:
    check(libc.unshare(CLONE_NEWNET), "a net namespace")


def die_with(parent: int) -> None:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


if __name__ == "__main__":
    sys.exit("the launcher starts it")
