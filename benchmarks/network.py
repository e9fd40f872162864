"""What a network of its own adds to a sandbox's start: `python -m benchmarks.network [STARTS]`.

Starts by turns with and without, in one process, from the call to the program's first output. Then 50 at once.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from ionian.worker.network.network import Network
from ionian.worker.sandbox import Bind, IdMap, SandboxSpec, Spawner, start

AT_ONCE = 50


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        self.layer = folder / "layer"
        self.layer.mkdir()
        for name in ("usr", "etc", "root"):
            (self.layer / name).mkdir()
        for name in ("bin", "lib", "lib64"):
            if Path("/", name).is_symlink():
                (self.layer / name).symlink_to(f"usr/{name}")
        if os.geteuid() == 0:
            ids = IdMap.current()
            for path in (self.layer, *self.layer.iterdir()):
                os.chown(path, ids.host_uid, ids.host_gid, follow_symlinks=False)

    async def one(self) -> float:
        """Milliseconds until its program has run."""
        self.count += 1
        spec = SandboxSpec(
            [self.layer],
            self.folder / "scratch" / str(self.count),
            ["--", "/bin/true"],
            binds=[Bind(Path("/usr"), "/usr")],
            python="/usr/bin/python3",
        )
        since = time.perf_counter()
        box = await start(spec)
        box.go()
        await box.wait()
        took = 1e3 * (time.perf_counter() - since)
        await box.remove()
        return took

    async def many(self) -> float:
        since = time.perf_counter()
        await asyncio.gather(*(self.one() for _ in range(AT_ONCE)))
        return 1e3 * (time.perf_counter() - since)


async def main(starts: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="ionian-bench-"))
    folder.chmod(0o755)
    bench = Bench(folder)
    spawner, network = Spawner.of_this_loop(), Network(folder)
    try:
        since = time.perf_counter()
        await network.start()
        print(f"gateway up in {1e3 * (time.perf_counter() - since):.0f} ms {network.reason}")
        took: dict[str, list[float]] = {"own": [], "machine's": []}
        for _ in range(starts):
            for name, chosen in (("own", network), ("machine's", None)):
                spawner.network = chosen
                took[name].append(await bench.one())
        for name, values in took.items():
            fine = statistics.quantiles(values, n=20)
            print(
                f"{name:<10} p50 {statistics.median(values):6.1f} ms   p95 {fine[-1]:6.1f} ms   ({starts} starts)"
            )
        for name, chosen in (("own", network), ("machine's", None)):
            spawner.network = chosen
            print(f"{name:<10} {AT_ONCE} at once: {await bench.many():6.0f} ms until all have run")
    finally:
        network.close()
        spawner.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
