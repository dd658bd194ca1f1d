"""OpenAI's pictures from Stability's API: what is said the same, what passes, what is refused."""

from __future__ import annotations

import base64
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any

import msgspec
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import AsyncOpenAI
from tests.support.operations import json_call
from tests.support.translations import PutBack, put_back

from inferworks.cloud.call import Call
from inferworks.cloud.credentials.key import NoCredential
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.passthrough import PassthroughProvider
from inferworks.cloud.providers.stability import STABILITY
from inferworks.cloud.serving.translating import TranslatingProvider
from inferworks.cloud.translate.images_to_stability import ImagesToStability
from inferworks.errors import CallError, UpstreamError
from inferworks.http.client import HttpClient
from inferworks.http.multipart import read_parts
from inferworks.meter.usage import Items
from inferworks.testing.in_process_gateway import open_gateway_over
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer, open_upstream
from inferworks.testing.upstreams.images import PICTURE
from inferworks.testing.upstreams.stability import SEED

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]


def asked(**fields: object) -> Call:
    """Call that Stability is sent."""
    return ImagesToStability().ask(json_call(Operation.IMAGES, {"prompt": "A cat.", **fields}))


def form_of(call: Call) -> dict[str, str]:
    """The fields of a form."""
    parts = read_parts(call.body, call.content_type)
    return {part.name: call.body[part.start : part.end].decode() for part in parts}


@pytest.mark.parametrize(
    ("fields", "form"),
    [
        ({}, {}),
        ({"n": 1, "size": "auto", "quality": None, "user": "u", "stream": False}, {}),
        ({"size": "1024x1024"}, {"aspect_ratio": "1:1"}),
        ({"size": "1536x1024"}, {"aspect_ratio": "3:2"}),
        ({"size": "1024x1536"}, {"aspect_ratio": "2:3"}),
        ({"size": "3840x2160"}, {"aspect_ratio": "16:9"}),
        ({"output_format": "webp", "response_format": "b64_json"}, {"output_format": "webp"}),
        ({"seed": 7, "negative_prompt": "dogs", "style_preset": "anime"},
         {"seed": "7", "negative_prompt": "dogs", "style_preset": "anime"}),
    ],
)  # fmt: skip
def test_what_both_can_say(fields: dict[str, object], form: dict[str, str]) -> None:
    """Prompt, shape and format are put in Stability's words, and its own fields pass."""
    call = asked(**fields)
    assert form_of(call) == {"model": A_MODEL, "prompt": "A cat.", **form}
    assert call.headers == ((b"accept", b"application/json"),)
    assert call.operation is Operation.STABLE_IMAGE


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"size": "1792x1024"}, "size"),
        ({"size": "0x0"}, "size"),
        ({"size": "large"}, "size"),
        ({"size": "9" * 5000 + "x1"}, "size"),
        ({"quality": "high"}, "quality"),
        ({"background": "transparent"}, "background"),
        ({"response_format": "url"}, "response_format"),
        ({"output_format": "gif"}, "output_format"),
        ({"stream": True}, "stream"),
        ({"seed": {"a": 1}}, "seed"),
    ],
)
def test_what_stability_cannot_say_is_refused(fields: dict[str, object], param: str) -> None:
    """A field that the picture would depend on is not dropped in silence."""
    with pytest.raises(CallError) as caught:
        asked(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert "\n" not in caught.value.message


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8")))
def test_any_prompt_arrives(prompt: str, negative: str) -> None:
    """Texts arrive in the form as they are, whatever they hold."""
    form = form_of(asked(prompt=prompt, negative_prompt=negative))
    assert form == {"model": A_MODEL, "prompt": prompt, "negative_prompt": negative}


def test_refusals_and_answers_that_are_none() -> None:
    """Stability's words reach OpenAI's error body; what cannot be read is the upstream's failure."""
    translation = ImagesToStability()
    reported = translation.refusal(
        403, b'{"id":"x","name":"content_moderation","errors":["a","b"]}'
    )
    assert msgspec.json.decode(reported)["error"] == {
        "message": "a; b", "type": "invalid_request_error", "param": None,
        "code": "content_moderation",
    }  # fmt: skip
    assert b"status 500" in translation.refusal(500, b"<html>")
    call = json_call(Operation.IMAGES, {"prompt": "x"})
    for data in (b"{}", b"x", b'{"image": 1}'):
        with pytest.raises(UpstreamError):
            put_back(translation, call, data)
    with pytest.raises(UpstreamError):
        PutBack(translation, call).event(b"data: {}\n\n")


def test_the_official_client(run: Run) -> None:
    """OpenAI's client gets its picture, the record has one, and a refusal is the client's own."""

    async def main() -> None:
        async with open_upstream() as upstream:
            with closing(HttpClient()) as client:
                stability = PassthroughProvider(client, STABILITY, NoCredential())
                provider = TranslatingProvider(stability, [ImagesToStability()])
                async with (
                    open_gateway_over(provider, origin=upstream.origin) as gateway,
                    AsyncOpenAI(
                        base_url=gateway.url, api_key=gateway.secret, max_retries=0
                    ) as official,
                ):
                    got = await official.images.generate(
                        model=A_MODEL, prompt="A cat.", size="1024x1024"
                    )
                    assert got.data is not None
                    assert base64.b64decode(got.data[0].b64_json or "") == PICTURE
                    assert got.data[0].model_extra == {"finish_reason": "SUCCESS", "seed": SEED}
                    assert upstream.received[0].path == "/v1/stable-image/generate/sd3"
                    with pytest.raises(openai.BadRequestError) as two:
                        await official.images.generate(model=A_MODEL, prompt="A cat.", n=2)
                    assert two.value.param == "n"
                    upstream.script(Answer(status=400))
                    with pytest.raises(openai.BadRequestError) as blank:
                        await official.images.generate(model=A_MODEL, prompt="A cat.")
                    assert blank.value.code == "bad_request"
                    items = [usage.items for usage in await gateway.usages()]
                    assert items == [Items(images=1), Items(), Items()]

    run(main())
