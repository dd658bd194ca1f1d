"""Fields of a request, sorted by their treatment in a translation."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.fields import (
    FieldRules,
    Omissions,
    asked_as,
    is_object,
    passed,
    read_answer,
    read_request,
    set_if,
)
from inferworks.errors import CallError, UnreadableError
from inferworks.testing.providers import make_call

RULES = FieldRules(
    upstream="the other API",
    same={"temperature"},
    translated={"messages"},
    dropped={"user"},
    wishes={"seed": (), "logprobs": (False,)},
    refused={"n": (1,), "audio": ()},
)


def sorted_out(lenient: bool = False, **fields: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the fields that pass, and the names of those that are left out."""
    omissions = Omissions(lenient)
    kept = passed(json.dumps(fields).encode(), RULES, omissions)
    return {name: json.loads(bytes(value)) for name, value in kept.items()}, omissions.names


def test_each_field_by_its_rule() -> None:
    """One passes, one is translated elsewhere, one is dropped in silence, the rest is named."""
    kept, named = sorted_out(temperature=0.5, messages=[], user="me", seed=7, newer=True)
    assert kept == {"temperature": 0.5}
    assert named == ["seed", "newer"]


def test_what_asks_for_nothing_is_not_named() -> None:
    """Null, and the values that are the default anyway."""
    assert sorted_out(temperature=None, seed=None, logprobs=False, n=1, audio=None, newer=None) == (
        {}, [],
    )  # fmt: skip


def test_what_an_answer_depends_on_is_refused() -> None:
    """The error names the field and the API; leniently it is left out and named."""
    with pytest.raises(CallError, match=r"'n' is not known to the other API") as refused:
        sorted_out(n=2)
    assert (refused.value.status, refused.value.param) == (400, "n")
    assert sorted_out(lenient=True, n=2, audio={}) == ({}, ["n", "audio"])


def test_names_are_the_callers() -> None:
    """A step that knows a field by another name says it as the caller wrote it."""
    omissions = Omissions()
    omissions.called({"max_tokens": "max_output_tokens"}).leave_out("max_tokens")
    assert omissions.names == ["max_output_tokens"]


def test_a_request_that_is_none_is_the_callers_fault() -> None:
    """A body that is no JSON, no text, or nested beyond reason is refused."""
    for body in (b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(CallError, match="cannot be read") as refused:
            read_request(body, msgspec.json.decode)
        assert refused.value.status == 400


def test_an_answer_that_is_no_object_is_unreadable() -> None:
    """An object is read as far as it fits; anything else is unreadable."""

    class TranslatedStream(msgspec.Struct):
        text: str = ""

    decoder = msgspec.json.Decoder(TranslatedStream)
    assert read_answer(b'{"text": "x", "more": 1}', decoder).text == "x"
    assert read_answer(b'{"text": []}', decoder).text == ""
    with pytest.raises(UnreadableError):
        read_answer(b"[]", decoder)


def test_a_call_put_over_leaves_its_headers_behind() -> None:
    """The request asks for usage, names what was left out before and now, and speaks the other dialect."""
    call = msgspec.structs.replace(make_call(), headers=((b"a", b"b"),), left_out=("x",))
    put = asked_as(call, Operation.MESSAGES, b"{}", Omissions(names=["y"]))
    assert (put.operation, put.body, put.headers) == (Operation.MESSAGES, b"{}", ())
    assert put.left_out == ("x", "y")
    assert put.wants_usage
    assert not put.wants_running_usage


def test_helpers() -> None:
    """A field is set unless it is None, zero included; an object is one of JSON's."""
    fields: dict[str, Any] = {}
    set_if(fields, "a", 0)
    set_if(fields, "b", None)
    assert fields == {"a": 0}
    assert is_object('{"a": 1}')
    assert not any(map(is_object, ("[]", "", "{", "\ud800", "1")))
