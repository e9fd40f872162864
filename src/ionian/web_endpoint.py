"""Web endpoints: what makes a function, or a method of a class, one that answers web requests."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from .arguments import flag, integer, number, strings, text, wrong
from .exception import DeprecationError, InvalidError
from .execution import is_local
from .partial_function import METHOD, PartialFunction, marked, with_parentheses

if TYPE_CHECKING:
    from .protocol.spec import WebSpec

    Decorator = Callable[[Callable[..., Any]], PartialFunction[..., Any, Any]]

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A part of a host name (RFC 1123)."""

DOMAIN = re.compile(rf"({LABEL.pattern}\.)+[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?")
"""A host name of several parts."""


def fastapi_endpoint(
    _raw: None = None,
    *,
    method: str = "GET",
    label: str | None = None,
    custom_domains: Collection[str] | None = None,
    docs: bool = False,
    requires_proxy_auth: bool = False,
) -> Decorator:
    """Makes a function answer web requests at an address of its own, as a path operation of FastAPI would.

    FastAPI is installed for it where the image has none.

    Args:
        method: the one HTTP method that it answers.
        label: its name in the address; else the app's name and its own.
        custom_domains: hosts of your own at which it answers, too, where the name server leads them to the server.
        docs: whether the address has /docs, a page that describes it.
        requires_proxy_auth: whether callers need a token, in the headers Modal-Key and Modal-Secret.

    ```python
    @app.function()
    @modal.fastapi_endpoint(method="POST")
    def square(x: int) -> dict:
        return {"square": x * x}
    ```

    Raises InvalidError for a wrong argument.
    """
    with_parentheses("fastapi_endpoint", _raw)
    given = text("method", method).upper()
    if given not in METHODS:
        raise wrong("method", f"one of {', '.join(METHODS)}", method)
    common = _common(label, custom_domains, requires_proxy_auth)
    return _decorator("fastapi_endpoint", kind="fastapi", method=given, docs=flag("docs", docs), **common)


def web_endpoint(*args: Any, **kwargs: Any) -> Decorator:
    """The old name of `fastapi_endpoint`, with the same arguments."""
    if is_local():
        warnings.warn(
            "@modal.web_endpoint is retired; write @modal.fastapi_endpoint", DeprecationError, stacklevel=2
        )
    with_parentheses("web_endpoint", args[0] if args else None)
    return fastapi_endpoint(**kwargs)


def asgi_app(
    _raw: None = None,
    *,
    label: str | None = None,
    custom_domains: Collection[str] | None = None,
    requires_proxy_auth: bool = False,
) -> Decorator:
    """Makes a function one that returns an ASGI app (FastAPI, Starlette, Quart …), called once in each container.

    Args:
        label: its name in the address; else the app's name and its own.
        requires_proxy_auth: whether callers need a token, in the headers Modal-Key and Modal-Secret.

    ```python
    @app.function(image=modal.Image.debian_slim().pip_install("fastapi"))
    @modal.concurrent(max_inputs=100)
    @modal.asgi_app()
    def web():
        from fastapi import FastAPI

        pages = FastAPI()

        @pages.get("/")
        def hello():
            return {"hello": "world"}

        return pages
    ```

    Raises InvalidError for a wrong argument.
    """
    with_parentheses("asgi_app", _raw)
    return _decorator("asgi_app", kind="asgi", **_common(label, custom_domains, requires_proxy_auth))


def wsgi_app(
    _raw: None = None,
    *,
    label: str | None = None,
    custom_domains: Collection[str] | None = None,
    requires_proxy_auth: bool = False,
) -> Decorator:
    """Makes a function one that returns a WSGI app (Flask, Django …), called once in each container.

    Args:
        label: its name in the address; else the app's name and its own.
        requires_proxy_auth: whether callers need a token, in the headers Modal-Key and Modal-Secret.

    ```python
    @app.function(image=modal.Image.debian_slim().pip_install("flask"))
    @modal.wsgi_app()
    def web():
        from flask import Flask

        pages = Flask(__name__)

        @pages.get("/")
        def hello():
            return "hello"

        return pages
    ```

    Raises InvalidError for a wrong argument.
    """
    with_parentheses("wsgi_app", _raw)
    return _decorator("wsgi_app", kind="wsgi", **_common(label, custom_domains, requires_proxy_auth))


def web_server(
    port: int,
    *,
    startup_timeout: float = 5.0,
    label: str | None = None,
    custom_domains: Collection[str] | None = None,
    requires_proxy_auth: bool = False,
) -> Decorator:
    """Makes a function one that starts a web server in its container, whose port is then reached from outside.

    Args:
        port: where the server listens inside, 1 to 65535. Each container has ports of its own.
        startup_timeout: seconds that it may take until it listens.
        label: its name in the address; else the app's name and its own.
        requires_proxy_auth: whether callers need a token, in the headers Modal-Key and Modal-Secret.

    ```python
    @app.function()
    @modal.web_server(8000)
    def files():
        import subprocess

        subprocess.Popen(["python", "-m", "http.server", "8000"])
    ```

    Raises InvalidError for a wrong argument.
    """
    listens = integer("port", port, least=1, most=65535)
    within_s = number("startup_timeout", startup_timeout, least=0.0, most=86_400.0, unit="seconds")
    common = _common(label, custom_domains, requires_proxy_auth)
    return _decorator("web_server", kind="server", port=listens, startup_timeout_s=float(within_s), **common)


def web_of(partial: PartialFunction[..., Any, Any] | None) -> WebSpec | None:
    """What a decorator of here said of a function, as the protocol says it."""
    if partial is None or partial.web is None:
        return None
    from .protocol.spec import WebSpec

    return WebSpec(**partial.web)


def _common(label: Any, custom_domains: Any, requires_proxy_auth: Any) -> dict[str, Any]:
    if label is not None and not LABEL.fullmatch(text("label", label)):
        raise wrong("label", "up to 63 lower-case letters, digits and dashes, no dash at an end", label)
    return {
        "label": label or "",
        "requires_proxy_auth": flag("requires_proxy_auth", requires_proxy_auth),
        "domains": _domains(custom_domains),
    }


def _domains(custom_domains: Any) -> list[str]:
    if custom_domains is None:
        return []
    if isinstance(custom_domains, str):
        raise wrong("custom_domains", "a list of host names", custom_domains)
    domains = strings("custom_domains", custom_domains)
    for domain in domains:
        if not DOMAIN.fullmatch(domain):
            raise wrong("custom_domains", "host names in lower case such as api.example.com", domain)
    return domains


def _decorator(name: str, **web: Any) -> Decorator:
    def decorate(raw: Callable[..., Any]) -> PartialFunction[..., Any, Any]:
        made = marked(name, raw, METHOD)
        if made.batching is not None or made.web is not None:
            other = "batched" if made.batching is not None else "one for web requests"
            raise InvalidError(f"{made.__name__} is {other} already: @modal.{name} can't be added")
        made.web = web
        return made

    return decorate
