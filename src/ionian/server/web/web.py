"""All web requests of a server: its listener, its endpoints, and what is under way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ...protocol.batch import Batch
from ...protocol.calls import OpenCall
from ...protocol.ids import new_id
from ...protocol.spec import FunctionSpec
from ...protocol.stream import Refused, joined
from ...protocol.workers import ContainerState
from ..auth import Actor, Target, authorise
from .addresses import Addresses, Route
from .certificate import Certificate
from .exchange import GONE, WEB, Exchange
from .listener import Listener

if TYPE_CHECKING:
    from ..server import Server
    from ..store.schema import App

Headers = Iterable[tuple[bytes, bytes]]

ACTOR = Actor("client", WEB)


class Web:
    """Plays the caller of all web requests."""

    def __init__(
        self, server: Server, *, host: str, port: int, domain: str, certificate: Certificate | None = None
    ) -> None:
        self._server = server
        self._domain = domain
        self.addresses = Addresses()
        self._exchanges: dict[str, Exchange] = {}
        self._waiting: Counter[str] = Counter()
        self._delivered = 0  # the number of the last results
        self._later = False  # something is to be carried out in this turn
        self._listener = Listener(self, server.state, host, port, certificate)

    def check_token(self, token: str, address: str, function_id: str) -> None:
        """Whether a client may ask an endpoint that is not for everybody. Blocks. Raises Refused."""
        server = self._server
        actor = server.attempts.authenticate(server.store, token, address, role="client", peer_id="cl-web")
        found = server.engine.specs.get(function_id)
        authorise(actor, "INPUTS", Target() if found is None else Target(found[2]))

    def refused(self, app_id: str) -> str:
        """Why an app takes no requests now, or ""."""
        return self._server.budgets.over.get(app_id, "")

    # --- endpoints

    async def publish(self, app: App, suffix: str, specs: list[FunctionSpec]) -> None:
        """These are the functions of an app. The first endpoint of all has the server listen."""
        dev = app.state != "deployed"
        if self.addresses.publish(app.app_id, app.name, suffix, dev, specs):
            await self._listener.start()

    def urls_of(self, app_id: str) -> dict[str, list[str]]:
        """The addresses of an app's endpoints, the best first, by tag."""
        return {route.tag: self.urls(route) for route in self.addresses.of_app(app_id)}

    def urls(self, route: Route) -> list[str]:
        """The addresses of one endpoint, the best first."""
        by_path = f"{self._listener.url}/{route.label}/"
        scheme, _, rest = self._listener.url.partition("://")
        port = rest.rpartition(":")[2]
        # Without a certificate of ours a proxy is in front, at the port that browsers take.
        own = "" if self._listener.certificate is None or port == "443" else f":{port}"
        domains = [f"https://{domain}{own}" for domain in route.domains]
        if not self._domain:
            return [by_path, f"{scheme}://local--{route.label}.localhost:{port}", *domains]
        return [f"https://local--{route.label}.{self._domain}{own}", by_path, *domains]

    def route_at(self, url: str) -> Route | None:
        """The endpoint that a URL is of: with the scheme, host and port of one of its addresses."""
        parts = urlsplit(url)
        found = self.addresses.by_path(parts.path)
        route = self.addresses.by_host(parts.netloc) or (found and found[0])
        if route is None:
            return None
        known = {urlsplit(address)[:2] for address in self.urls(route)}
        return route if (parts.scheme, parts.netloc.lower()) in known else None

    # --- requests

    def waiting(self, function_id: str) -> int:
        """How many requests of a function have no container yet."""
        return self._waiting[function_id]

    def open(self, route: Route, payload: bytes, headers: Headers = ()) -> Exchange:
        """A request begins."""
        exchange = Exchange(new_id("fc"), route.function_id)
        self._exchanges[exchange.call_id] = exchange
        self._waiting[route.function_id] += 1
        engine = self._server.engine
        trace = _traceparent(headers) if engine.traces is not None else ""
        engine.open_call(OpenCall(exchange.call_id, route.function_id, trace=trace), ACTOR)
        engine.put(Batch(exchange.call_id, (0,), (len(payload),), payload), WEB)
        self._soon()
        return exchange

    def close(self, exchange: Exchange) -> None:
        """A request is over, or its client gone: what runs of it is interrupted."""
        if self._exchanges.pop(exchange.call_id, None) is None:
            return
        self._begun(exchange)
        exchange.over()
        exchange.ended(GONE)  # unless it has ended: then nobody reads on
        self._server.engine.close_calls([exchange.call_id], WEB)
        self._soon()

    def _soon(self) -> None:
        """What requests ask for in one turn of the loop is carried out together, and leaves in one frame."""
        if not self._later:
            self._later = True
            asyncio.get_running_loop().call_soon(self._carry_out)

    def _carry_out(self) -> None:
        self._later = False
        engine = self._server.engine
        with joined():
            engine.confirm(WEB, self._delivered)
            engine.pump()

    def deliver(self, batch: Batch) -> None:
        """Results from the dispatcher."""
        exchange = self._exchanges.get(batch.call_id)
        if exchange is not None:
            self._begun(exchange)
            exchange.received(batch)
        self._delivered = batch.seq
        self._soon()

    def _begun(self, exchange: Exchange) -> None:
        if exchange.counted:
            exchange.counted = False
            self._waiting[exchange.function_id] -= 1
            if not self._waiting[exchange.function_id]:
                del self._waiting[exchange.function_id]

    def container_ended(self, state: ContainerState) -> None:
        """A container is no more: what it may have begun with is not run again, whether it said so or had not the time."""
        if state.ended == "timeout":  # the dispatcher knows of which
            return
        for held in state.running:
            exchange = self._exchanges.get(held.call_id)
            if exchange is not None:
                exchange.end(502, f"its container ended amid the request: {state.detail or state.ended}")
                self._server.engine.close_calls([held.call_id], WEB)

    def find(self, call_id: str, container_function: str) -> Exchange:
        """The request of a call, for a container of its function. Raises Refused."""
        exchange = self._exchanges.get(call_id)
        if exchange is None or exchange.function_id != container_function:
            raise Refused("NotFoundError", f"there is no web request {call_id[:80]}, or it is over")
        return exchange

    async def stop(self) -> None:
        """Ends all of it."""
        for exchange in list(self._exchanges.values()):
            exchange.end(503, "the server is ending; try again")
            self.close(exchange)
        await self._listener.stop()


def _traceparent(headers: Headers) -> str:
    """The span in which a client made a request; "" where it does not say."""
    return next((value.decode("latin-1") for name, value in headers if name == b"traceparent"), "")
