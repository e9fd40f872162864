"""What a name may be: of an object, and of an environment. Clients, the server and the command line ask here alone."""

from __future__ import annotations

OBJECT = r"(?![a-z]{2}-[A-Za-z0-9]{22,26}\Z)[A-Za-z0-9\-_.]{1,64}"
EXPECTED_OBJECT = "a name of 1 to 64 characters of A-Z a-z 0-9 - _ . that doesn't look like an id"

ENVIRONMENT = r"(?!en-)[A-Za-z0-9][A-Za-z0-9\-_.]{1,63}"
EXPECTED_ENVIRONMENT = (
    "a name of 2 to 64 characters of A-Z a-z 0-9 - _ . that begins with a letter or digit, and not with en-"
)

VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
EXPECTED_VARIABLE = "a name of letters, digits and underscores that doesn't begin with a digit"


def is_object(name: str) -> bool:
    """Whether an app, volume, secret and so on may be called so."""
    return _is(OBJECT, name)


def is_environment(name: str) -> bool:
    """Whether an environment may be called so."""
    return _is(ENVIRONMENT, name)


def is_variable(name: str) -> bool:
    """Whether a secret may hold a variable of that name."""
    return _is(VARIABLE, name)


def _is(pattern: str, name: str) -> bool:
    import re  # late: a container that checks no name doesn't pay for it

    return re.fullmatch(pattern, name) is not None
