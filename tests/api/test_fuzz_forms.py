"""Arbitrary forms: the API answers in its own terms, keeps its books and misleads no upstream."""

from __future__ import annotations

from asyncio import Runner
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.operations import BOUNDARY, FORM_TYPE, form_call

from inferworks.cloud.operation import Operation
from inferworks.http.exchange import Exchange, RequestHead
from inferworks.http.heads import Headers
from inferworks.meter.usage import Outcome
from inferworks.testing.in_process_gateway import InProcessGateway, open_gateway
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import FakeUpstream
from inferworks.testing.upstreams.audio import recording
from inferworks.testing.upstreams.forms import read_form
from inferworks.testing.upstreams.images import PICTURE
from inferworks.testing.upstreams.script import Body

PATHS = {
    "/v1/images/edits": form_call(
        Operation.IMAGE_EDITS, {"model": A_MODEL, "prompt": "x", "n": "1"}, file=("image", PICTURE)
    ).body,
    "/v1/audio/transcriptions": form_call(
        Operation.TRANSCRIPTIONS, {"model": A_MODEL, "stream": "false"}, file=("file", recording(5))
    ).body,
    "/v2beta/stable-image/generate/sd3": form_call(
        Operation.STABLE_IMAGE, {"prompt": "x", "model": A_MODEL}
    ).body,
}
PIECES = st.one_of(
    st.binary(max_size=4),
    st.sampled_from(
        [b"\r\n", b"\n", b"--", b"--" + BOUNDARY, b"\r\n--" + BOUNDARY + b"--", b'"', b"; name=model",
         b"stream", b"true", b"gpt-5", b"\r\n\r\n", b'; filename="a"', b"[]"]
    ),
)  # fmt: skip
TYPES = st.sampled_from(
    [FORM_TYPE] * 8
    + [b"application/json", b"", b"multipart/form-data", FORM_TYPE + b"; boundary=x", b"text/plain"]
)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes, bytes]:
    """A path, and a good form for it with some bytes cut out and others put in."""
    path = draw(st.sampled_from(sorted(PATHS)))
    body = PATHS[path]
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, min(len(body), 400)))
        end = draw(st.integers(start, min(len(body), start + 30)))
        body = body[:start] + draw(PIECES) + body[end:]
    return path, body, draw(TYPES)


@pytest.mark.slow
@pytest.mark.hypothesis
def test_any_form_is_answered_in_our_own_terms() -> None:
    """No form leads to a 5xx or a dropped connection, each leaves one Usage, and nobody is misled.

    The fake reads forms with the standard library: what it took for the model is what we charge for.
    """
    with Runner(loop_factory=uvloop.new_event_loop) as runner:
        opening = open_gateway()
        gateway, upstream = runner.run(_enter(opening))
        seen: set[str] = set()

        @settings(max_examples=300)
        @given(damaged())
        def check(sent: tuple[str, bytes, bytes]) -> None:
            runner.run(_check(gateway, upstream, seen, *sent))

        try:
            check()
        finally:
            runner.run(opening.__aexit__(None, None, None))


async def _enter(opening: Any) -> Any:
    return await opening.__aenter__()


async def _check(
    gateway: InProcessGateway,
    upstream: FakeUpstream,
    seen: set[str],
    path: str,
    body: bytes,
    kind: bytes,
) -> None:
    arrived = len(upstream.received)
    headers = {"content-type": kind.decode()} if kind else {}
    answer = await gateway.ask("POST", path, body, headers=headers)
    assert answer.status in {200, 400, 404}
    assert answer.whole
    assert b"Traceback" not in answer.body
    (usage,) = [usage for usage in await gateway.usages() if usage.call_id not in seen]
    seen.add(usage.call_id)
    assert usage.status == answer.status
    assert (usage.outcome is Outcome.ANSWERED) is (answer.status == 200)
    assert usage.items.images + usage.items.audio_ms + usage.tokens.input >= 0
    for received in upstream.received[arrived:]:
        assert received.body == body or usage.stream  # which is asked for its usage
        asked = _read(received.body, received.headers[b"content-type"])
        assert asked.get("model") == A_MODEL == usage.model
        assert asked["stream"] is usage.stream


def _read(body: bytes, content_type: bytes) -> Body:
    """The form, read by another parser than ours."""
    head = RequestHead("POST", "/", "", {b"content-type": content_type})
    return read_form(Exchange(Nobody(), head, body)) or {}


class Nobody:
    """Carries no answer."""

    def head(self, status: int, headers: Headers, *, keep_alive: bool) -> bytes:
        """Fail: no answer is expected."""
        raise AssertionError("nothing is answered")

    def write(self, data: bytes) -> None:
        """Fail: no answer is expected."""
        raise AssertionError("nothing is answered")
