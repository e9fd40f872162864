"""What the server answers to plain HTTP, on the socket of its streams: /healthz to anybody, /metrics to a token."""

from __future__ import annotations

from collections.abc import Callable

from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from ..protocol.stream import Refused
from .attempts import Attempts, TooManyAttempts
from .metrics import TEXT, Metrics
from .store import Store

BEARER = "bearer "

ASKERS = "those who ask for /metrics"
"""Whose wrong tokens are counted together: picows says no address of a request that becomes no stream."""


def page(
    request: WSUpgradeRequest, store: Store, metrics: Metrics, attempts: Attempts
) -> WSUpgradeResponseWithListener | None:
    """The answer, or None where no page is asked for."""
    pages: dict[str, Callable[[], WSUpgradeResponse]] = {
        "/healthz": lambda: _answer(200, b"ok\n"),
        "/metrics": lambda: _metrics(request, store, metrics, attempts),
    }
    path = bytes(request.path).decode("latin-1").partition("?")[0]
    if path not in pages or "upgrade" in (name.lower() for name in request.headers):
        return None
    return WSUpgradeResponseWithListener(pages[path](), None)


def _metrics(
    request: WSUpgradeRequest, store: Store, metrics: Metrics, attempts: Attempts
) -> WSUpgradeResponse:
    token = request.headers.get("Authorization", "")
    if not token.lower().startswith(BEARER):
        return _answer(
            401, b"expected a client's token: Authorization: Bearer ti-...\n", ("WWW-Authenticate", "Bearer")
        )
    try:
        actor = attempts.authenticate(
            store, token[len(BEARER) :].strip(), ASKERS, role="client", peer_id="cl-metrics"
        )
    except TooManyAttempts as refused:
        return _answer(429, f"{refused.message}\n".encode(), ("Retry-After", str(refused.wait_s)))
    except Refused as refused:
        return _answer(401, f"{refused.message}\n".encode(), ("WWW-Authenticate", "Bearer"))
    if actor.environment:
        return _answer(403, b"the numbers are those of all environments; this token is of one\n")
    return _answer(200, metrics.text(), ("Content-Type", TEXT))


def _answer(status: int, body: bytes, *headers: tuple[str, str]) -> WSUpgradeResponse:
    all_headers = [("Content-Length", str(len(body))), ("Connection", "close"), *headers]
    make = WSUpgradeResponse.create_ok_response if status < 400 else None
    if make is not None:
        return make(body, all_headers)
    return WSUpgradeResponse.create_error_response(status, body, all_headers)
