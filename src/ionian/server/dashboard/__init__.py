"""The dashboard: pages that show a person what a server has and does, rendered here, on a port of their own.

A page asks the handlers what a client's stream would ask them, as the actor of the token with which the browser came in: so
it shows what this token may see, and nothing else decides that.
"""

from .dashboard import Dashboard

__all__ = ["Dashboard"]
