"""The log of the processes that stay: one event a line on stderr."""

from __future__ import annotations

import logging

from .. import config


def set_up_logs() -> None:
    """Logs on stderr, at the level that IONIAN_LOGLEVEL names; INFO unless it is set."""
    level = config.get("loglevel")
    chosen = logging.INFO if level == config.DEFAULTS["loglevel"] else level.upper()
    for other in ("alembic", "picows"):  # their own steps are no event of Ionian's
        logging.getLogger(other).setLevel(logging.WARNING if chosen == logging.INFO else chosen)
    logging.basicConfig(level=chosen, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for library in ("alembic", "picows"):  # what they tell is of no use to who runs a server
        logging.getLogger(library).setLevel(logging.WARNING)
