"""Functions by their names and ids: asked for once, when they are first used."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.asked import Asked, asked

import ionian as modal
from ionian.exception import DeprecationError, ExecutionError, InvalidError, NotFoundError
from ionian.protocol.calls import BindFunction, FindFunction, FoundFunction
from ionian.protocol.spec import Overrides


def answer(message: Any) -> FoundFunction:
    """Of a server with the app `maths`: a function, a generator and a class."""
    if isinstance(message, BindFunction):
        return FoundFunction(message.function_id, "ap-1", is_generator=True, tag="count")
    assert isinstance(message, FindFunction)
    if message.tag == "Model":
        return FoundFunction("fu-3", "ap-1", is_class=True)
    if message.tag not in ("square", "count"):
        raise NotFoundError("there are square, count")
    return FoundFunction(f"fu-{message.tag}", "ap-1", is_generator=message.tag == "count", tag=message.tag)


def test_a_function_of_a_version_is_asked_for_with_it(server: Asked) -> None:
    modal.Function.from_name("maths", "square", version=2).hydrate()
    assert server.messages == [FindFunction("maths", "square", version=2)]


@pytest.fixture
def server() -> Iterator[Asked]:
    with asked(answer) as made:
        yield made


def test_nothing_is_asked_before_a_named_function_is_used(server: Asked) -> None:
    square = modal.Function.from_name("maths", "square", environment_name="dev")
    assert not server.messages
    with pytest.raises(ExecutionError):
        _ = square.object_id
    assert square.hydrate().hydrate().object_id == "fu-square"
    assert server.messages == [FindFunction("maths", "square", "dev")]


def test_a_function_of_an_id_is_looked_at_when_it_is_used(server: Asked) -> None:
    count = modal.Function.from_id("fu-count")
    assert not server.messages
    assert count.is_generator
    assert count.tag == "count"
    assert server.messages == [BindFunction("fu-count", Overrides())]


def test_it_is_a_generator_where_the_server_says_so(server: Asked) -> None:
    assert modal.Function.from_name("maths", "count").is_generator
    assert not modal.Function.from_name("maths", "square").is_generator
    with pytest.raises(InvalidError, match="remote_gen"):
        modal.Function.from_name("maths", "count").remote()


def test_its_code_is_not_here(server: Asked) -> None:
    square = modal.Function.from_name("maths", "square")
    for use in (square.local, square.get_raw_f, lambda: square.app):
        with pytest.raises(ExecutionError, match="square"):
            use()


def test_it_is_pickled_by_its_id(server: Asked) -> None:
    square = modal.Function.from_name("maths", "square").hydrate()
    assert pickle.loads(pickle.dumps(square)).object_id == "fu-square"


def test_an_unknown_one_is_named_with_what_there_is(server: Asked) -> None:
    with pytest.raises(NotFoundError, match="'sqare' of app 'maths' can't be found: there are square, count"):
        modal.Function.from_name("maths", "sqare").hydrate()


def test_a_class_is_referred_to_cls_from_name(server: Asked) -> None:
    with pytest.raises(InvalidError, match=r"modal\.Cls\.from_name\('maths', 'Model'\)"):
        modal.Function.from_name("maths", "Model").hydrate()
    with pytest.raises(InvalidError, match=r"Cls\.from_name\('maths', 'Model'\)\(\)\.predict\.remote"):
        modal.Function.from_name("maths", "Model.predict")


def test_the_retired_lookup_asks_at_once_and_warns(server: Asked) -> None:
    with pytest.warns(DeprecationError, match="from_name"):
        assert modal.Function.lookup("maths", "square").object_id == "fu-square"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("", "square"), "app_name: "),
        ((3, "square"), "app_name: "),
        (("maths", ""), "name: "),
        (("maths", None), "name: "),
    ],
)
def test_wrong_names_are_refused_where_they_are_written(arguments: Any, said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        modal.Function.from_name(*arguments)


def test_a_wrong_environment_version_or_id_is_refused_where_it_is_written() -> None:
    with pytest.raises(InvalidError, match="environment_name: "):
        modal.Function.from_name("maths", "square", environment_name="a b")
    with pytest.raises(InvalidError, match="version: "):
        modal.Function.from_name("maths", "square", version=0)
    with pytest.raises(InvalidError, match="function_id: "):
        modal.Function.from_id("fc-1")
