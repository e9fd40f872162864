"""Containers' networks: one each, which leads to the world and to nothing of this machine."""

from __future__ import annotations

import asyncio
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.homes import Home
from tests.integration.test_command_line import write
from tests.integration.test_sandbox import PYTHON, World, run
from tests.integration.test_zygote import nursery

from ionian.worker.images.debian import apt_sources
from ionian.worker.images.host import read_apt
from ionian.worker.network.netlink import LOOPBACK, Netlink, own_addresses
from ionian.worker.network.network import Network, why_not
from ionian.worker.network.plan import Plan, choose_network, read_routes
from ionian.worker.sandbox import IdMap, Program, Sandbox, Spawner

pytestmark = [pytest.mark.timeout(120), pytest.mark.container]

own = pytest.mark.skipif(bool(why_not()), reason=f"no networks of their own here: {why_not()}")

TRIES = """
    import errno, json, socket, sys

    def tried(host, port):
        try:
            with socket.create_connection((host, port), timeout=20):
                return "connected"
        except OSError as error:
            return type(error).__name__ if error.errno is None else errno.errorcode.get(error.errno, str(error))
"""
REFUSED = ("ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH")

LISTENS = """
    import json, socket, struct, fcntl, sys, threading
    listener = socket.create_server(("0.0.0.0", 80))
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    packed = fcntl.ioctl(probe, 0x8915, struct.pack("256s", b"eth0"))[20:24]  # SIOCGIFADDR
    print(socket.inet_ntoa(packed), flush=True)
    while True:
        listener.accept()[0].close()
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    (tmp_path / "network").mkdir()
    yield made
    shutil.rmtree(tmp_path, ignore_errors=True)


@asynccontextmanager
async def networks(world: World) -> AsyncGenerator[Network]:
    """Sandboxes of this loop have networks of their own, in the block."""
    spawner, network = Spawner.of_this_loop(), Network(world.folder / "network")
    spawner.network = network
    try:
        await network.start()
        assert network.reason == ""
        yield network
    finally:
        network.close()


async def asked(world: World, code: str, **more: Any) -> Any:
    """What code in a sandbox prints, as JSON."""
    return await world.python(textwrap.dedent(TRIES) + textwrap.dedent(code), **more)


@asynccontextmanager
async def listening(world: World, code: str = LISTENS, **more: Any) -> AsyncGenerator[tuple[Sandbox, str]]:
    """A sandbox that listens on port 80 of its own address, and the line that it says then."""
    reading, writing = os.pipe()
    argv = ["--", PYTHON, "-c", textwrap.dedent(code)]
    async with world.sandbox(argv, stdout=writing, stderr=writing, **more) as box:
        os.close(writing)
        box.go()
        with os.fdopen(reading) as lines:
            said = await asyncio.to_thread(lines.readline)
            yield box, said.strip()


def way_out() -> tuple[str, int]:
    """A place of the world that this machine reaches: where its apt gets packages from."""
    proxies = re.findall(r'^Acquire::https?::Proxy "(http[^"]+)"', read_apt(), re.MULTILINE)
    urls = [urlsplit(url) for url in (*proxies, *(mirror.uri for mirror in apt_sources()))]
    known = [url for url in urls if url.hostname]
    if not known:
        pytest.skip("apt's sources name no host")
    host, port = known[0].hostname, known[0].port or {"https": 443}.get(known[0].scheme, 80)
    assert host is not None
    place = (host, port)
    try:
        socket.create_connection(place, timeout=10).close()
    except OSError as error:
        pytest.skip(f"this machine does not reach {place[0]} itself: {error}")
    return place


@own
def test_the_world_is_reached_by_its_names(world: World):
    host, port = way_out()

    async def main() -> None:
        async with networks(world):
            assert await asked(world, f"print(json.dumps(tried({host!r}, {port})))") == "connected"

    run(main)


@own
def test_build_steps_reach_the_world_too_and_hold_no_right_over_their_network(world: World):
    host, port = way_out()
    code = f"""
        said = [tried({host!r}, {port})]
        try:
            socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
            said.append("raw")
        except OSError:
            said.append("not raw")
        print(json.dumps(said))
    """

    async def main() -> None:
        async with networks(world):
            assert await asked(world, code, as_build=True) == ["connected", "not raw"]

    run(main)


@own
def test_this_machine_is_not_reached_by_any_of_its_addresses(world: World):
    async def main() -> None:
        with closing(socket.create_server(("0.0.0.0", 0))) as server:
            port = server.getsockname()[1]
            here = [str(address) for address in own_addresses()]
            gateway = Plan(choose_network(read_routes(Path("/proc/net/route").read_text())), forwards=False)
            places = [*here, "127.1.2.3", "0.0.0.0", str(gateway.gateway), str(gateway.own)]
            code = f"print(json.dumps([tried(host, {port}) for host in {places!r}]))"
            async with networks(world):
                said = await asked(world, code)
            assert all(one in REFUSED for one in said), list(zip(places, said, strict=True))
            assert not select.select([server], [], [], 0)[0]

    run(main)


def test_the_kernel_is_asked_again_and_again_by_one_socket():
    with closing(Netlink()) as asking:
        for _ in range(3):
            asking.has_default_route()
            assert asking.has(LOOPBACK)
            assert not asking.has(999_999)
            assert asking.addresses() == own_addresses() != []


@own
def test_the_metadata_of_clouds_is_refused_at_once(world: World):
    code = "print(json.dumps([tried(host, 80) for host in ('169.254.169.254', '169.254.170.2', '100.100.100.200')]))"

    async def main() -> None:
        async with networks(world):
            assert await asked(world, code) == ["ECONNREFUSED"] * 3

    run(main)


@own
def test_two_containers_listen_on_one_port_and_do_not_reach_each_other(world: World):
    async def main() -> None:
        async with networks(world), listening(world) as (_, one), listening(world) as (_, other):
            assert one != other
            said = await asked(
                world,
                f"print(json.dumps([tried({one!r}, 80), tried({other!r}, 80), tried('127.0.0.1', 80)]))",
            )
            assert all(word in REFUSED for word in said), said

    run(main)


@own
def test_a_program_that_is_run_inside_has_the_same_network(world: World):
    async def main() -> None:
        async with networks(world), listening(world) as (box, address):
            code = textwrap.dedent(TRIES) + f"sys.exit(tried({address!r}, 80) != 'connected')"
            inside = await box.enter(Program([PYTHON, "-c", code], {"PATH": "/usr/bin"}))
            assert await inside.wait() == (0, "")
            inside.close()

    run(main)


@own
def test_abstract_sockets_of_this_machine_are_not_seen(world: World):
    async def main() -> None:
        with closing(socket.socket(socket.AF_UNIX)) as server:
            server.bind("\0ionian-test-abstract")
            server.listen()
            code = r"""
                try:
                    socket.socket(socket.AF_UNIX).connect("\0ionian-test-abstract")
                    print('"connected"')
                except OSError:
                    print('"not there"')
            """
            async with networks(world):
                assert await asked(world, code) == "not there"

    run(main)


def test_a_blocked_sandbox_has_loopback_alone_with_and_without_a_gateway(world: World):
    code = """
        with socket.create_server(("127.0.0.1", 0)) as server:
            itself = tried(*server.getsockname())
        print(json.dumps([itself, tried("203.0.113.1", 80), [name for _, name in socket.if_nameindex()]]))
    """

    async def main() -> None:
        said = [await asked(world, code, network=False)]
        if not why_not():
            async with networks(world):
                said.append(await asked(world, code, network=False))
        for itself, outside, interfaces in said:
            assert (itself, outside, interfaces) == ("connected", "ENETUNREACH", ["lo"])

    run(main)


@own
def test_the_record_says_which_network_it_has(world: World):
    async def main() -> None:
        argv = ["--", "/bin/true"]
        async with world.sandbox(argv) as box:
            assert box.safety.endswith("net host")
        async with networks(world):
            async with world.sandbox(argv) as box:
                assert box.safety.endswith("net own")
            async with world.sandbox(argv, network=False) as box:
                assert box.safety.endswith("net none")

    run(main)


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [below for child in map(int, found) for below in (child, *children(child))]


def named(pids: list[int], word: str) -> list[int]:
    found: list[int] = []
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            if word in Path(f"/proc/{pid}/cmdline").read_text():
                found.append(pid)
    return found


async def gone(pid: int) -> None:
    """Waits for the end of a process that may not be our child."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with closing(os.fdopen(pidfd)):
        assert await asyncio.to_thread(select.select, [pidfd], [], [], 30) != ([], [], [])


@own
def test_after_the_end_of_a_gateway_the_next_container_has_a_network_again(world: World):
    code = "print(json.dumps(sorted(name for _, name in socket.if_nameindex())))"

    async def main() -> None:
        async with networks(world) as network:
            (gateway,) = named(children(os.getpid()), "network.gateway")[:1]
            was = network._socket
            os.kill(gateway, signal.SIGKILL)
            await gone(gateway)
            while network._socket is was:
                await asyncio.sleep(0)
            assert await asked(world, code) == ["eth0", "lo"]

    run(main)


RIVAL = """
import asyncio, sys
from pathlib import Path
from ionian.worker.network.network import Network
from ionian.worker.sandbox import Spawner

async def main():
    network = Spawner.of_this_loop().network = Network(Path(sys.argv[1]))
    await network.start()
    print(network.reason or "up", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@own
def test_of_two_workers_on_one_machine_one_is_killed_and_nothing_of_its_network_is_left(world: World):
    code = "print(json.dumps(sorted(name for _, name in socket.if_nameindex())))"
    interfaces = {name for _, name in socket.if_nameindex()}

    async def main() -> None:
        rival = subprocess.Popen(
            [sys.executable, "-c", RIVAL, world.folder], stdout=subprocess.PIPE, text=True
        )
        assert rival.stdout is not None
        try:
            assert await asyncio.to_thread(rival.stdout.readline) == "up\n"
            async with networks(world):
                assert await asked(world, code) == ["eth0", "lo"]
                below = children(rival.pid)
                assert named(below, "network.gateway")
                assert named(below, "pasta")
                rival.kill()
                for pid in below:
                    await gone(pid)
                assert await asked(world, code) == ["eth0", "lo"]
            assert {name for _, name in socket.if_nameindex()} == interfaces
        finally:
            rival.kill()
            rival.wait()
            rival.stdout.close()

    run(main)


APP = """
    import socket
    import modal

    app = modal.App("networks")

    def interfaces():
        return sorted(name for _, name in socket.if_nameindex())

    @app.function()
    def usual():
        return interfaces()

    @app.function(block_network=True)
    def blocked():
        try:
            socket.create_connection(("203.0.113.1", 80), timeout=20)
        except OSError as error:
            return interfaces(), error.strerror

    @app.cls(block_network=True)
    class Blocked:
        @modal.method()
        def look(self):
            return interfaces()

    @app.local_entrypoint()
    def main():
        print("usual", usual.remote())
        print("blocked", *blocked.remote())
        print("class", Blocked().look.remote(), Blocked.with_options(timeout=20)().look.remote())
"""


@pytest.mark.timeout(300)
def test_a_function_and_a_class_with_block_network_reach_nothing_and_answer_calls(home: Home, tmp_path: Path):
    done = home.ionian("run", write(tmp_path, "networks.py", APP), timeout_s=280)
    assert done.returncode == 0, done.stdout
    assert "blocked ['lo'] Network is unreachable" in done.stdout
    assert "class ['lo'] ['lo']" in done.stdout
    if not why_not():
        assert "usual ['eth0', 'lo']" in done.stdout


LOOK = """
    import errno, fcntl, socket, struct
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        out = socket.inet_ntoa(fcntl.ioctl(probe, 0x8915, struct.pack("256s", b"eth0"))[20:24])
    import builtins
    builtins.listener = socket.create_server(("0.0.0.0", 80))
"""

REACH = """
    import errno, socket
    out = []
    for place in {places!r}:
        try:
            socket.create_connection(tuple(place), timeout=20).close()
            out.append("connected")
        except OSError as error:
            out.append(errno.errorcode.get(error.errno, str(error)))
"""


@own
def test_forks_of_a_template_have_a_network_each(world: World):
    place = way_out()

    (world.layer / "tmp").mkdir()
    if os.geteuid() == 0:
        ids = IdMap.current()
        os.chown(world.layer / "tmp", ids.host_uid, ids.host_gid)

    async def main() -> None:
        async with networks(world), nursery(world.folder) as made:
            one, other = await made.fork(), await made.fork()
            addresses = [await one.python(LOOK), await other.python(LOOK)]
            assert addresses[0] != addresses[1]
            assert one.box.safety.endswith("net own")
            places = [place, ("127.0.0.1", 80), (addresses[1], 80), (str(own_addresses()[-1]), 80)]
            said = await one.python(REACH.format(places=places))
            assert said[:2] == ["connected", "connected"], said
            assert all(word in REFUSED for word in said[2:]), said

    run(main)


@own
def test_a_fork_that_was_made_ahead_is_not_used_when_its_gateway_has_ended(world: World):
    (world.layer / "tmp").mkdir()
    if os.geteuid() == 0:
        ids = IdMap.current()
        os.chown(world.layer / "tmp", ids.host_uid, ids.host_gid)
    names = "import socket; out = sorted(name for _, name in socket.if_nameindex())"

    async def main() -> None:
        async with networks(world) as network, nursery(world.folder) as made:
            await made.fork(hostname="alike", again=True)
            while (spare := made.zygote.spare) is None:
                await asyncio.sleep(0.01)
            (gateway,) = named(children(os.getpid()), "network.gateway")[:1]
            was = network.gateway
            os.kill(gateway, signal.SIGKILL)
            await gone(gateway)
            while network.gateway is was:
                await asyncio.sleep(0)
            await network.start()
            fork = await made.fork(hostname="alike", again=True)
            assert fork.box.pid != spare.pid
            assert await fork.python(names) == ["eth0", "lo"]

    run(main)
