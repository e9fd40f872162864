"""`import modal` in a process that user code starts in a container: Ionian under that name, as in the container's own.

Lies as `modal/__init__.py` beside `ionian` in every container.
"""

import sys

from ionian.alias import install

sys.modules.pop("modal", None)  # this module; Ionian takes its place
install()
sys.modules["modal"] = sys.modules["ionian"]
