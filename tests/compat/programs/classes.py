"""A class that loads a model once a container, as programs for Modal have it."""

import asyncio

import modal

app = modal.App("compat-classes")


@app.cls(cpu=0.25, scaledown_window=30)
@modal.concurrent(max_inputs=2)
class Model:
    name: str = modal.parameter(default="small")
    layers: int = modal.parameter(default=2)

    @modal.enter()
    def load(self):
        self.weights = {"small": 1, "large": 100}[self.name]

    @modal.enter()
    async def connect(self):
        await asyncio.sleep(0)
        self.connected = True

    @modal.method()
    def predict(self, x: int) -> int:
        assert self.connected
        return self._forward(x)

    @modal.method()
    async def predict_async(self, x: int) -> int:
        return self._forward(x) + 1

    @modal.method()
    def tokens(self, n: int):
        for i in range(n):
            yield f"{self.name}-{i}"

    def _forward(self, x):
        return x * self.weights * self.layers

    @modal.exit()
    def close(self):
        self.connected = False


@app.cls()
class Pipeline:
    @modal.enter()
    def start(self):
        self.model = Model(name="large")

    @modal.method()
    def run(self, xs: list[int]) -> list[int]:
        return list(self.model.predict.map(xs))


@app.cls()
class Embedder:
    @modal.batched(max_batch_size=4, wait_ms=100)
    async def embed(self, texts: list[str]) -> list[int]:
        return [len(text) for text in texts]


@app.local_entrypoint()
def main():
    small, large = Model(), Model(name="large", layers=1)
    assert small.predict.remote(3) == 6
    assert large.predict.remote(3) == 300
    assert small.predict_async.remote(3) == 7
    assert list(small.tokens.remote_gen(2)) == ["small-0", "small-1"]
    assert list(large.predict.map(range(3))) == [0, 100, 200]
    assert small.predict.local(3) == 6
    assert Pipeline().run.remote([1, 2]) == [200, 400]
    assert list(Embedder().embed.map(["a", "bb", "ccc"])) == [1, 2, 3]
    call = small.predict.spawn(5)
    assert call.get(timeout=60) == 10
    bigger = Model.with_options(cpu=0.5)(layers=3)
    assert bigger.predict.remote(1) == 3
    print("all as expected")
