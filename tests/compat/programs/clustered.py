"""Containers that work together: each input goes to all of a cluster, they add up what they have, and rank 0 answers."""

import os
import socket
import struct
import time

import modal

app = modal.App("clustered")

SIZE = 4
PORT = 29500


def receive(connection: socket.socket) -> float:
    data = b""
    while len(data) < 8:
        part = connection.recv(8 - len(data))
        if not part:
            raise ConnectionError("a member has gone")
        data += part
    return struct.unpack("d", data)[0]


def all_reduce(rank: int, size: int, value: float) -> float:
    """The sum of what all have, by way of rank 0, as a rendezvous at MASTER_ADDR and MASTER_PORT does it."""
    address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    if rank:
        while True:
            try:
                with socket.create_connection(address, timeout=120) as to_first:
                    to_first.sendall(struct.pack("d", value))
                    return receive(to_first)
            except ConnectionRefusedError:
                time.sleep(0.01)  # rank 0 does not listen yet
    with socket.create_server(address, family=family) as listener:
        others = [listener.accept()[0] for _ in range(size - 1)]
        total = value + sum(receive(other) for other in others)
        for other in others:
            other.sendall(struct.pack("d", total))
            other.close()
        return total


@app.function(timeout=600)
@modal.clustered(size=SIZE)
def add_up(value: float, family: str = "ipv6") -> dict:
    cluster = modal.Cluster.from_context()
    rank, addresses = cluster.container_rank(), cluster.container_ips(family)
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = addresses[0], str(PORT)
    print(f"rank {rank} of {len(addresses)} adds {value * (rank + 1)}")
    total = all_reduce(rank, len(addresses), value * (rank + 1))
    info = modal.experimental.get_cluster_info()
    assert (info.rank, info.cluster_id) == (rank, cluster.object_id)
    assert cluster.container_rank(cluster.container_ids()[rank]) == rank
    return {
        "total": total,
        "rank": rank,
        "ids": cluster.container_ids(),
        "here": os.environ["MODAL_TASK_ID"],
        "addresses": addresses,
        "host": socket.gethostname(),
    }


@app.cls(timeout=600)
@modal.clustered(size=2)
class Counter:
    @modal.enter()
    def begin(self) -> None:
        self.inputs = 0

    @modal.method()
    def count(self) -> tuple[int, float]:
        cluster = modal.Cluster.from_context()
        self.inputs += 1
        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = cluster.container_ips()[0], str(PORT)
        return self.inputs, all_reduce(cluster.container_rank(), 2, self.inputs)


@app.function()
@modal.clustered(size=2)
def letters():
    rank = modal.Cluster.from_context().container_rank()
    for letter in "abc":
        yield f"{letter}{rank}"


@app.local_entrypoint()
def main() -> None:
    for family in ("ipv6", "ipv4"):
        said = add_up.remote(2.0, family)
        assert said["total"] == 2.0 * (1 + 2 + 3 + 4), said
        assert said["rank"] == 0, said
        assert said["here"] == said["ids"][0], said
        assert len(set(said["ids"])) == SIZE
        assert len(set(said["addresses"])) == SIZE
    assert [said["total"] for said in add_up.map([1.0, 2.0, 3.0])] == [10.0, 20.0, 30.0]
    counter = Counter()
    assert counter.count.remote() == (1, 2.0)
    assert counter.count.remote() == (2, 4.0)
    assert list(letters.remote_gen()) == ["a0", "b0", "c0"]
    try:
        modal.Cluster.from_context()
    except modal.exception.InvalidError as error:
        print(error)
    print("all as expected")
