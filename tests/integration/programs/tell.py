"""A small program that several clients run at once."""

from __future__ import annotations

import ionian as modal

app = modal.App("tell")


@app.function(max_containers=1)
def tell(client: str, number: int) -> str:
    return f"{client}-{number}"


@app.local_entrypoint()
def main(client: str, n: int = 2000) -> None:
    got = list(tell.map([client] * n, range(n)))
    print("as expected" if got == [f"{client}-{number}" for number in range(n)] else got[:10], flush=True)
