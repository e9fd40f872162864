"""What the server must not lose: SQLite, or PostgreSQL by URL. See `store.py`."""

from .database import StoreError
from .store import Store

__all__ = ["Store", "StoreError"]
