"""A request's JSON, decoded once: what is wrong with it is said, and it means one thing to everybody."""

from __future__ import annotations

import msgspec
import pytest

from inferworks.api.wire.decoding import decode_json
from inferworks.cloud.bodies.aside import LARGE_BYTES
from inferworks.cloud.bodies.bounds import MADE_INTO_OBJECTS
from inferworks.cloud.bodies.rewrite import MOST_NAMES
from inferworks.errors import CallError


class RequestInfo(msgspec.Struct):
    """A request with one field that matters."""

    model: str
    n: int = 1


read = msgspec.json.Decoder(RequestInfo).decode


def refused(body: bytes) -> CallError:
    """The refusal of `body`."""
    with pytest.raises(CallError) as error:
        decode_json(body, read)
    assert error.value.status == 400
    return error.value


def test_a_request_is_read() -> None:
    """A small or a large body is read, and what else is in it is no hindrance."""
    assert decode_json(b'{"model": "m", "more": [1, {"a": "\xc3\xa4"}]}', read) == RequestInfo("m")
    large = b'{"model": "m", "text": "' + "ä".encode() * LARGE_BYTES + b'"}'
    assert decode_json(large, read) == RequestInfo("m")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nothing", b'{"model": "m"} {}', b'{"model": "m", "x": "\xff"}',
        b"[" * 2000, b'{"model": "m", "x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"model": "m", "x": "' + b"a" * LARGE_BYTES + b'\xc3"}',
    ],
    ids=["empty", "cut", "word", "two", "no text", "open", "deep", "large, no text"],
)  # fmt: skip
def test_what_is_no_json_is_said_to_be_none(body: bytes) -> None:
    """Also where the fault lies in what nobody looks at, and however deep it is nested."""
    error = refused(body)
    assert str(error).startswith("We could not parse the JSON body")
    assert error.param is None


def test_a_field_that_is_wrong_is_named() -> None:
    """By its place."""
    assert refused(b"{}").param == "model"
    assert refused(b'{"model": "m", "n": "x"}').param == "n"


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "a", "model": "b"}',
        b'{"model": "a", "MODEL": "b"}',
        b'{"model": "a", "mod\\u0065l": "b"}',
        b'{"model": "a", "stream_options": {"include_usage": true, "include_usage": false}}',
    ],
)
def test_a_name_that_means_two_values_is_refused(body: bytes) -> None:
    """Twice, in capitals, with an escape, and within the options that decide on usage."""
    error = refused(body)
    assert error.code == "duplicate_parameter"
    assert "twice" in str(error) or "given" in str(error)


def test_more_than_anybody_sends_is_refused() -> None:
    """Names at the top, and values in a large body, before anything is made of them."""
    names = b",".join(b'"n%d": 1' % number for number in range(MOST_NAMES + 1))
    assert refused(b'{"model": "m", ' + names + b"}").code == "too_many_fields"
    values = b"1," * (MADE_INTO_OBJECTS.values + 1)
    assert refused(b'{"model": "m", "x": [' + values + b"1]}").code == "too_many_values"
