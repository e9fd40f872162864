"""Functions on an image of another Python than that of the client."""

import sys

import ionian as modal

OTHER = "3.13" if sys.version_info[:2] == (3, 11) else "3.11"

app = modal.App("other-python", image=modal.Image.debian_slim(python_version=OTHER))


class Document:
    def __init__(self, text: str) -> None:
        self.text = text


@app.function()
def read(document: Document) -> tuple[str, Document]:
    return f"{sys.version_info[0]}.{sys.version_info[1]}", Document(document.text.upper())


@app.function()
def apply(function, number: int) -> int:
    return function(number)


@app.function()
def maker():
    return lambda number: number + 1


@app.local_entrypoint()
def values() -> None:
    version, document = read.remote(Document("text"))
    print("there", version, type(document) is Document, document.text)


@app.local_entrypoint()
def code_there() -> None:
    apply.remote(lambda number: number + 1, 1)


@app.local_entrypoint()
def code_here() -> None:
    maker.remote()
