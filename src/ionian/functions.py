"""Functions and their calls under the name of Modal's module: `from modal.functions import FunctionCall`."""

from __future__ import annotations

from .function import Function
from .function_call import FunctionCall

__all__ = ["Function", "FunctionCall"]
