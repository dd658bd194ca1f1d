"""The official `openai` client makes speech and transcriptions, and each is on record."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest
from tests.support.leaks import until
from tests.support.openai_clients import SAID, Run, client_of, form_at, rename
from tests.support.operations import form_call

from inferworks.cloud.operation import Operation
from inferworks.meter.usage import NO_ITEMS, Confidence, Items, Outcome, Tokens
from inferworks.testing.in_process_gateway import open_gateway
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer, Fault, Reports
from inferworks.testing.upstreams.audio import HEARD_TOKENS, recording

pytestmark = pytest.mark.slow


def test_speech(run: Run) -> None:
    """Speech is bytes; the characters that were spoken are counted, exactly."""

    async def main() -> None:
        async with open_gateway() as (gateway, _), client_of(gateway) as client:
            got = await client.audio.speech.create(
                model=A_MODEL, input=SAID, voice="alloy", response_format="wav"
            )
            assert got.content == b"Hello there."
            assert got.response.headers["content-type"] == "audio/wav"
            (usage,) = await gateway.usages()
            assert (usage.endpoint, usage.items) == ("audio.speech", Items(characters=len(SAID)))
            assert (usage.tokens, usage.confidence) == (Tokens(), Confidence.COUNTED)
            assert usage.response_bytes == len(b"Hello there.")

    run(main())


def test_speech_is_forwarded_at_once(run: Run) -> None:
    """Each piece of sound is handed on before the next one is made."""

    async def main() -> None:
        answer = Answer(words=("one", "two", "three"), fault=Fault.HANG, fault_after=2)
        async with open_gateway(answer) as (gateway, upstream), client_of(gateway) as client:
            create = client.audio.speech.with_streaming_response.create
            async with create(model=A_MODEL, input=SAID, voice="alloy") as response:
                pieces = response.iter_bytes()
                assert [await anext(pieces), await anext(pieces)] == [b"one", b"two"]
            await gateway.alone()
            (usage,) = await gateway.usages()
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
        async with open_gateway(answer) as (gateway, _), client_of(gateway) as client:
            create = client.audio.speech.with_streaming_response.create
            async with create(model=A_MODEL, input=SAID, voice="alloy") as response:
                pieces = response.iter_bytes()
                assert await anext(pieces) == b"one"
                with pytest.raises(httpx2.RemoteProtocolError):
                    await anext(pieces)
            await gateway.alone()
            (usage,) = await gateway.usages()
            assert usage.outcome is Outcome.FAILED
            assert usage.legs[0].items == Items(characters=len(SAID))

    run(main())


def test_an_error_is_no_speech(run: Run) -> None:
    """An error that comes with a good status is not handed on as sound, and not charged."""

    async def main() -> None:
        answer = Answer(fault=Fault.ERROR_EVENT)
        async with open_gateway(answer) as (gateway, _), client_of(gateway) as client:
            with pytest.raises(openai.InternalServerError):
                await client.audio.speech.create(model=A_MODEL, input=SAID, voice="alloy")
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.items) == (Outcome.FAILED, NO_ITEMS)

    run(main())


def test_a_sound_that_nobody_knows_is_refused_upstream(run: Run) -> None:
    """The upstream decides on formats: its refusal is handed on, and nothing is charged."""

    async def main() -> None:
        async with open_gateway(Answer()) as (gateway, _), client_of(gateway) as client:
            with pytest.raises(openai.BadRequestError):
                await client.audio.speech.create(
                    model=A_MODEL, input=SAID, voice="alloy", extra_body={"response_format": "ogg"}
                )
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.items) == (Outcome.REFUSED, NO_ITEMS)

    run(main())


@pytest.mark.parametrize("reports", [Reports.AS_ASKED, Reports.NEVER])
def test_speech_as_events(run: Run, reports: Reports) -> None:
    """With `stream_format: sse` the newer models tell their tokens at the end."""

    async def main() -> None:
        async with (
            open_gateway(Answer(reports=reports)) as (gateway, _),
            client_of(gateway) as client,
        ):
            got = await client.audio.speech.create(
                model=A_MODEL, input=SAID, voice="alloy", stream_format="sse"
            )
            assert got.response.headers["content-type"].startswith("text/event-stream")
            assert got.content.count(b"event: speech.audio.delta") == 3
            (usage,) = await gateway.usages()
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
            open_gateway(Answer(reports=reports)) as (gateway, upstream),
            client_of(gateway) as client,
        ):
            rename(gateway, name)
            sound = recording(1500)
            got = await client.audio.transcriptions.create(
                model=A_MODEL, file=("a.wav", sound), response_format=form, language="en"
            )
            assert "Hello there." in (got if isinstance(got, str) else got.text)
            arrived = form_at(upstream)
            assert (arrived["file"], arrived["language"]) == (sound, b"en")
            assert arrived["model"] == (name or A_MODEL).encode()
            (usage,) = await gateway.usages()
            assert (usage.tokens, usage.items) == (tokens, items)
            assert usage.confidence is confidence

    run(main())


def test_a_recording_that_tells_nothing_is_estimated(run: Run) -> None:
    """The size of a recording estimates its length where neither answer nor header tells it."""

    async def main() -> None:
        async with (
            open_gateway(Answer(reports=Reports.NEVER)) as (gateway, _),
            client_of(gateway) as client,
        ):
            await client.audio.transcriptions.create(model=A_MODEL, file=("a.mp3", b"x" * 16_000))
            (usage,) = await gateway.usages()
            assert usage.items == Items(audio_ms=1000)
            assert usage.confidence is Confidence.ESTIMATED

    run(main())


@pytest.mark.parametrize(
    ("sound", "form"),
    [
        (b"RIFF\x24\0\0\0WAVEfmt ", "verbose_json"),
        (b"RIFF\x24\0\0\0WAVELIST\xff\0\0\0abcd", "json"),
        (b"RIFF", "json"),
        (b"\xff", "verbose_json"),
    ],
)
def test_a_recording_that_is_broken(run: Run, sound: bytes, form: Any) -> None:
    """The upstream refuses it, and so do we, in its words."""

    async def main() -> None:
        async with open_gateway() as (gateway, _), client_of(gateway) as client:
            with pytest.raises(openai.BadRequestError):
                await client.audio.transcriptions.create(
                    model=A_MODEL, file=("a.wav", sound), response_format=form
                )
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.status) == (Outcome.REFUSED, 400)

    run(main())


@pytest.mark.parametrize("ignored", [False, True])
def test_a_transcription_as_a_stream(run: Run, ignored: bool) -> None:
    """Text of a transcription comes as events; an upstream without them may answer as a whole."""

    async def main() -> None:
        answer = Answer(never_streams=ignored)
        opening = open_gateway(answer, running_usage=True)
        async with opening as (gateway, upstream), client_of(gateway) as client:
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
            (usage,) = await gateway.usages()
            assert usage.tokens == Tokens(HEARD_TOKENS, 3, input_audio=HEARD_TOKENS)
            assert usage.confidence is Confidence.REPORTED

    run(main())


@pytest.mark.parametrize("form", ["json", "text", "verbose_json"])
def test_a_translation_of_speech(run: Run, form: Any) -> None:
    """A translation of speech is passed and on record as a transcription is."""

    async def main() -> None:
        fields = {"model": A_MODEL, "response_format": form}
        call = form_call(Operation.TRANSLATIONS, fields, file=("file", recording(1500)))
        kind = {"content-type": call.content_type.decode()}
        async with open_gateway() as (gateway, upstream):
            got = await gateway.ask("POST", "/v1/audio/translations", call.body, headers=kind)
            assert got.status == 200
            assert b"Hello there." in got.body
            assert upstream.received[0].path == "/v1/audio/translations"
            (usage,) = await gateway.usages()
            assert (usage.endpoint, usage.outcome) == ("audio.translations", Outcome.ANSWERED)
            assert usage.tokens.input_audio or usage.items.audio_ms == 1500

    run(main())
