"""The worker's side of the gateway: ready net namespaces, one for each sandbox that may use the network.

    namespace = await network.take()     # None: the machine's own network, `network.reason` says why
    …                                    # setns(namespace.fd) in a process that the launcher made
    namespace.release()                  # what runs in it keeps it; else it is gone

A few are ready at any time, so that a start waits for none. A namespace is never given twice.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import shutil
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..sandbox import IdMap, NetNamespace, SandboxError, Spawner
from ..sandbox.spawner import maps_of
from .gateway import CONTROL_FD
from .netlink import own_addresses
from .plan import Plan, choose_network, read_routes, resolv_conf, resolvers

log = logging.getLogger("ionian.worker")

READY = 8
"""Namespaces kept ready: more than a machine's cores start at the same moment; one costs a millisecond and ~100 KiB."""

PATIENCE_S = 20.0
SOURCE = Path(__file__).parents[3]
BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from ionian.worker.network.gateway import main; main()"
RESOLV_CONF = Path("/etc/resolv.conf")
TUNNELS = Path("/dev/net/tun")


@dataclass(frozen=True)
class Addresses:
    """Where members of a cluster reach one of them; `ipv6` is empty where this machine has none."""

    ipv4: str
    ipv6: str = ""


class Network:
    """The gateway of one worker, and the namespaces that it has ready."""

    def __init__(self, folder: Path) -> None:
        self.reason = why_not()  # why containers have this machine's own network; "": they have one each
        self._folder = folder
        self._socket: socket.socket | None = None
        self._starting: asyncio.Task[None] | None = None
        self._ready: deque[int] = deque()
        self._waiting: deque[asyncio.Future[int]] = deque()
        self._joining: deque[asyncio.Future[None]] = deque()
        self._meeting: deque[asyncio.Future[list[Addresses]]] = deque()
        self._was_up = False
        self._plan: Plan | None = None
        self._resolver_of = (0, 0)  # of which /etc/resolv.conf ours was made: inode and time

    @property
    def gateway(self) -> object:
        """The gateway that there is now; None where there is none. Another one joins none of this one's namespaces."""
        return self._socket

    async def take(self) -> NetNamespace | None:
        """A namespace for one sandbox; None where containers have the machine's own network. Raises SandboxError."""
        while not self.reason:
            if self._socket is None:
                await self._start()
                continue
            if not self._ask():
                continue  # the gateway has ended, which is noticed now
            if self._ready:
                return NetNamespace(self._ready.popleft(), self._resolver())
            coming: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            self._waiting.append(coming)
            try:
                return NetNamespace(await coming, self._resolver())
            except ConnectionError:
                continue  # the gateway ended: the next one
            except asyncio.CancelledError:
                if coming.done() and not coming.cancelled() and coming.exception() is None:
                    self._keep(coming.result())
                raise
        return None

    async def join(self, namespace: int) -> None:
        """Makes an empty net namespace like one of take(): for what must make its own. Raises SandboxError."""
        if self._socket is None:
            raise SandboxError("the network of containers has ended")
        joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        socket.send_fds(self._socket, [b"j"], [namespace])
        self._joining.append(joined)
        await joined

    async def let_meet(self, namespaces: Sequence[NetNamespace], *, closed: bool) -> list[Addresses]:
        """Lets what runs in these reach each other, and nobody else; `closed`: nor anything else. Their addresses, in order.
        Raises SandboxError."""
        if self._socket is None:
            raise SandboxError("the network of containers has ended")
        met: asyncio.Future[list[Addresses]] = asyncio.get_running_loop().create_future()
        fds = [namespace.fd for namespace in namespaces]
        socket.send_fds(self._socket, [b"x" if closed else b"c"], fds)
        self._meeting.append(met)
        return await met

    async def start(self) -> None:
        """Makes the gateway before anything needs it."""
        if not self.reason and self._socket is None:
            await self._start()

    def close(self) -> None:
        """Ends the gateway. Sandboxes that still run are cut off."""
        self._lost(self._socket)

    # --- the gateway process

    async def _start(self) -> None:
        if self._starting is None or self._starting.done():
            self._starting = asyncio.ensure_future(self._start_gateway())
        await asyncio.shield(self._starting)

    async def _start_gateway(self) -> None:
        try:
            await asyncio.wait_for(self._connect(), PATIENCE_S)
        except (SandboxError, OSError, TimeoutError) as error:
            why = str(error) or "the gateway did not come up"
            if self._was_up:  # containers had networks of their own: the next ones don't get less by a mishap
                raise SandboxError(
                    f"the network of containers ended and can't be made again: {why}"
                ) from None
            self.reason = why
            log.warning("containers use this machine's own network: %s", why)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        text, machine = _read(RESOLV_CONF), own_addresses()
        plan = Plan(
            choose_network(read_routes(_read(Path("/proc/net/route")))),
            forwards=not resolvers(text, machine),
        )
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            request = {
                "do": "gateway",
                "targets": [0, 1, 2, CONTROL_FD],
                "argv": [sys.executable, "-I", "-S", "-c", BOOT, str(SOURCE)],
                "env": {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin"},
            }
            nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            try:
                with theirs:
                    fds = [nothing, nothing, 2, theirs.fileno()]
                    await Spawner.of_this_loop().run(request, IdMap.current(), fds)
            finally:
                os.close(nothing)
            ids = {**maps_of(IdMap.current()), "ping": IdMap.current().host_gid}
            wish = {"network": str(plan.network), "forwards": plan.forwards, "ids": ids}
            await loop.sock_sendall(ours, json.dumps(wish).encode())
            said = await loop.sock_recv(ours, 4096)
            if said != b"ready":
                raise SandboxError(
                    said.decode(errors="replace").removeprefix("failed ") or "the gateway ended"
                )
        except BaseException:
            ours.close()
            raise
        self._socket, self._plan, self._was_up = ours, plan, True
        self._resolver_of = (0, 0)
        loop.add_reader(ours.fileno(), self._readable, ours)
        for _ in range(READY):
            self._ask()

    def _ask(self) -> bool:
        """Asks for one more; False where nobody is there to be asked."""
        if self._socket is None:
            return False
        try:
            self._socket.send(b"n")
        except BlockingIOError:
            asyncio.get_running_loop().call_later(0.01, self._ask)
        except OSError:
            self._lost(self._socket)
            return False
        return True

    def _readable(self, gateway: socket.socket) -> None:
        try:
            said, fds, _, _ = socket.recv_fds(gateway, 4096, 1, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.EMFILE:
                return
            said, fds = b"", []
        if not said:
            log.error("the network gateway of this worker ended; running containers have lost their network")
            self._lost(gateway)
        elif said.startswith(b"c"):
            self._met(said.decode(errors="replace"))
        elif said.startswith(b"j"):
            self._joined(said[2:].decode(errors="replace"))
        elif fds:
            self._keep(fds[0])
        else:
            why = f"a net namespace could not be made: {said[2:].decode(errors='replace')}"
            self._next(lambda coming: coming.set_exception(SandboxError(why)))

    def _joined(self, failed: str) -> None:
        joined = self._joining.popleft()
        if joined.done():
            return  # nobody waits for it any more
        if failed:
            joined.set_exception(SandboxError(f"a net namespace could not be joined: {failed}"))
        else:
            joined.set_result(None)

    def _met(self, said: str) -> None:
        met = self._meeting.popleft()
        if met.done():
            return  # nobody waits for it any more
        if said.startswith("c!"):
            met.set_exception(SandboxError(f"a cluster's network could not be made: {said[3:]}"))
            return
        assert self._plan is not None
        family, *numbers = said.split()[1:]
        plan = self._plan
        met.set_result(
            [
                Addresses(str(plan.address(number)), str(plan.address6(number)) if family == "6" else "")
                for number in map(int, numbers)
            ]
        )

    def _keep(self, fd: int) -> None:
        if not self._next(lambda coming: coming.set_result(fd)):
            self._ready.append(fd)

    def _next(self, answer: Callable[[asyncio.Future[int]], None]) -> bool:
        """Answers the first that waits; False where nobody does."""
        while self._waiting:
            coming = self._waiting.popleft()
            if not coming.done():
                answer(coming)
                return True
        return False

    def _lost(self, gateway: socket.socket | None) -> None:
        if gateway is None or gateway is not self._socket:
            return
        self._socket = None
        asyncio.get_running_loop().remove_reader(gateway.fileno())
        gateway.close()
        while self._ready:
            os.close(self._ready.popleft())  # they lead nowhere now
        while self._next(lambda coming: coming.set_exception(ConnectionError())):
            pass
        while self._joining:
            self._joined("its gateway ended")
        while self._meeting:
            self._met("c! its gateway ended")

    # --- names

    def _resolver(self) -> Path:
        """The resolv.conf of containers, made anew where the machine's is another one."""
        file = self._folder / "resolv.conf"
        try:
            status = RESOLV_CONF.stat()
            of = (status.st_ino, status.st_mtime_ns)
        except OSError:
            of = (-1, -1)
        if of != self._resolver_of:
            assert self._plan is not None
            text = _read(RESOLV_CONF)
            servers = [] if self._plan.forwards else resolvers(text, own_addresses())
            draft = file.with_name("resolv.conf.new")  # a running container keeps the file that it was shown
            draft.write_text(resolv_conf(text, servers or [str(self._plan.resolver)]))
            draft.chmod(0o644)
            draft.rename(file)
            self._resolver_of = of
        return file


async def tried(folder: Path) -> str:
    """Makes a gateway and a namespace. Why they can't be had here, "" where they can."""
    spawner = Spawner.of_this_loop()
    network = Network(folder)
    try:
        namespace = await network.take()
        if namespace is not None:
            namespace.release()
        return network.reason
    finally:
        network.close()
        spawner.close()


def why_not() -> str:
    """Why containers can't have networks of their own here, as far as can be told without trying; "; " and the cure."""
    if os.environ.get("IONIAN_NETWORK", "own") == "host":
        return "IONIAN_NETWORK=host says so"
    for program, package in (("pasta", "passt"), ("nft", "nftables")):
        if not shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin"):
            return f"there is no {program}; as root: apt-get install {package}"
    if not TUNNELS.exists():
        return f"there is no {TUNNELS}; as root: modprobe tun (in Docker: --device {TUNNELS})"
    if os.geteuid() != 0 and not os.access(TUNNELS, os.R_OK | os.W_OK):
        return f"{TUNNELS} is closed to this user; as root: chmod 666 {TUNNELS}"
    if _only_ipv6():
        return "this machine has a way out by IPv6 alone, and containers' own networks speak IPv4"
    return ""


def _only_ipv6() -> bool:
    if any(not route.prefixlen for route in read_routes(_read(Path("/proc/net/route")))):
        return False
    lines = [line.split() for line in _read(Path("/proc/net/ipv6_route")).splitlines()]
    return any(set(words[0]) == {"0"} and words[1] == "00" and words[9] != "lo" for words in lines)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
