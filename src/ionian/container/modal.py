"""`import modal` in a process that user code starts in a container: Ionian under that name, as in the container's own.

Lies as `modal/__init__.py` beside `ionian` in every container.
"""

import sys

from ionian.alias import install

install()
sys.modules["modal"] = sys.modules["ionian"]  # in place of this module
