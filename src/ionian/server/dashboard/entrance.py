"""Who comes in: by a token, or by a link of one minute; and then by a cookie, for a week."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from ionian.protocol.stream import Refused

from ..attempts import Attempts
from ..auth import Actor, readmit
from ..store import Store

STAY_S = 7 * 24 * 3600
"""So long a browser stays in."""

LINK_S = 60.0
"""So long a link is good."""

MOST_LINKS = 100


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whose browser asks."""

    actor: Actor
    session: str  # of the cookie
    forgery: str  # what each of its forms has to bring


class Entrance:
    """Checks tokens, links and cookies. Blocks where it asks the store: call `by_token` and `by_cookie` in a thread.

    A cookie is a token's id, an end and a random name, signed: nothing is kept of it, so it is good after a restart of the
    server, and no longer than its token. The key is in a file for this user alone, as the local token is.
    """

    def __init__(self, store: Store, key_file: Path, attempts: Attempts) -> None:
        self._store = store
        self._attempts = attempts
        self._key = _key(key_file)
        self._links: dict[str, tuple[str, float]] = {}  # code → token id, end
        self._left: dict[str, float] = {}  # sessions that were ended by hand → when they would have

    # --- links

    def code(self, token_id: str) -> str:
        """A word for a link that lets one browser in as this token would."""
        now = time.monotonic()
        self._links = {code: link for code, link in self._links.items() if link[1] > now}
        while len(self._links) >= MOST_LINKS:
            del self._links[next(iter(self._links))]
        code = secrets.token_urlsafe(32)
        self._links[code] = (token_id, now + LINK_S)
        return code

    def by_code(self, code: str) -> str:
        """A cookie for who has a link. Raises Refused (AuthError) for one that is used, old or made up."""
        token_id, end = self._links.pop(code, ("", 0.0))
        if end <= time.monotonic():
            raise Refused(
                "AuthError",
                "this link has been used or is older than a minute; `ionian dashboard` makes another",
            )
        return self._cookie(token_id)

    # --- tokens

    def by_token(self, token: str, address: str) -> str:
        """A cookie for who has a client's token. Raises Refused (AuthError, or ResourceExhaustedError after many wrong ones)."""
        actor = self._attempts.authenticate(
            self._store, token.strip(), address, role="client", peer_id="cl-dashboard"
        )
        return self._cookie(actor.token_id)

    # --- cookies

    def by_cookie(self, cookie: str) -> Visitor | None:
        """Whose cookie it is; None for one that is no good any more, or never was."""
        said, _, mac = cookie.rpartition("~")
        token_id, _, rest = said.partition("~")
        end, _, session = rest.partition("~")
        if not hmac.compare_digest(mac.encode(), self._sign("cookie", said).encode()):
            return None
        if float(end) <= time.time() or session in self._left:
            return None
        try:
            actor = readmit(self._store, token_id, f"cl-dashboard-{session}")
        except Refused:
            return None
        return Visitor(actor, session, self._sign("form", session))

    def leave(self, visitor: Visitor) -> None:
        """The cookie is no good any more."""
        now = time.time()
        self._left = {session: end for session, end in self._left.items() if end > now}
        self._left[visitor.session] = now + STAY_S

    def _cookie(self, token_id: str) -> str:
        said = f"{token_id}~{int(time.time()) + STAY_S}~{secrets.token_hex(16)}"
        return f"{said}~{self._sign('cookie', said)}"

    def _sign(self, purpose: str, said: str) -> str:
        return hmac.new(self._key, f"{purpose}\0{said}".encode(), hashlib.sha256).hexdigest()


def _key(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        pass
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        key = secrets.token_bytes(32)
        stream.write(key)
    return key
