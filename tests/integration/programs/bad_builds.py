"""Images that can't be built. `bad_builds.py WHICH`"""

import sys

import ionian as modal

app = modal.App("bad-builds")
slim = modal.Image.debian_slim(python_version="3.11")
image = {
    "package": lambda: slim.pip_install("no-such-package-of-ionian"),
    "version": lambda: slim.pip_install("click==0.0.99"),
    "command": lambda: slim.run_commands(
        "for n in $(seq 60); do echo line $n; done; ls /no/such/folder; exit 3"
    ),
    "apt": lambda: slim.apt_install("no-such-package-of-debian"),
    "file": lambda: slim.add_local_file("no/such/file.txt", "/root/file.txt"),
}[sys.argv[1]]()


@app.function(image=image)
def never() -> None: ...


with app.run():
    never.remote()
