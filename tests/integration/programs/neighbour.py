"""A function of another app, which holds what nobody else is to have, and answers all the while."""

import os
import posix

import modal

app = modal.App("neighbour")
volume = modal.Volume.from_name("of-the-neighbour", create_if_missing=True)
kept = []


@app.function(
    image=modal.Image.debian_slim("3.11"),
    volumes={"/vol": volume},
    secrets=[modal.Secret.from_dict({"CANARY": os.environ.get("CANARY", "")})],
    max_containers=1,
    scaledown_window=600,
)
def beat():
    """Who answers: always the same container."""
    if not kept:
        kept.append(os.environ["CANARY"])
        for path in ("/tmp/secret", "/vol/secret", "/dev/shm/secret"):
            with open(path, "w") as file:
                file.write(kept[0])
    with open("/tmp/secret") as file:
        assert file.read() == kept[0]
    return f"{os.environ['MODAL_TASK_ID']} {posix.getpid()}"
