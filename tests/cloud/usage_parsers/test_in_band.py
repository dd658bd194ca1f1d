"""An error that stands where an answer should: its status and its words."""

from __future__ import annotations

import msgspec
import pytest

from inferworks.cloud.usage_parsers.in_band import is_empty, refusal, status_of, tells_an_error


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b'{"error": {"message": "slow down", "code": 429}}', 429, "slow down"),
        (b'{"error": {"message": "no", "code": "429"}}', 429, "no"),
        (b'{"error": {"message": "x", "type": "authentication_error"}}', 401, "x"),
        (b'{"error": {"code": 404, "status": "RESOURCE_EXHAUSTED", "message": "x"}}', 404, "x"),
        (b'{"error": {"status": "RESOURCE_EXHAUSTED", "message": "x"}}', 429, "x"),
        (b'{"object": "error", "message": "bad", "code": 400}', 400, "bad"),
        (b'{"error": "out of memory"}', 500, "out of memory"),
        (b'{"error": {}, "detail": "not found", "status_code": 404}', 404, "not found"),
        (b'{"error": {"code": 200, "message": "x"}}', 500, "x"),
        (b'{"error": {"code": "99999999999999999999", "message": "x"}}', 500, "x"),
        (b'{"error": {"type": "something_new", "message": "x"}}', 500, "x"),
        (b'{"error": 7}', 500, ""),
        (b"{", 500, ""),
    ],
)
def test_an_error_is_read(data: bytes, status: int, words: str) -> None:
    """A number that is a status, else a kind that is known; else the upstream has failed."""
    error = refusal(data)
    assert (error.status, error.words, error.body) == (status, words, data)


@pytest.mark.parametrize("text", [b"", b" null ", b"{ }", b"[]", b'""', b"0", b"false"])
def test_values_that_say_nothing(text: bytes) -> None:
    """Empty values say nothing, with white space or without."""
    assert is_empty(text)
    assert is_empty(msgspec.Raw(text))


def test_values_that_say_something() -> None:
    """An object with a field, a text, and a blank that is longer than any."""
    for text in (b'{"a": 1}', b'"x"', b"1", b"{" + b" " * 100 + b"}"):
        assert not is_empty(text)


def test_an_error_outside_of_its_field() -> None:
    """The older forms of vLLM, Mistral and FastAPI; a text about errors is none."""
    assert tells_an_error(b'{"object": "error", "message": "x"}')
    assert tells_an_error(b'{"detail": "x"}')
    assert not tells_an_error(b'{"object": "list", "about": "error"}')
    assert not tells_an_error(b'{"choices": []}')
    assert not tells_an_error(b"no JSON about an error")


def test_a_kind_is_known_in_any_case() -> None:
    """As Google and Amazon write it."""
    assert status_of("ThrottlingException") == status_of("RESOURCE_EXHAUSTED") == 429
    assert status_of("never_heard_of") == 500
