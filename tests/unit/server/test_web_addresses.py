"""Which address leads to which function."""

from __future__ import annotations

from typing import Any

from ionian.protocol.spec import ClassSpec, FunctionSpec, MethodSpec, WebSpec
from ionian.server.web.addresses import Addresses, label_of

PAGE = WebSpec("fastapi")


def page(tag: str, **web: Any) -> FunctionSpec:
    """A function that answers web requests."""
    return FunctionSpec(f"fu-{tag}", tag, "module", tag, web=WebSpec("fastapi", **web))


def published(*specs: FunctionSpec, app: str = "ap-1", name: str = "site", suffix: str = "") -> Addresses:
    """The addresses of one app."""
    addresses = Addresses()
    addresses.publish(app, name, suffix, False, specs)
    return addresses


def test_a_label_is_what_a_host_name_can_hold() -> None:
    assert label_of("My_App.v2", "Class.Method", "", False, PAGE) == "my-app-v2-class-method"
    assert label_of("app", "page", "staging", False, PAGE) == "staging--app-page"
    assert label_of("app", "page", "", True, PAGE) == "app-page-dev"
    assert label_of("app", "page", "", False, WebSpec("asgi", label="mine")) == "mine"


def test_a_label_that_is_too_long_is_cut_and_told_from_others_by_a_hash() -> None:
    first, second = (label_of("a" * 60, tag, "", True, PAGE) for tag in ("page", "rage"))
    assert first != second
    assert len(first) == len(second) == 63
    assert first.endswith("-dev")


def test_a_path_leads_to_its_function_and_says_which_part_does() -> None:
    addresses = published(page("index"))
    found = addresses.by_path("/site-index/a/b")
    assert found is not None
    assert (found[0].function_id, found[1]) == ("fu-index", "/site-index")
    assert addresses.by_path("/site-index") is not None
    assert addresses.by_path("/site-indexes/") is None
    assert addresses.by_path("/") is None


def test_a_host_leads_to_its_function_whatever_its_case_port_and_workspace() -> None:
    addresses = published(page("index"), suffix="staging")
    for host in ("local--staging--site-index.localhost:8080", "Acme--Staging--Site-Index.example.com"):
        found = addresses.by_host(host)
        assert found is not None
        assert found.function_id == "fu-index"
    assert addresses.by_host("site-index.localhost") is None
    assert addresses.by_host("127.0.0.1:8080") is None


def test_methods_of_a_class_have_addresses_of_their_own() -> None:
    methods = [MethodSpec("page", web=PAGE), MethodSpec("other")]
    model = FunctionSpec("fu-1", "Model.*", "module", "Model", class_spec=ClassSpec(methods))
    (route,) = published(model).of_app("ap-1")
    assert (route.label, route.tag, route.method) == ("site-model-page", "Model.page", "page")


def test_who_came_last_has_a_label_that_two_want_and_its_end_does_not_take_anothers() -> None:
    addresses = published(page("index", label="mine"))
    addresses.publish("ap-2", "other", "", False, [page("other", label="mine")])
    found = addresses.by_path("/mine/")
    assert found is not None
    assert found[0].function_id == "fu-other"
    addresses.forget("ap-1")
    assert addresses.by_path("/mine/") is not None
    addresses.forget("ap-2")
    assert addresses.by_path("/mine/") is None


def test_a_domain_of_the_users_own_leads_to_its_function_until_another_app_has_it() -> None:
    addresses = published(page("index", domains=["www.example.com"]))
    found = addresses.by_host("WWW.example.com:443")
    assert found is not None
    assert found.function_id == "fu-index"
    assert addresses.by_host("example.com") is None
    addresses.publish("ap-2", "dev", "", True, [page("worked-on", domains=["www.example.com"])])
    assert addresses.by_host("www.example.com") is found
    addresses.publish("ap-3", "other", "", False, [page("other", domains=["www.example.com"])])
    addresses.forget("ap-1")
    found = addresses.by_host("www.example.com")
    assert found is not None
    assert found.function_id == "fu-other"
    addresses.forget("ap-3")
    assert addresses.by_host("www.example.com") is None
