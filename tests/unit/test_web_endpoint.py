"""Decorators of web endpoints, where they are written."""

from __future__ import annotations

from typing import Any

import pytest

import ionian as modal
from ionian.exception import DeprecationError, InvalidError


def test_an_app_names_its_web_endpoints() -> None:
    app = modal.App("site")

    @app.function(serialized=True, name="page")
    @modal.concurrent(max_inputs=10)
    @modal.asgi_app(label="mine")
    def page() -> Any: ...

    @app.cls(serialized=True)
    class Model:
        @modal.fastapi_endpoint(method="post")
        def shown(self) -> None: ...

        @modal.method()
        def other(self) -> None: ...

    assert app.registered_web_endpoints == ["page", "Model.shown"]
    web = app.registered_functions["page"].web
    assert web is not None
    assert (web.kind, web.label) == ("asgi", "mine")
    assert app.registered_functions["page"].options.max_inputs == 10


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: modal.fastapi_endpoint(method="FETCH"), "method: expected one of GET, POST"),
        (lambda: modal.asgi_app(label="My Label"), "label: expected up to 63 lower-case letters"),
        (lambda: modal.web_server(0), "port: expected"),
        (lambda: modal.web_server(8000, startup_timeout=-1), "startup_timeout: expected"),
        (lambda: modal.asgi_app(custom_domains="a.example"), "custom_domains: expected a list of host names"),
        (lambda: modal.asgi_app(custom_domains=["https://a.example"]), "custom_domains: expected host names"),
        (lambda: modal.asgi_app(custom_domains=["127.0.0.1"]), "custom_domains: expected host names"),
        (lambda: modal.wsgi_app(lambda: None), "@modal.wsgi_app needs parentheses: @modal.wsgi_app()"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_argument_is_refused_by_name(make: Any, message: str) -> None:
    with pytest.raises(InvalidError, match=message.replace("(", r"\(").replace(")", r"\)")):
        make()


def test_the_old_name_warns_of_the_new_one() -> None:
    with pytest.warns(DeprecationError, match="write @modal.fastapi_endpoint"):
        modal.web_endpoint(method="POST")


def test_what_answers_web_requests_is_nothing_else_as_well() -> None:
    with pytest.raises(InvalidError, match=r"page answers web requests: @modal\.asgi_app can't be added"):

        @modal.asgi_app()
        @modal.wsgi_app()
        def page() -> None: ...  # pyright: ignore[reportUnusedFunction]

    app = modal.App("site")
    with pytest.raises(InvalidError, match="retries: other answers web requests"):

        @app.function(serialized=True, name="other", retries=3)
        @modal.asgi_app()
        def other() -> None: ...  # pyright: ignore[reportUnusedFunction]


def test_a_web_function_is_asked_at_its_address_and_not_called() -> None:
    app = modal.App("site")

    @app.function(serialized=True, name="page")
    @modal.asgi_app()
    def page() -> None: ...

    for method in ("remote", "remote_gen", "spawn", "map"):
        with pytest.raises(InvalidError, match="page answers web requests"):
            getattr(page, method)([1])
