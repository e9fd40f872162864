"""Embeds 100,000 real documents in up to 20 containers, then answers questions with them.

    ionian run examples/embed_documents.py
    ionian run examples/embed_documents.py --folder ~/notes --limit 5000

It is a plain Modal program. The model is WordLlama: small, so the work is done on any machine, and its weights
come with its package, so nothing is downloaded when a container starts.
"""

import time
from pathlib import Path

import modal

app = modal.App("embed-documents")

image = modal.Image.debian_slim(python_version="3.11").pip_install("wordllama")

with image.imports():
    import numpy as np
    import wordllama

    # The tokenizer is looked for below this folder, as the weights are: both lie in the package.
    model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent)

DIMENSIONS = 256

QUESTIONS = [
    "How do I follow the last lines of a file as it grows?",
    "What happens when a thread waits for a lock that another one holds?",
    "Convert a date and time from one time zone to another",
    "How are files compressed to save disk space?",
    "Check whether a certificate has expired",
]


@app.function(image=image, memory=512, concurrency_limit=20)
def embed(document: str) -> bytes:
    """The document's vector of unit length, as 256 float32."""
    return model.embed([document], norm=True)[0].astype(np.float32).tobytes()


@app.function(image=image, memory=1024)
def nearest(questions: list[str], vectors: bytes, count: int) -> list[list[tuple[int, float]]]:
    """For each question the documents nearest to it: place and cosine similarity, best first."""
    documents = np.frombuffer(vectors, dtype=np.float32).reshape(-1, DIMENSIONS)
    answers: list[list[tuple[int, float]]] = []
    for question in model.embed(questions, norm=True):
        similarity = documents @ question
        best = np.argsort(-similarity)[:count]
        answers.append([(int(place), float(similarity[place])) for place in best])
    return answers


@app.local_entrypoint()
def main(folder: str = "", limit: int = 100_000):
    from passages import collect  # beside this file; only the user's side reads documents

    where = folder or "the manuals, documentation and Python source of this machine"
    print(f"Reading {where} …")
    documents = collect(Path(folder).expanduser() if folder else None, limit)
    if not documents:
        raise SystemExit(f"expected text files below {folder!r}, found none with a passage of 200 characters")
    if len(documents) < limit:
        print(f"Found {len(documents):,} passages, not {limit:,}; going on with them.")
    print(f"Embedding {len(documents):,} passages.")

    start = time.monotonic()
    vectors = list(embed.map(documents, order_outputs=True))
    seconds = time.monotonic() - start
    rate = len(documents) / seconds
    print(f"Embedded {len(vectors):,} documents in {seconds:.1f} s, {rate:,.0f} a second.")

    for question, answers in zip(QUESTIONS, nearest.remote(QUESTIONS, b"".join(vectors), 2), strict=True):
        print(f"\n{question}")
        for place, similarity in answers:
            text = documents[place]
            print(f"  {similarity:.2f}  {text[:150]}{'…' if len(text) > 150 else ''}")
