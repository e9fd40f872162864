"""Which address leads to which function, by path and by host."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ...protocol.spec import FunctionSpec, WebSpec
from ...protocol.tags import shown

LONGEST = 63
"""A part of a host name has as many characters at most."""

DIGITS = 6


@dataclass(frozen=True)
class Route:
    """Where an address leads."""

    label: str  # as it stands in addresses, the environment's part in front
    function_id: str
    app_id: str
    tag: str  # "Model.run" for a method
    method: str  # of a class: which one
    web: WebSpec
    domains: tuple[str, ...] = ()  # of the user's own that lead here, too


class Addresses:
    """The web endpoints of all apps that are there. Who came last has a label, or a domain, that two want."""

    def __init__(self) -> None:
        self._by_label: dict[str, Route] = {}
        self._by_domain: dict[str, Route] = {}
        self._by_app: dict[str, list[Route]] = {}

    def publish(self, app_id: str, name: str, suffix: str, dev: bool, specs: Iterable[FunctionSpec]) -> bool:
        """These are the endpoints of an app from here on; `suffix`: its environment's part. Whether it has any."""
        self.forget(app_id)
        routes = [
            Route(
                label_of(name, tag, suffix, dev, web),
                spec.function_id,
                app_id,
                tag,
                method,
                web,
                ()
                if dev
                else tuple(web.domains),  # what is being worked on leaves the deployed app its domains
            )
            for spec in specs
            if not spec.base_id
            for tag, method, web in endpoints(spec)
        ]
        if routes:
            self._by_app[app_id] = routes
            self._by_label.update({route.label: route for route in routes})
            self._by_domain.update({domain: route for route in routes for domain in route.domains})
        return bool(routes)

    def forget(self, app_id: str) -> None:
        """The app is no more."""
        for route in self._by_app.pop(app_id, []):
            if self._by_label.get(route.label) is route:
                del self._by_label[route.label]
            for domain in route.domains:
                if self._by_domain.get(domain) is route:
                    del self._by_domain[domain]

    def of_app(self, app_id: str) -> list[Route]:
        """The endpoints of an app."""
        return self._by_app.get(app_id, [])

    def of_function(self, function_id: str) -> list[Route]:
        """The endpoint that a function is, or those of a class's methods."""
        return [
            route for routes in self._by_app.values() for route in routes if route.function_id == function_id
        ]

    def by_path(self, path: str) -> tuple[Route, str] | None:
        """What a path leads to, and the part of the path that leads there."""
        label = path[1:].partition("/")[0]
        route = self._by_label.get(label)
        return None if route is None else (route, f"/{label}")

    def by_host(self, host: str) -> Route | None:
        """What a host name leads to: WORKSPACE--LABEL.DOMAIN, or a domain of the user's own."""
        name = host.partition(":")[0].lower()
        if self._by_domain and (route := self._by_domain.get(name)) is not None:
            return route
        first = name.partition(".")[0]
        _, dashes, label = first.partition("--")
        return self._by_label.get(label) if dashes else None


def endpoints(spec: FunctionSpec) -> list[tuple[str, str, WebSpec]]:
    """The endpoints of a function or class: tag, method, and what it is for the web."""
    if spec.class_spec is None:
        return [] if spec.web is None else [(spec.tag, "", spec.web)]
    name = shown(spec.tag)
    return [
        (f"{name}.{method.name}", method.name, method.web)
        for method in spec.class_spec.methods
        if method.web is not None
    ]


def label_of(app: str, tag: str, suffix: str, dev: bool, web: WebSpec) -> str:
    """The name of an endpoint in addresses: short enough for a host name, with a hash where it had to be cut."""
    whole = web.label or re.sub(r"[^a-z0-9-]+", "-", f"{app}-{tag}".lower()).strip("-")
    if suffix:
        whole = f"{suffix}--{whole}"
    end = "-dev" if dev else ""
    if len(whole) + len(end) <= LONGEST:
        return whole + end
    digest = hashlib.sha256(whole.encode()).hexdigest()[:DIGITS]
    return f"{whole[: LONGEST - len(end) - DIGITS - 1].rstrip('-')}-{digest}{end}"
