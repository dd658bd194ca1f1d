"""Thoughts that nobody has signed reach no model that wants to see its own."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from inferworks.cloud.providers.unsigned import without_unsigned

HELLO = {"role": "user", "content": "Hello"}
UNSIGNED = {"type": "thinking", "thinking": "Hm.", "signature": ""}
SIGNED = {"type": "thinking", "thinking": "Ha.", "signature": "s"}
TEXT = {"type": "text", "text": 'says "signature":"" here'}


def body_of(*turns: dict[str, Any]) -> bytes:
    """A request with these turns."""
    return msgspec.json.encode({"messages": turns, "max_tokens": 5})


def test_they_are_left_out_and_all_else_stays() -> None:
    """In the turns where they stand; a turn that was nothing else goes with them."""
    thoughtful = {"role": "assistant", "content": [UNSIGNED, SIGNED, TEXT]}
    body = body_of(HELLO, thoughtful, HELLO, {"role": "assistant", "content": [UNSIGNED]}, HELLO)
    less = {"role": "assistant", "content": [SIGNED, TEXT]}
    assert without_unsigned(body) == body_of(HELLO, less, HELLO, HELLO)


@pytest.mark.parametrize(
    "body",
    [
        body_of(HELLO),
        body_of(HELLO, {"role": "assistant", "content": [SIGNED, TEXT]}),
        body_of(HELLO, {"role": "assistant", "content": 'says "signature":"" here'}),
        body_of({"role": "user", "content": [{"type": "x", "signature": ""}]}),
        b'{ "messages" : [ {"content": [{"type":"text", "signature" : ""}]} ] }',
        b'{"messages":"\\"signature\\":\\"\\"","x":{"signature":""}}',
        b'{"messages":[{"content":[1]}],"x":{"signature":""}}',
        b'{"x":{"signature":""}}',
    ],
)
def test_others_pass_byte_for_byte(body: bytes) -> None:
    """Other bodies pass byte for byte, whatever is in them, also those that are no request."""
    assert without_unsigned(body) == body
