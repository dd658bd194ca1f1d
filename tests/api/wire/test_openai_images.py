"""The official `openai` client makes pictures, speech and transcriptions, and each is on record."""

from __future__ import annotations

import asyncio
import base64

import openai
import pytest
from openai import OpenAI
from tests.support.openai_clients import SAID, Run, client_of, form_at, rename

from inferworks.meter.usage import NO_ITEMS, Confidence, Items, Outcome, Tokens
from inferworks.testing.in_process_gateway import InProcessGateway, open_gateway
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer, Fault, Reports
from inferworks.testing.upstreams.audio import recording
from inferworks.testing.upstreams.images import DRAWN_TOKENS, PICTURE, SEEN_TOKENS

pytestmark = pytest.mark.slow


def test_pictures(run: Run) -> None:
    """Pictures come whole; they are counted, and so are the tokens that they cost."""

    async def main() -> None:
        async with open_gateway() as (gateway, _), client_of(gateway) as client:
            got = await client.images.generate(
                model=A_MODEL, prompt="A cat.", n=2, size="1024x1024", quality="low"
            )
            assert got.data is not None
            assert [base64.b64decode(image.b64_json or "") for image in got.data] == [PICTURE] * 2
            (usage,) = await gateway.usages()
            drawn = 2 * DRAWN_TOKENS
            assert (usage.endpoint, usage.items) == ("images.generations", Items(images=2))
            assert usage.tokens == Tokens(5, drawn, output_image=drawn)
            assert usage.legs[0].service_tier == "low 1024x1024"
            assert usage.confidence is Confidence.REPORTED

    run(main())


def test_pictures_without_tokens(run: Run) -> None:
    """An upstream that tells no tokens has told its pictures, by sending them."""

    async def main() -> None:
        async with (
            open_gateway(Answer(reports=Reports.NEVER)) as (gateway, _),
            client_of(gateway) as client,
        ):
            await client.images.generate(model=A_MODEL, prompt="A cat.")
            (usage,) = await gateway.usages()
            assert (usage.items, usage.tokens) == (Items(images=1), Tokens())
            assert usage.confidence is Confidence.REPORTED

    run(main())


def test_a_picture_as_a_stream(run: Run) -> None:
    """Unfinished pictures come as events, then the finished one with its usage."""

    async def main() -> None:
        async with open_gateway() as (gateway, _), client_of(gateway) as client:
            stream = await client.images.generate(
                model=A_MODEL, prompt="A cat.", stream=True, partial_images=2
            )
            kinds = [event.type async for event in stream]
            partial = "image_generation.partial_image"
            assert kinds == [partial, partial, "image_generation.completed"]
            (usage,) = await gateway.usages()
            assert usage.tokens == Tokens(5, DRAWN_TOKENS, output_image=DRAWN_TOKENS)
            assert (usage.items, usage.confidence) == (Items(images=1), Confidence.REPORTED)

    run(main())


def test_a_stream_of_pictures_that_breaks_off(run: Run) -> None:
    """The client hears of it; the attempt is on record as what it was to make, estimated."""

    async def main() -> None:
        answer = Answer(fault=Fault.RESET, fault_after=1)
        async with open_gateway(answer) as (gateway, _), client_of(gateway) as client:
            stream = await client.images.generate(
                model=A_MODEL, prompt="A cat.", stream=True, partial_images=2
            )
            with pytest.raises(openai.APIError, match="ended its answer early"):
                _ = [event async for event in stream]
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.items) == (Outcome.FAILED, NO_ITEMS)
            (leg,) = usage.legs
            assert (leg.items, leg.confidence) == (Items(images=1), Confidence.ESTIMATED)

    run(main())


@pytest.mark.parametrize("name", ["", "gpt-image-2"])
@pytest.mark.parametrize("stream", [False, True])
def test_an_edit(run: Run, name: str, stream: bool) -> None:
    """Pictures that are sent in reach the upstream as they were; the model has the upstream's name."""

    async def main() -> None:
        async with open_gateway() as (gateway, upstream), client_of(gateway) as client:
            rename(gateway, name)
            files = [("a.png", PICTURE, "image/png"), ("b.png", PICTURE * 3, "image/png")]
            if stream:
                events = await client.images.edit(
                    model=A_MODEL, prompt="Both.", image=files, stream=True
                )
                assert [event.type async for event in events] == ["image_edit.completed"]
            else:
                got = await client.images.edit(model=A_MODEL, prompt="Both.", image=files)
                assert got.data is not None
            arrived = form_at(upstream)
            assert arrived["model"] == (name or A_MODEL).encode()
            assert arrived["image[]"] == PICTURE * 3
            (usage,) = await gateway.usages()
            seen = 2 * SEEN_TOKENS
            assert usage.tokens == Tokens(
                5 + seen, DRAWN_TOKENS, input_image=seen, output_image=DRAWN_TOKENS
            )
            assert (usage.endpoint, usage.items) == ("images.edits", Items(images=1))

    run(main())


def test_an_edit_in_json(run: Run) -> None:
    """Pictures may be named by their addresses instead; the request passes byte for byte."""

    async def main() -> None:
        async with open_gateway() as (gateway, upstream):
            body = (
                b'{"model": "%b", "prompt" : "Both.", "images":[{"image_url":"https://x/a.png"}]}'
            )
            got = await gateway.ask("POST", "/v1/images/edits", body % A_MODEL.encode())
            assert len(got.json["data"]) == 1
            assert upstream.received[0].body == body % A_MODEL.encode()
            (usage,) = await gateway.usages()
            assert usage.items == Items(images=1)
            assert usage.tokens.input_image == SEEN_TOKENS

    run(main())


def test_the_synchronous_client(run: Run) -> None:
    """The client without asyncio, on a kept connection, one operation after the other."""

    def work(gateway: InProcessGateway) -> list[object]:
        with OpenAI(base_url=gateway.url, api_key=gateway.secret, max_retries=0) as client:
            made = client.images.generate(model=A_MODEL, prompt="A cat.")
            spoken = client.audio.speech.create(model=A_MODEL, input=SAID, voice="alloy")
            with client.audio.speech.with_streaming_response.create(
                model=A_MODEL, input=SAID, voice="alloy"
            ) as response:
                pieces = list(response.iter_bytes())
            heard = client.audio.transcriptions.create(
                model=A_MODEL, file=("a.wav", recording(100))
            )
            return [len(made.data or ()), spoken.content, b"".join(pieces), heard.text]

    async def main() -> None:
        async with open_gateway() as (gateway, upstream):
            answers = await asyncio.to_thread(work, gateway)
            assert answers == [1, b"Hello there.", b"Hello there.", "Hello there."]
            assert upstream.connections == 1

    run(main())


def test_mistakes_are_the_clients_own(run: Run) -> None:
    """A fault is told with its parameter before any upstream hears of the request."""

    async def main() -> None:
        async with open_gateway() as (gateway, upstream), client_of(gateway) as client:
            create = client.audio.transcriptions.create
            with pytest.raises(openai.BadRequestError) as streamed:
                await create(model=A_MODEL, file=b"x", extra_body={"stream": "perhaps"})
            assert streamed.value.param == "stream"
            with pytest.raises(openai.BadRequestError) as twice:
                await create(model=A_MODEL, file=b"x", extra_body={"model": [A_MODEL, "gpt-5"]})
            assert "model" in str(twice.value)
            with pytest.raises(openai.NotFoundError):
                await create(model="gpt-5", file=b"x")
            with pytest.raises(openai.BadRequestError) as many:
                await client.images.generate(model=A_MODEL, prompt="A cat.", n=11)
            assert many.value.param == "n"
            with pytest.raises(openai.BadRequestError) as silent:
                await client.audio.speech.create(model=A_MODEL, input="", voice="alloy")
            assert silent.value.param == "input"
            assert upstream.received == []
            assert {usage.outcome for usage in await gateway.usages()} == {Outcome.REFUSED}

    run(main())
