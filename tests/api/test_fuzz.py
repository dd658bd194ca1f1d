"""Arbitrary requests: the API answers in its own terms and keeps its books."""

from __future__ import annotations

import json
from asyncio import Runner
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.meter.usage import Outcome
from inferworks.testing.in_process_gateway import Answered, InProcessGateway, open_gateway
from inferworks.testing.providers import A_MODEL

pytestmark = pytest.mark.slow

TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
NUMBER = st.one_of(
    st.integers(-3, 200),
    st.integers(),
    st.floats(),
    st.sampled_from([10**18, 10**30, 10**400, 2**63]),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBER, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
NAMES = (
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens",
    "temperature", "top_p", "n", "seed", "stop", "usage", "error", "choices", "logit_bias",
)  # fmt: skip
LIKELY = st.one_of(
    JSON,
    st.just(A_MODEL),
    st.booleans(),
    st.fixed_dictionaries({}, optional={"include_usage": JSON, "continuous_usage_stats": JSON}),
    st.lists(
        st.fixed_dictionaries({"role": st.just("user")}, optional={"content": JSON}), max_size=2
    ),
)
GOOD = {"model": A_MODEL, "messages": [{"role": "user", "content": "Hi"}]}
CHANGED = st.dictionaries(st.sampled_from(NAMES), LIKELY, max_size=3)
REQUESTS = st.builds(
    lambda stream, change: {**GOOD, "stream": stream, **change}, st.booleans(), CHANGED
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good body with some bytes cut out and others put in."""
    body = json.dumps(draw(REQUESTS)).encode()
    start = draw(st.integers(0, len(body)))
    end = draw(st.integers(start, min(len(body), start + 4)))
    piece = draw(
        st.one_of(st.binary(max_size=4), st.sampled_from([b'"', b"\\", b"{", b"]", b",", b"1e999"]))
    )
    return body[:start] + piece + body[end:]


def deep(depth: int, kind: bool) -> bytes:
    """A good body with an unknown parameter nested so deep."""
    opening, closing = (b"[", b"]") if kind else (b'{"x":', b"}")
    nested = opening * depth + b"1" + closing * depth
    return json.dumps({**GOOD, "stream": kind}).encode()[:-1] + b', "x": ' + nested + b"}"


BODIES = st.one_of(
    st.binary(max_size=60),
    JSON.map(lambda value: json.dumps(value).encode()),
    REQUESTS.map(lambda value: json.dumps(value, ensure_ascii=False).encode()),
    damaged(),
    st.builds(deep, st.integers(900, 1000), st.booleans()),
)


@pytest.mark.hypothesis
def test_any_body_is_answered_in_our_own_terms() -> None:
    """No body leads to a 5xx, a dropped connection or a stack trace; each leaves one fitting Usage."""
    with Runner(loop_factory=uvloop.new_event_loop) as runner:
        opening = open_gateway()
        gateway, _ = runner.run(_enter(opening))
        seen: set[str] = set()

        @settings(max_examples=400)
        @given(BODIES)
        def check(body: bytes) -> None:
            answer = runner.run(gateway.chat(body))
            check_answer(answer)
            runner.run(check_usage(gateway, seen, answer))

        try:
            check()
        finally:
            runner.run(opening.__aexit__(None, None, None))


async def _enter(opening: Any) -> Any:
    return await opening.__aenter__()


def check_answer(answer: Answered) -> None:
    """A whole answer of a status that is the caller's own doing."""
    assert answer.status in {200, 400, 404}
    assert answer.whole
    assert b"Traceback" not in answer.body
    if answer.status == 200:
        is_stream = answer.headers["content-type"].startswith("text/event-stream")
        assert answer.body.endswith(b"data: [DONE]\n\n") if is_stream else answer.json["choices"]
    elif answer.json["error"]["code"] is None and answer.json["error"]["param"] is None:
        message = answer.json["error"]["message"]
        is_upstreams = message.startswith("Unrecognized request argument supplied: ")
        assert is_upstreams or "could not parse" in message


async def check_usage(gateway: InProcessGateway, seen: set[str], answer: Answered) -> None:
    """Exactly one new Usage, in agreement with the answer."""
    new = [usage for usage in await gateway.usages() if usage.call_id not in seen]
    (usage,) = new
    seen.add(usage.call_id)
    assert usage.status == answer.status
    assert usage.outcome is (Outcome.ANSWERED if answer.status == 200 else Outcome.REFUSED)
    assert usage.response_bytes == (len(answer.body) if answer.status == 200 else 0)


HEADER = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20
)


@pytest.mark.hypothesis
def test_any_header_is_answered_in_our_own_terms() -> None:
    """No key, purpose or path leads to a 5xx."""
    with Runner(loop_factory=uvloop.new_event_loop) as runner:
        opening = open_gateway()
        gateway, _ = runner.run(_enter(opening))

        @settings(max_examples=100)
        @given(HEADER, HEADER, st.from_regex(r"/[!-\"$->@-~]{0,12}", fullmatch=True))
        def check(key: str, purpose: str, path: str) -> None:
            headers = {"authorization": f"Bearer {key}", "x-inferworks-purpose": purpose}
            assert runner.run(gateway.chat(GOOD, secret="", headers=headers)).status == 401
            purposes = {"x-inferworks-purpose": purpose}
            assert runner.run(gateway.chat(GOOD, headers=purposes)).status in {200, 400, 403}
            assert runner.run(gateway.ask("GET", path)).status in {200, 404, 405}
            assert runner.run(gateway.ask("GET", f"/v1/models{path}")).status in {200, 404}

        try:
            check()
        finally:
            runner.run(opening.__aexit__(None, None, None))
