"""A search by meaning that stays: a deployed class, with containers of its own for each collection of texts.

    ionian deploy examples/search_service.py
    python examples/ask_search_service.py

The second script is another program: it finds the class by its name, fills a collection and asks it. The model is
loaded once a container; a collection is a folder of a volume, so it outlives containers, deploys and restarts.
"""

import json
import os
import uuid
from pathlib import Path

import modal

app = modal.App("search-service")
image = modal.Image.debian_slim(python_version="3.11").pip_install("wordllama")
collections = modal.Volume.from_name("search-collections", create_if_missing=True)

with image.imports():
    import numpy as np
    import wordllama

COLLECTIONS = Path("/collections")


@app.cls(image=image, volumes={str(COLLECTIONS): collections}, memory=1024, scaledown_window=120)
@modal.concurrent(max_inputs=8)
class Collection:
    """Texts under a name."""

    name: str = modal.parameter()

    @modal.enter()
    def load(self) -> None:
        """Once a container."""
        self.folder = COLLECTIONS / self.name
        self.folder.mkdir(exist_ok=True)
        self.model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent)

    @modal.method()
    def add(self, texts: list[str]) -> int:
        """Puts texts in; returns how many were."""
        name = uuid.uuid4().hex
        unfinished = self.folder / f"{name}.part"
        unfinished.write_text(json.dumps(texts))
        vectors = self.model.embed(texts, norm=True)
        np.save(self.folder / f"{name}.npy", vectors)
        os.replace(unfinished, self.folder / f"{name}.json")  # from here on it is found, and whole
        collections.commit()
        return len(texts)

    @modal.method()
    def search(self, question: str, count: int = 3) -> list[tuple[float, str]]:
        """The texts that are nearest to the question, best first, with their similarity."""
        found: list[tuple[float, str]] = []
        asked = self.model.embed([question], norm=True)[0]
        for path in self.folder.glob("*.json"):
            similarity = np.load(path.with_suffix(".npy")) @ asked
            texts = json.loads(path.read_text())
            found += [(float(similarity[at]), texts[at]) for at in np.argsort(-similarity)[:count]]
        return sorted(found, reverse=True)[:count]
