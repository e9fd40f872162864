"""What is in dicts and queues: operations on it as they come in, who waits for an item, what expires."""

from .desk import Desk

__all__ = ["Desk"]
