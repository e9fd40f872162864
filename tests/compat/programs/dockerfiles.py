"""Images of Dockerfiles."""

from pathlib import Path

import modal

HERE = Path(__file__).parent / "dockerfiles"
app = modal.App("dockerfiles")

whole = modal.Image.from_dockerfile(
    HERE / "Dockerfile", context_dir=HERE, build_args={"FLAVOUR": "sweet 'n' sour"}
)
commands = modal.Image.debian_slim("3.11").dockerfile_commands(
    ["ENV A=1", "ENV B=${A}2"],
    "WORKDIR /srv",
    "COPY one.txt two.txt",
    "RUN echo $B > b.txt",
    'CMD ["python", "-V"]',
    context_files={"/one.txt": str(HERE / "site" / "a.txt")},
    env={"A": "9"},
)


def with_note(image: modal.Image, note: str) -> modal.Image:
    return image.shell(["/bin/bash", "-c"]).run_commands(f"[[ -n '{note}' ]] && echo {note} > /note")


noted = modal.Image.debian_slim("3.11").pipe(with_note, note="bash").cmd(["python", "-V"])


@app.function(image=noted)
def note() -> str:
    return Path("/note").read_text().strip()


@app.function(image=whole)
def look() -> dict[str, str]:
    import os
    import stat

    root = Path("/srv/app")
    found = {
        str(path.relative_to(root)): path.read_text().strip() for path in root.rglob("*") if path.is_file()
    }
    texts = root / "texts" / "a.txt"
    found["mode"] = oct(stat.S_IMODE(texts.stat().st_mode))
    found["PATH"] = os.environ["PATH"].partition(":")[0]
    found["cwd"] = os.getcwd()
    found["FLAVOUR"] = os.environ.get("FLAVOUR", "not there")
    return found


@app.function(image=commands)
def other() -> list[str]:
    import os

    return [
        Path("/srv/two.txt").read_text(),
        Path("/srv/b.txt").read_text(),
        os.environ["B"],
        os.environ["A"],
    ]


@app.local_entrypoint()
def main():
    found = look.remote()
    expected = {
        "a.txt": "page a",
        "b.txt": "page b",
        "texts/a.txt": "page a",
        "texts/b.txt": "page b",
        "inner/deep.md": "deep",
        "inner/kept.log": "kept",
        "tool.txt": "made by root",
        "flavour.txt": "sweet 'n' sour",
        "heredoc.txt": "one\ntwo",
        "greeting.txt": "hello there from a text",
        "shell.txt": "bash",
        "theirs/who.txt": "nobody",
        "mode": "0o640",
        "PATH": "/srv/app/bin",
        "cwd": "/srv/app",
        "FLAVOUR": "not there",
    }
    assert found == expected, found
    assert other.remote() == ["page a\n", "12\n", "12", "1"]
    assert note.remote() == "bash"
    print("all as expected")
