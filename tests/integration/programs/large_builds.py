"""Images that need more room than a small disk has. `large_builds.py WHICH`"""

import sys

import ionian as modal

app = modal.App("large-builds")
slim = modal.Image.debian_slim(python_version="3.11")
WHICH = {
    "command": lambda: slim.run_commands("head -c 1G /dev/zero > /large"),
    "package": lambda: slim.pip_install("numpy"),
    "small": lambda: slim.run_commands("echo small > /small"),
}
image = WHICH[sys.argv[1]]() if modal.is_local() else slim


@app.function(image=image)
def built() -> bool:
    return True


with app.run():
    print("built", built.remote())
