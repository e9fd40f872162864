"""Web requests: the listening socket, which function answers what, and each request on its way to a container and back.

A request is an input whose caller is `WEB`, played here. It is not stored: it is run at most once after user code may have
seen it, and ends with its client's connection.
"""

from .exchange import WEB
from .web import Web

__all__ = ["WEB", "Web"]
