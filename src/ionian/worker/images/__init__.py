"""Images: from a list of instructions to overlay layers that containers start from."""

from .records import BuiltImage, ImageError
from .ring import inner_ring
from .store import ImageStore

__all__ = ["BuiltImage", "ImageError", "ImageStore", "inner_ring"]
