"""The version of Ionian, and of the Modal client whose API it has."""

VERSION = "0.1.0"

MODAL = "1.6.4"

__version__ = f"{MODAL}+ionian.{VERSION}"
"""What `modal.__version__` says: programs that ask for a minimum version of Modal get their answer."""
