"""Clusters whose members fail, die, take too long, are blocked, call others, and have cards."""

import asyncio
import json
import os
import pathlib
import re
import socket
import time

import ionian as modal

app = modal.App("clusters", image=modal.Image.debian_slim(python_version="3.11"))
marks = modal.Volume.from_name("clusters", create_if_missing=True)

PORT = 7000


def place(family: str = "ipv4") -> tuple[int, list[str], list[str]]:
    cluster = modal.Cluster.from_context()
    return cluster.container_rank(), cluster.container_ips(family), cluster.container_ids()


def connected(address: str, port: int = PORT) -> socket.socket:
    while True:
        try:
            return socket.create_connection((address, port), timeout=120)
        except ConnectionRefusedError:
            time.sleep(0.01)  # the other does not listen yet


def gathered(value: object, family: str = "ipv4") -> list:
    """What all members say, for rank 0; the others have nothing."""
    rank, addresses, _ = place(family)
    if rank:
        with connected(addresses[0]) as to_first:
            to_first.sendall(json.dumps([rank, value]).encode() + b"\n")
        return []
    kind = socket.AF_INET6 if ":" in addresses[0] else socket.AF_INET
    said = {0: value}
    with socket.create_server((addresses[0], PORT), family=kind) as listener:
        while len(said) < len(addresses):
            with listener.accept()[0] as other, other.makefile() as lines:
                number, what = json.loads(lines.readline())
                said[number] = what
    return [said[number] for number in range(len(addresses))]


@app.function(volumes={"/marks": marks})
@modal.clustered(size=2)
def dies(name: str) -> list:
    rank, _, _ = place()
    mark = pathlib.Path("/marks", name)
    if rank == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), 9)
    return gathered(mark.exists())


@app.function()
@modal.clustered(size=2)
def fails(who: int) -> list[str]:
    rank, _, ids = place()
    if who == rank:
        raise ValueError(f"rank {rank} says no")
    if who >= 0:
        time.sleep(3600)  # as it would wait for the other
    return ids


@app.function(timeout=1, startup_timeout=300)
@modal.clustered(size=2)
def slow() -> None:
    if place()[0] == 1:
        time.sleep(3600)


@app.function(block_network=True)
@modal.clustered(size=2)
def blocked(content: bytes) -> tuple[list, bytes]:
    """Takes and gives what is too large for a message, too."""
    return gathered([knocked("192.0.2.1", 80), len(content)]), content


def knocked(address: str, port: int) -> str:
    try:
        socket.create_connection((address, port), timeout=60).close()
    except OSError as error:
        return type(error).__name__
    return "let in"


@app.function()
def knock(address: str, cluster_id: str) -> list:
    return [knocked(address, PORT + 1), modal.Cluster.from_id(cluster_id).container_ids()]


@app.function()
@modal.clustered(size=2)
def knock_together(address: str) -> list:
    return gathered(knocked(address, PORT + 1))


@app.function()
@modal.clustered(size=2)
def besieged() -> list:
    """Rank 0 listens; rank 1 has others try to reach that, from which only it can."""
    rank, addresses, ids = place()
    if rank == 0:
        with socket.create_server(("", PORT + 1)) as listener:
            assert listener.fileno() >= 0
            return gathered("listens")
    own = connected(addresses[0], PORT + 1)
    alone, known = knock.remote(addresses[0], modal.Cluster.from_context().object_id)
    assert known == ids, known
    said = [alone, knock_together.remote(addresses[0]), knocked(addresses[0], PORT + 1)]
    own.close()
    return gathered(said)


@app.function()
@modal.clustered(size=2)
@modal.concurrent(max_inputs=4)
async def together(number: int) -> tuple[int, int]:
    await asyncio.sleep(0)
    return number, place()[0]


@app.function(gpu="A100:2")
@modal.clustered(size=2)
def cards() -> list:
    found = [name for name in os.listdir("/dev") if re.fullmatch("nvidia[0-9]+", name)]
    return gathered([sorted(found), os.environ["CUDA_VISIBLE_DEVICES"]])


@app.cls(min_containers=2, max_containers=2)
@modal.clustered(size=2)
class Waits:
    @modal.enter()
    def begin(self) -> None:
        self.interrupted = 0

    @modal.method()
    def wait(self, begun: modal.Queue | None) -> list:
        """Until it is cancelled; without a queue it says how often each member was."""
        if begun is None:
            return gathered(self.interrupted)
        try:
            begun.put(place()[0])
            time.sleep(3600)
        except BaseException:
            self.interrupted += 1
            raise
        return []


@app.cls()
@modal.clustered(size=2)
class EntersBadly:
    @modal.enter()
    def begin(self) -> None:
        if place()[0] == 1:
            raise ValueError("rank 1 does not begin")

    @modal.method()
    def run(self) -> None:
        raise AssertionError("it never runs")


@app.function(single_use_containers=True)
@modal.clustered(size=2)
def once() -> list[str]:
    return place()[2]


@app.function(volumes={"/marks": marks})
@modal.clustered(size=2)
def held(name: str) -> str:
    """Waits until it is let go; says how often it began."""
    rank, _, _ = place()
    with open(f"/marks/{name}.begun", "a") as file:
        file.write(f"{rank}\n")
    print(f"rank {rank} waits", flush=True)
    while not os.path.exists(f"/marks/{name}.go"):
        time.sleep(0.02)
    return pathlib.Path(f"/marks/{name}.begun").read_text()


def failure(call, *args: object) -> list[str]:
    try:
        return ["no failure", repr(call(*args))]
    except Exception as error:
        return [type(error).__name__, str(error)]


def cancelled() -> list:
    """A call is cancelled while both members run it; the next one is run by the same."""
    waits = Waits()
    with modal.Queue.ephemeral() as begun:
        call = waits.wait.spawn(begun)
        ranks = [begun.get(timeout=120), begun.get(timeout=120)]
        call.cancel()
        said = failure(call.get)[0]
        return [sorted(ranks), said, waits.wait.remote(None)]


def scaled() -> list:
    """The minimum counts containers, and so do the statistics."""
    waits = Waits()
    stats = waits.wait.get_current_stats()
    refused = failure(lambda: waits.update_autoscaler(min_containers=1))
    return [stats.num_total_runners, refused]


@app.local_entrypoint()
def main() -> None:
    before = fails.remote(-1)
    first, second = failure(fails.remote, 1), failure(fails.remote, 0)
    after = fails.remote(-1)
    content = os.urandom(5 << 20)
    try:
        behind, back = blocked.remote(content)
    except modal.exception.RemoteError as error:  # where containers have no networks of their own
        behind, back = [], b""
        print(error)
    info = dies.info().cluster_info
    seen = {
        "dies": dies.remote("once"),
        "first": first,
        "second": second,
        "same containers": before == after,
        "slow": failure(slow.remote),
        "blocked": behind,
        "besieged": besieged.remote(),
        "same content": back == content,
        "together": sorted(together.map(range(8))),
        "cards": cards.remote(),
        "cancelled": cancelled(),
        "scaled": scaled(),
        "enters badly": failure(EntersBadly().run.remote),
        "once": [len(set(once.remote()) | set(once.remote()))],
        "info": [info.size, info.rdma, info.fabric_size],
    }
    print("SEEN", json.dumps(seen))


@app.local_entrypoint()
def hold(name: str) -> None:
    print("began", held.remote(name).split())


@app.local_entrypoint()
def let_go(name: str) -> None:
    with marks.batch_upload() as batch:
        import io

        batch.put_file(io.BytesIO(b""), f"/{name}.go")
