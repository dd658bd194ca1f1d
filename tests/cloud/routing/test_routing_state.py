"""Facts of a call that a routing strategy may use."""

from __future__ import annotations

import msgspec

from inferworks.cloud.offer import Rates
from inferworks.cloud.routing.routing_state import CallFacts
from inferworks.testing.providers import make_call

FAR = 64 * 1024


def facts(body: bytes) -> CallFacts:
    """Facts of a call with this body."""
    return CallFacts(msgspec.structs.replace(make_call(), body=body))


def test_the_limit_of_an_answer_by_each_of_its_names() -> None:
    """As a chat, a response and a message call it; without one, what the caller assumes."""
    for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        assert facts(b'{"%b": 70}' % name.encode()).output_tokens(1000) == 70
    assert facts(b'{"max_token": 70}').output_tokens(1000) == 1000
    assert facts(b'{"max_tokens": null}').output_tokens(1000) == 1000


def test_a_limit_within_a_text_is_none() -> None:
    """A prompt that quotes a request does not limit its own answer."""
    quoted = rb'{"prompt": "{\"max_tokens\": 1}"}'
    assert facts(quoted).output_tokens(1000) == 1000


def test_a_limit_is_found_at_either_end_of_a_large_body() -> None:
    """But not amid it, where nobody looks."""
    long = b'"x": "' + b"a" * FAR + b'"'
    assert facts(b'{"max_tokens": 5, ' + long + b"}").output_tokens(9) == 5
    assert facts(b"{" + long + b', "max_tokens": 5}').output_tokens(9) == 5
    assert facts(b"{" + long + b', "max_tokens": 5, ' + long + b"}").output_tokens(9) == 9


def test_a_prefix_begins_with_the_prompt() -> None:
    """So calls that differ in what stands before it have the same; without a prompt it is the body's."""
    one = facts(b'{"model": "a", "temperature": 0.1, "messages": [{"role": "user"}]}')
    other = facts(b'{"model": "a", "temperature": 0.7, "messages": [{"role": "user"}]}')
    assert one.prefix(20) == other.prefix(20) == b'"messages": [{"role"'
    assert facts(b'{"x": 1}').prefix(4) == b'{"x"'


def test_tokens_are_estimated_by_bytes() -> None:
    """Four bytes a token, to compare by."""
    call = facts(b"x" * 4003)
    assert (call.prompt_bytes, call.input_tokens()) == (4003, 1000)


def test_an_amount_by_rates() -> None:
    """Whole picounits by token; a price is handed on as it is."""
    rates = Rates(3, 7)
    assert rates.of(10, 100) == 730
    assert CallFacts(make_call(), rates).price is rates
    assert facts(b"").price is None
