"""Imported behind the fork, where an input first needs it."""

import attempts

HAD = attempts.try_all()
