"""Images: from a list of instructions to overlay layers that containers start from."""

from . import garbage
from .packed import Unpackable
from .records import BuiltImage, ImageError
from .ring import inner_ring
from .sharing import Sharing
from .store import ImageStore, mount_name

__all__ = [
    "BuiltImage",
    "ImageError",
    "ImageStore",
    "Sharing",
    "Unpackable",
    "garbage",
    "inner_ring",
    "mount_name",
]
