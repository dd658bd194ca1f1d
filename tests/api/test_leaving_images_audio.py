"""Clients that leave amid pictures and sound: what was made is on record, by each policy of an offer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec.structs import replace as changed
from tests.support.leaks import until
from tests.support.operations import FORM_TYPE, form_call, json_call

from inferworks.cloud.operation import Operation
from inferworks.meter.usage import NO_ITEMS, Confidence, Items, Outcome, Tokens
from inferworks.testing.in_process_gateway import InProcessGateway, open_gateway
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer
from inferworks.testing.upstreams.audio import HEARD_TOKENS, recording
from inferworks.testing.upstreams.images import DRAWN_TOKENS

Run = Callable[[Coroutine[Any, Any, None]], None]
SLOW = Answer(words=("one", "two", "three", "four"), event_s=0.02)

SPEECH = json_call(Operation.SPEECH, {"input": "Mind the gap.", "voice": "alloy"}).body
PICTURE = json_call(
    Operation.IMAGES, {"prompt": "A gap.", "partial_images": 3, "stream": True}
).body
HEARD = form_call(
    Operation.TRANSCRIPTIONS, {"model": A_MODEL, "stream": "true"}, file=("file", recording(250))
).body
EXACT = {
    "/v1/audio/speech": (Tokens(), Items(characters=13), Confidence.COUNTED),
    "/v1/images/generations": (
        Tokens(5, DRAWN_TOKENS, output_image=DRAWN_TOKENS), Items(images=1), Confidence.REPORTED,
    ),
    "/v1/audio/transcriptions": (
        Tokens(HEARD_TOKENS, 4, input_audio=HEARD_TOKENS), NO_ITEMS, Confidence.REPORTED,
    ),
}  # fmt: skip
"""Usage of each answer that is read to its end."""
AT_FIRST = {
    "/v1/audio/speech": (Tokens(), Items(characters=13), Confidence.COUNTED),
    "/v1/images/generations": (Tokens(), Items(images=1), Confidence.ESTIMATED),
    "/v1/audio/transcriptions": (Tokens(output=1), Items(audio_ms=250), Confidence.ESTIMATED),
}
"""Usage known of each answer after its first piece."""


@pytest.mark.parametrize("policy", ["cancel", "drain", "estimate"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/audio/speech", SPEECH),
        ("/v1/images/generations", PICTURE),
        ("/v1/audio/transcriptions", HEARD),
    ],
    ids=["speech", "pictures", "transcription"],
)
def test_leaving_after_the_first_piece(run: Run, path: str, body: bytes, policy: str) -> None:
    """Drained it is known exactly; left it is known as far as it came, and the record says which."""

    async def main() -> None:
        async with open_gateway(SLOW) as (gateway, upstream):
            gateway.catalogue.ready[A_MODEL] = [
                changed(offer, on_leave=policy) for offer in gateway.catalogue.ready[A_MODEL]
            ]
            await leave_early(gateway, path, body)
            await until(lambda: bool(gateway.stored_usages()))
            (usage,) = gateway.stored_usages()
            tokens, items, sure = (EXACT if policy == "drain" else AT_FIRST)[path]
            assert usage.outcome is Outcome.CANCELLED
            assert (usage.tokens, usage.items) == (tokens, items)
            assert usage.confidence is (Confidence.ESTIMATED if policy == "estimate" else sure)
            assert usage.legs[0].ended_by == policy
            if policy != "drain":
                await until(lambda: upstream.left_early == 1)

    run(main())


async def leave_early(gateway: InProcessGateway, path: str, body: bytes) -> None:
    """Ask, wait for the first piece of the answer, and be gone."""
    reader, writer = await gateway.connect()
    kind = FORM_TYPE.decode() if body is HEARD else "application/json"
    writer.write(gateway.request("POST", path, body, headers={"content-type": kind}))
    async with asyncio.timeout(5.0):
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.read(1)
    writer.transport.abort()
