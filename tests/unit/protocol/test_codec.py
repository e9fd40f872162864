"""Messages: the outer ring and the container encode alike, and what is no message is refused."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ionian.container.wire import Messages
from ionian.protocol.codec import MESSAGES, BadMessage, decode, encode
from ionian.protocol.wire import CONTROL, entries

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
st.register_type_strategy(str, text)
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(int, st.integers(-(2**53), 2**53))


def made(name: str) -> st.SearchStrategy[Any]:
    """Messages of a class, with any values of the right types."""
    cls: Any = MESSAGES[name]
    return st.from_type(cls)


message = st.sampled_from(sorted(MESSAGES)).flatmap(made)


@settings(max_examples=300)
@given(message, st.integers(-(2**31), 2**31), st.binary(max_size=20))
def test_every_message_comes_out_as_it_went_in(message: Any, request: int, payload: bytes):
    ((kind, header, rest),) = entries(encode(message, request, payload))
    assert kind == CONTROL
    assert decode(header) == (message, request)
    assert bytes(rest) == payload


@pytest.mark.parametrize("name", ["OpenCall", "CloseCalls", "Confirm", "FindFunction", "Blob", "ReadBlob"])
@given(data=st.data())
def test_what_a_container_sends_is_what_the_outer_ring_reads(name: str, data: st.DataObject):
    message = data.draw(made(name))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        Messages(ours).send(message, 7, b"beside it")
        received = Messages(theirs).receive()
    assert received is not None
    kind, header, payload = received
    assert (kind, payload) == (CONTROL, b"beside it")
    assert decode(header) == (message, 7)


@given(st.binary(max_size=60))
def test_bytes_that_are_no_message_are_refused(junk: bytes):
    with pytest.raises(BadMessage):
        decode(junk)


def test_a_message_of_another_version_is_refused_with_its_name():
    with pytest.raises(BadMessage, match="Telepathy"):
        decode(b'["Telepathy", 0, {}]')


def test_a_field_of_a_wrong_type_is_refused_with_its_place():
    with pytest.raises(BadMessage, match="seq"):
        decode(b'["Confirm", 0, {"seq": "many"}]')
