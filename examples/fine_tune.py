"""Trains a small model of the letters in a text, with checkpoints: what is killed goes on where it was.

    ionian run examples/fine_tune.py
    ionian run examples/fine_tune.py --run another --text ~/notes.txt --steps 2000
    ionian run examples/fine_tune.py --run killed --kill-at 60     # its container dies once, at that step

Each run has a name; the same name again goes on with that run. The container writes a checkpoint to a volume each
20 steps. When it fails, is killed or is over its timeout, the retry begins at the last checkpoint.
"""

import os
import signal
from pathlib import Path

import modal

app = modal.App("fine-tune")
image = modal.Image.debian_slim(python_version="3.11").pip_install("numpy")
checkpoints = modal.Volume.from_name("fine-tune-checkpoints", create_if_missing=True)

with image.imports():
    import numpy as np

EVERY = 20
"""Steps from one checkpoint to the next."""

BATCH = 128
CONTEXT, WIDTH, RATE = 3, 64, 0.5
"""Letters that the model sees, units of its hidden layer, step of its descent."""


class Model:
    """Guesses a letter from those before it: one hidden layer, trained by gradient descent."""

    def __init__(self, kinds: int) -> None:
        start = np.random.default_rng(0)
        self.step = 0
        self.kinds = kinds
        self.hidden = start.normal(0, 0.1, (CONTEXT * kinds, WIDTH))
        self.out = start.normal(0, 0.1, (WIDTH, kinds))

    def save(self, path: Path) -> None:
        """Whole or not at all: whoever looks finds this checkpoint or the one before."""
        unfinished = path.with_suffix(".part.npz")
        np.savez(unfinished, step=self.step, hidden=self.hidden, out=self.out)
        os.replace(unfinished, path)

    def restore(self, path: Path) -> None:
        with np.load(path) as saved:
            self.step, self.hidden, self.out = int(saved["step"]), saved["hidden"], saved["out"]

    def train(self, letters: "np.ndarray", at: "np.ndarray") -> None:
        """One step, on the letters at these places."""
        rows, inner, chances = self.guess(letters, at)
        chances[np.arange(len(at)), letters[at]] -= 1
        back = (chances @ self.out.T) * (1 - inner**2) / len(at)
        self.out -= RATE * inner.T @ chances / len(at)
        for row in rows:
            np.add.at(self.hidden, row, -RATE * back)
        self.step += 1

    def loss(self, letters: "np.ndarray") -> float:
        """In nats a letter, over the whole text."""
        at = np.arange(CONTEXT, len(letters))
        _, _, chances = self.guess(letters, at)
        return float(-np.log(chances[np.arange(len(at)), letters[at]]).mean())

    def guess(self, letters: "np.ndarray", at: "np.ndarray"):
        """The rows of the first layer that are active, the hidden layer, and the chance of each letter."""
        rows = [letters[at - back] + (back - 1) * self.kinds for back in range(1, CONTEXT + 1)]
        inner = np.tanh(sum(self.hidden[row] for row in rows))
        scores = inner @ self.out
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        return rows, inner, chances / chances.sum(axis=1, keepdims=True)


@app.function(
    image=image,
    volumes={"/checkpoints": checkpoints},
    memory=512,
    timeout=3600,
    retries=modal.Retries(max_retries=3, initial_delay=0.0),
)
def train(text: str, steps: int, run: str, kill_at: int = 0) -> float:
    """Trains until so many steps are done; returns the loss."""
    kinds = sorted(set(text))
    letters = np.array([kinds.index(letter) for letter in text])
    model, path = Model(len(kinds)), Path("/checkpoints") / f"{run}.npz"
    if path.exists():
        model.restore(path)
        print(f"going on at step {model.step}")
    while model.step < steps:
        # The batch follows from the step alone: a retry trains on what the lost steps were trained on.
        model.train(letters, np.random.default_rng(model.step).integers(CONTEXT, len(letters), BATCH))
        if model.step % EVERY == 0 or model.step == steps:
            model.save(path)
            checkpoints.commit()
            print(f"step {model.step}: loss {model.loss(letters):.3f}", flush=True)
        if model.step == kill_at and not (killed := path.with_suffix(".killed")).exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return model.loss(letters)


@app.local_entrypoint()
def main(steps: int = 200, run: str = "first", text: str = "", kill_at: int = 0):
    source = Path(text).expanduser() if text else Path(__file__)
    loss = train.remote(source.read_text(), steps, run, kill_at)
    print(f"{run}: {steps} steps on {source.name}, loss {loss:.3f}")
