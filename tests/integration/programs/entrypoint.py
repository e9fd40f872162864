"""Images whose entrypoint starts what runs in their containers."""

import os
import sys
from pathlib import Path

import ionian

app = ionian.App("entrypoint")

START = """\
#!/bin/sh
echo "started by $0 with $1"
export FROM_START="$FROM_IMAGE and $FROM_SECRET"
unset UNWANTED
echo once >> /tmp/starts
cd /srv
shift
exec "$@"
"""
slim = ionian.Image.debian_slim(python_version="3.11")


def with_start(text: str) -> ionian.Image:
    write = f"cat > /start.sh << 'END'\n{text}END\nchmod +x /start.sh"
    return slim.run_commands(write).entrypoint(["/start.sh", "word"])


good = with_start(START).env({"FROM_IMAGE": "image", "UNWANTED": "1"}).cmd(["sleep", "1"])


@app.function(
    image=good, secrets=[ionian.Secret.from_dict({"FROM_SECRET": "secret"})], single_use_containers=True
)
def seen(x: int) -> list[str]:
    return [
        os.environ["FROM_START"],
        os.environ.get("UNWANTED", "not there"),
        os.getcwd(),
        Path("/tmp/starts").read_text(),
        os.environ["IONIAN_TASK_ID"],
        "isolated" if sys.flags.isolated else "plain",
    ]


@app.function(image=with_start('#!/bin/sh\nshift\n"$@"\n'))
def beside() -> None:
    pass


@app.function(image=with_start("#!/bin/sh\necho sorry >&2\nexit 3\n"))
def gives_up() -> None:
    pass


@app.function(image=slim.entrypoint(["/nothing.sh"]))
def missing() -> None:
    pass


@app.function(image=with_start('#!/bin/sh\nsleep 1000 &\nshift\nexec "$@"\n'))
def with_neighbour() -> list[str]:
    return [Path(one).read_text().strip() for one in map(str, Path("/proc").glob("[0-9]*/comm"))]
