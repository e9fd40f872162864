"""Templates: processes that have imported a function's module and are forked into its containers."""

from .template import Template
from .templates import Choice, Templates

__all__ = ["Choice", "Template", "Templates"]
