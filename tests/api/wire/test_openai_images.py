"""The official `openai` client makes pictures, speech and transcriptions, and each is on record."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine
from typing import Any

import httpx2
import msgspec
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from tests.support.leaks import until
from tests.support.operations import form_call

from inferworks.cloud.operation import Operation
from inferworks.http.multipart import read_parts
from inferworks.meter.usage import NO_ITEMS, Confidence, Items, Outcome, Tokens
from inferworks.testing.in_process_gateway import InProcessGateway, open_gateway
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer, FakeUpstream, Fault, Reports
from inferworks.testing.upstreams.audio import HEARD_TOKENS, recording
from inferworks.testing.upstreams.images import DRAWN_TOKENS, PICTURE, SEEN_TOKENS

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]
SAID = "Grüß Gott"


def client_of(house: InProcessGateway) -> AsyncOpenAI:
    """A client as anybody would make it, but that it does not try again."""
    return AsyncOpenAI(base_url=house.url, api_key=house.secret, max_retries=0)


def rename(house: InProcessGateway, name: str) -> None:
    """The upstream has another name for the model."""
    house.catalogue.ready[A_MODEL] = [
        msgspec.structs.replace(offer, upstream_model=name)
        for offer in house.catalogue.ready[A_MODEL]
    ]


def test_pictures(run: Run) -> None:
    """Pictures come whole; they are counted, and so are the tokens that they cost."""

    async def main() -> None:
        async with open_gateway() as (house, _), client_of(house) as client:
            got = await client.images.generate(
                model=A_MODEL, prompt="A cat.", n=2, size="1024x1024", quality="low"
            )
            assert got.data is not None
            assert [base64.b64decode(image.b64_json or "") for image in got.data] == [PICTURE] * 2
            (usage,) = await house.usages()
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
            open_gateway(Answer(reports=Reports.NEVER)) as (house, _),
            client_of(house) as client,
        ):
            await client.images.generate(model=A_MODEL, prompt="A cat.")
            (usage,) = await house.usages()
            assert (usage.items, usage.tokens) == (Items(images=1), Tokens())
            assert usage.confidence is Confidence.REPORTED

    run(main())


def test_a_picture_as_a_stream(run: Run) -> None:
    """Unfinished pictures come as events, then the finished one with its usage."""

    async def main() -> None:
        async with open_gateway() as (house, _), client_of(house) as client:
            stream = await client.images.generate(
                model=A_MODEL, prompt="A cat.", stream=True, partial_images=2
            )
            kinds = [event.type async for event in stream]
            partial = "image_generation.partial_image"
            assert kinds == [partial, partial, "image_generation.completed"]
            (usage,) = await house.usages()
            assert usage.tokens == Tokens(5, DRAWN_TOKENS, output_image=DRAWN_TOKENS)
            assert (usage.items, usage.confidence) == (Items(images=1), Confidence.REPORTED)

    run(main())


def test_a_stream_of_pictures_that_breaks_off(run: Run) -> None:
    """The client hears of it; the attempt is on record as what it was to make, estimated."""

    async def main() -> None:
        answer = Answer(fault=Fault.RESET, fault_after=1)
        async with open_gateway(answer) as (house, _), client_of(house) as client:
            stream = await client.images.generate(
                model=A_MODEL, prompt="A cat.", stream=True, partial_images=2
            )
            with pytest.raises(openai.APIError, match="broke off"):
                _ = [event async for event in stream]
            (usage,) = await house.usages()
            assert (usage.outcome, usage.items) == (Outcome.FAILED, NO_ITEMS)
            (leg,) = usage.legs
            assert (leg.items, leg.confidence) == (Items(images=1), Confidence.ESTIMATED)

    run(main())


@pytest.mark.parametrize("name", ["", "gpt-image-2"])
@pytest.mark.parametrize("stream", [False, True])
def test_an_edit(run: Run, name: str, stream: bool) -> None:
    """Pictures that are sent in reach the upstream as they were; the model has the upstream's name."""

    async def main() -> None:
        async with open_gateway() as (house, upstream), client_of(house) as client:
            rename(house, name)
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
            (usage,) = await house.usages()
            seen = 2 * SEEN_TOKENS
            assert usage.tokens == Tokens(
                5 + seen, DRAWN_TOKENS, input_image=seen, output_image=DRAWN_TOKENS
            )
            assert (usage.endpoint, usage.items) == ("images.edits", Items(images=1))

    run(main())


def test_an_edit_in_json(run: Run) -> None:
    """Pictures may be named by their addresses instead; the request passes byte for byte."""

    async def main() -> None:
        async with open_gateway() as (house, upstream):
            body = (
                b'{"model": "%b", "prompt" : "Both.", "images":[{"image_url":"https://x/a.png"}]}'
            )
            got = await house.ask("POST", "/v1/images/edits", body % A_MODEL.encode())
            assert len(got.json["data"]) == 1
            assert upstream.received[0].body == body % A_MODEL.encode()
            (usage,) = await house.usages()
            assert usage.items == Items(images=1)
            assert usage.tokens.input_image == SEEN_TOKENS

    run(main())


def form_at(upstream: FakeUpstream) -> dict[str, bytes]:
    """The one form that arrived, the last value of each name."""
    (received,) = upstream.received
    parts = read_parts(received.body, received.headers[b"content-type"])
    return {part.name: received.body[part.start : part.end] for part in parts}


def test_speech(run: Run) -> None:
    """Speech is bytes; the characters that were spoken are counted, exactly."""

    async def main() -> None:
        async with open_gateway() as (house, _), client_of(house) as client:
            got = await client.audio.speech.create(
                model=A_MODEL, input=SAID, voice="alloy", response_format="wav"
            )
            assert got.content == b"Hello there."
            assert got.response.headers["content-type"] == "audio/wav"
            (usage,) = await house.usages()
            assert (usage.endpoint, usage.items) == ("audio.speech", Items(characters=len(SAID)))
            assert (usage.tokens, usage.confidence) == (Tokens(), Confidence.COUNTED)
            assert usage.response_bytes == len(b"Hello there.")

    run(main())


def test_speech_is_forwarded_at_once(run: Run) -> None:
    """Each piece of sound is handed on before the next one is made."""

    async def main() -> None:
        answer = Answer(words=("one", "two", "three"), fault=Fault.HANG, fault_after=2)
        async with open_gateway(answer) as (house, upstream), client_of(house) as client:
            create = client.audio.speech.with_streaming_response.create
            async with create(model=A_MODEL, input=SAID, voice="alloy") as response:
                pieces = response.iter_bytes()
                assert [await anext(pieces), await anext(pieces)] == [b"one", b"two"]
            await house.alone()
            (usage,) = await house.usages()
            assert usage.outcome is Outcome.CANCELLED
            assert (usage.items, usage.confidence) == (
                Items(characters=len(SAID)),
                Confidence.COUNTED,
            )
            assert usage.legs[0].first_token_ns is not None
            await until(lambda: upstream.left_early == 1)

    run(main())


def test_speech_that_breaks_off(run: Run) -> None:
    """Half of the sound cannot be taken for all of it, and no error is spoken into it."""

    async def main() -> None:
        answer = Answer(words=("one", "two"), fault=Fault.RESET, fault_after=1)
        async with open_gateway(answer) as (house, _), client_of(house) as client:
            create = client.audio.speech.with_streaming_response.create
            async with create(model=A_MODEL, input=SAID, voice="alloy") as response:
                pieces = response.iter_bytes()
                assert await anext(pieces) == b"one"
                with pytest.raises(httpx2.RemoteProtocolError):
                    await anext(pieces)
            await house.alone()
            (usage,) = await house.usages()
            assert usage.outcome is Outcome.FAILED
            assert usage.legs[0].items == Items(characters=len(SAID))

    run(main())


def test_an_error_is_no_speech(run: Run) -> None:
    """An error that comes with a good status is not handed on as sound, and not charged."""

    async def main() -> None:
        answer = Answer(fault=Fault.ERROR_EVENT)
        async with open_gateway(answer) as (house, _), client_of(house) as client:
            with pytest.raises(openai.InternalServerError):
                await client.audio.speech.create(model=A_MODEL, input=SAID, voice="alloy")
            (usage,) = await house.usages()
            assert (usage.outcome, usage.items) == (Outcome.FAILED, NO_ITEMS)

    run(main())


def test_a_sound_that_nobody_knows_is_refused_upstream(run: Run) -> None:
    """The upstream decides on formats: its refusal is handed on, and nothing is charged."""

    async def main() -> None:
        async with open_gateway(Answer()) as (house, _), client_of(house) as client:
            with pytest.raises(openai.BadRequestError):
                await client.audio.speech.create(
                    model=A_MODEL, input=SAID, voice="alloy", extra_body={"response_format": "ogg"}
                )
            (usage,) = await house.usages()
            assert (usage.outcome, usage.items) == (Outcome.REFUSED, NO_ITEMS)

    run(main())


@pytest.mark.parametrize("reports", [Reports.AS_ASKED, Reports.NEVER])
def test_speech_as_events(run: Run, reports: Reports) -> None:
    """With `stream_format: sse` the newer models tell their tokens at the end."""

    async def main() -> None:
        async with (
            open_gateway(Answer(reports=reports)) as (house, _),
            client_of(house) as client,
        ):
            got = await client.audio.speech.create(
                model=A_MODEL, input=SAID, voice="alloy", stream_format="sse"
            )
            assert got.response.headers["content-type"].startswith("text/event-stream")
            assert got.content.count(b"event: speech.audio.delta") == 3
            (usage,) = await house.usages()
            assert usage.items == Items(characters=len(SAID))
            told = reports is Reports.AS_ASKED
            assert usage.tokens == (Tokens(5, 3, output_audio=3) if told else Tokens())
            assert usage.confidence is (Confidence.REPORTED if told else Confidence.COUNTED)

    run(main())


@pytest.mark.parametrize("name", ["", "whisper-1"])
@pytest.mark.parametrize(
    ("form", "reports", "tokens", "items", "confidence"),
    [
        ("json", Reports.AS_ASKED, Tokens(HEARD_TOKENS, 3, input_audio=HEARD_TOKENS), NO_ITEMS,
         Confidence.REPORTED),
        ("json", Reports.ALWAYS, Tokens(), Items(audio_ms=1500), Confidence.REPORTED),
        ("json", Reports.NEVER, Tokens(), Items(audio_ms=1500), Confidence.COUNTED),
        ("verbose_json", Reports.ALWAYS, Tokens(), Items(audio_ms=1500), Confidence.REPORTED),
        ("verbose_json", Reports.NEVER, Tokens(), Items(audio_ms=1500), Confidence.REPORTED),
        ("text", Reports.NEVER, Tokens(), Items(audio_ms=1500), Confidence.COUNTED),
        ("srt", Reports.NEVER, Tokens(), Items(audio_ms=1500), Confidence.COUNTED),
    ],
)  # fmt: skip
def test_a_transcription(
    run: Run,
    form: Any,
    reports: Reports,
    tokens: Tokens,
    items: Items,
    confidence: Confidence,
    name: str,
) -> None:
    """In every form it is on record by what it tells, or else by the recording's own length."""

    async def main() -> None:
        async with (
            open_gateway(Answer(reports=reports)) as (house, upstream),
            client_of(house) as client,
        ):
            rename(house, name)
            sound = recording(1500)
            got = await client.audio.transcriptions.create(
                model=A_MODEL, file=("a.wav", sound), response_format=form, language="en"
            )
            assert "Hello there." in (got if isinstance(got, str) else got.text)
            arrived = form_at(upstream)
            assert (arrived["file"], arrived["language"]) == (sound, b"en")
            assert arrived["model"] == (name or A_MODEL).encode()
            (usage,) = await house.usages()
            assert (usage.tokens, usage.items) == (tokens, items)
            assert usage.confidence is confidence

    run(main())


def test_a_recording_that_tells_nothing_is_estimated(run: Run) -> None:
    """The size of a recording estimates its length where neither answer nor header tells it."""

    async def main() -> None:
        async with (
            open_gateway(Answer(reports=Reports.NEVER)) as (house, _),
            client_of(house) as client,
        ):
            await client.audio.transcriptions.create(model=A_MODEL, file=("a.mp3", b"x" * 16_000))
            (usage,) = await house.usages()
            assert usage.items == Items(audio_ms=1000)
            assert usage.confidence is Confidence.ESTIMATED

    run(main())


@pytest.mark.parametrize(
    ("sound", "form"),
    [(b"RIFF\x24\0\0\0WAVEfmt ", "verbose_json"), (b"RIFF", "json"), (b"\xff", "verbose_json")],
)
def test_a_recording_that_is_broken(run: Run, sound: bytes, form: Any) -> None:
    """The upstream refuses it, and so do we, in its words."""

    async def main() -> None:
        async with open_gateway() as (house, _), client_of(house) as client:
            with pytest.raises(openai.BadRequestError):
                await client.audio.transcriptions.create(
                    model=A_MODEL, file=("a.wav", sound), response_format=form
                )
            (usage,) = await house.usages()
            assert (usage.outcome, usage.status) == (Outcome.REFUSED, 400)

    run(main())


@pytest.mark.parametrize("ignored", [False, True])
def test_a_transcription_as_a_stream(run: Run, ignored: bool) -> None:
    """Text of a transcription comes as events; an upstream without them may answer as a whole."""

    async def main() -> None:
        answer = Answer(never_streams=ignored)
        opening = open_gateway(answer, running_usage=True)
        async with opening as (house, upstream), client_of(house) as client:
            if ignored:
                raw = await client.audio.transcriptions.with_raw_response.create(
                    model=A_MODEL, file=("a.wav", recording(100)), stream=True
                )
                assert raw.headers["content-type"] == "application/json"
            else:
                stream = await client.audio.transcriptions.create(
                    model=A_MODEL, file=("a.wav", recording(100)), stream=True
                )
                kinds = [event.type async for event in stream]
                assert kinds == ["transcript.text.delta"] * 3 + ["transcript.text.done"]
            assert form_at(upstream)["stream_include_usage"] == b"true"  # as vLLM wants it
            (usage,) = await house.usages()
            assert usage.tokens == Tokens(HEARD_TOKENS, 3, input_audio=HEARD_TOKENS)
            assert usage.confidence is Confidence.REPORTED

    run(main())


def test_the_synchronous_client(run: Run) -> None:
    """The client without asyncio, on a kept connection, one operation after the other."""

    def work(house: InProcessGateway) -> list[object]:
        with OpenAI(base_url=house.url, api_key=house.secret, max_retries=0) as client:
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
        async with open_gateway() as (house, upstream):
            answers = await asyncio.to_thread(work, house)
            assert answers == [1, b"Hello there.", b"Hello there.", "Hello there."]
            assert upstream.connections == 1

    run(main())


def test_mistakes_are_the_clients_own(run: Run) -> None:
    """A fault is told with its parameter before any upstream hears of the request."""

    async def main() -> None:
        async with open_gateway() as (house, upstream), client_of(house) as client:
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
            assert {usage.outcome for usage in await house.usages()} == {Outcome.REFUSED}

    run(main())


@pytest.mark.parametrize("form", ["json", "text", "verbose_json"])
def test_a_translation_of_speech(run: Run, form: Any) -> None:
    """A translation of speech is passed and on record as a transcription is."""

    async def main() -> None:
        fields = {"model": A_MODEL, "response_format": form}
        call = form_call(Operation.TRANSLATIONS, fields, file=("file", recording(1500)))
        kind = {"content-type": call.content_type.decode()}
        async with open_gateway() as (house, upstream):
            got = await house.ask("POST", "/v1/audio/translations", call.body, headers=kind)
            assert got.status == 200
            assert b"Hello there." in got.body
            assert upstream.received[0].path == "/v1/audio/translations"
            (usage,) = await house.usages()
            assert (usage.endpoint, usage.outcome) == ("audio.translations", Outcome.ANSWERED)
            assert usage.tokens.input_audio or usage.items.audio_ms == 1500

    run(main())
