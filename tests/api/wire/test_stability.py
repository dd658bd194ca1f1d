"""`POST /v2beta/stable-image/generate/...`: Stability's clients, before an upstream that speaks like it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from typing import Any

import httpx2
import msgspec
import pytest

from inferworks.cloud.credentials.key import KeyCredential
from inferworks.cloud.providers.passthrough import PassthroughProvider
from inferworks.cloud.providers.stability import STABILITY
from inferworks.http.client import HttpClient
from inferworks.http.multipart import read_parts
from inferworks.ids import ModelId
from inferworks.meter.usage import Confidence, Items, Outcome, Tokens
from inferworks.testing.in_process_gateway import InProcessGateway, open_gateway, open_gateway_over
from inferworks.testing.upstream import Answer, FakeUpstream, open_upstream
from inferworks.testing.upstreams.images import PICTURE
from inferworks.testing.upstreams.stability import SEED

Run = Callable[[Coroutine[Any, Any, None]], None]
PATH = "/v2beta/stable-image/generate/"


@asynccontextmanager
async def open_studio(
    *answers: Answer, models: dict[str, str] | None = None
) -> AsyncIterator[tuple[InProcessGateway, FakeUpstream]]:
    """A gateway before a fake Stability, with `models` by our names and the upstream's."""
    async with open_upstream(*answers) as upstream:
        with closing(HttpClient()) as client:
            credential = KeyCredential.bearer("sk-theirs")
            provider = PassthroughProvider(client, STABILITY, credential)
            async with open_gateway_over(provider, origin=upstream.origin) as gateway:
                (offer,) = next(iter(gateway.catalogue.ready.values()))
                for model, name in (models or {"stable-image-core": ""}).items():
                    named = msgspec.structs.replace(
                        offer, model=ModelId(model), upstream_model=name
                    )
                    gateway.catalogue.ready[ModelId(model)] = [named]
                yield gateway, upstream


async def paint(
    gateway: InProcessGateway, tail: str, accept: str | None = "image/*", **fields: str
) -> httpx2.Response:
    """A request as Stability's own examples make it."""
    headers = {"authorization": f"Bearer {gateway.secret}"} | ({"accept": accept} if accept else {})
    async with httpx2.AsyncClient() as client:
        return await client.post(
            gateway.url.removesuffix("/v1") + PATH + tail,
            headers=headers,
            data={"prompt": "Lighthouse on a cliff", **fields},
            files={"none": ""},
        )


def form_at(upstream: FakeUpstream) -> dict[str, bytes]:
    """The form that arrived last."""
    received = upstream.received[-1]
    parts = read_parts(received.body, received.headers[b"content-type"])
    return {part.name: received.body[part.start : part.end] for part in parts}


@pytest.mark.parametrize(
    ("tail", "models", "path", "model"),
    [
        ("core", {"stable-image-core": ""}, "core", None),
        ("ultra", {"stable-image-ultra": ""}, "ultra", None),
        ("sd3", {"sd3.5-large": ""}, "sd3", None),
        ("sd3", {"sd3.5-large": "sd3.5-medium"}, "sd3", b"sd3.5-medium"),
        ("core", {"stable-image-core": "stable-image-ultra"}, "ultra", None),
        ("core", {"stable-image-core": "sd3.5-large-turbo"}, "sd3", b"sd3.5-large-turbo"),
    ],
)
def test_a_picture(
    run: Run, tail: str, models: dict[str, str], path: str, model: bytes | None
) -> None:
    """The picture comes with its headers, from the path of the model; it is one on record."""

    async def main() -> None:
        async with open_studio(models=models) as (gateway, upstream):
            got = await paint(gateway, tail, output_format="webp", aspect_ratio="16:9")
            assert (got.status_code, got.content) == (200, PICTURE)
            told = {name: got.headers[name] for name in ("content-type", "finish-reason", "seed")}
            assert told == {
                "content-type": "image/webp", "finish-reason": "SUCCESS", "seed": str(SEED),
            }  # fmt: skip
            (received,) = upstream.received
            assert received.path == f"/v1/stable-image/generate/{path}"
            assert received.headers[b"authorization"] == b"Bearer sk-theirs"
            assert received.headers[b"accept"] == b"image/*"
            assert form_at(upstream).get("model") == model
            (usage,) = await gateway.usages()
            assert (usage.endpoint, usage.model) == ("stable-image", next(iter(models)))
            assert (usage.items, usage.tokens) == (Items(images=1), Tokens())
            assert usage.confidence is Confidence.REPORTED

    run(main())


def test_a_picture_in_json(run: Run) -> None:
    """Asked for JSON the picture is in base64; one that the filter blurred is an answer too."""

    async def main() -> None:
        async with open_studio(Answer(words=())) as (gateway, upstream):
            got = await paint(gateway, "core", "application/json")
            assert got.json()["finish_reason"] == "CONTENT_FILTERED"
            assert base64.b64decode(got.json()["image"]) == PICTURE
            assert "seed" not in got.headers
            await paint(gateway, "core", None)  # that client says */*, and it passes
            assert [r.headers[b"accept"] for r in upstream.received] == [
                b"application/json",
                b"*/*",
            ]
            assert [usage.items for usage in await gateway.usages()] == [Items(images=1)] * 2

    run(main())


@pytest.mark.parametrize(
    ("tail", "fields", "status", "why"),
    [
        ("core", {"prompt": ""}, 400, "prompt"),
        ("sd3", {"model": "sd9"}, 404, "sd9"),
        ("ultra", {}, 404, "stable-image-ultra"),
        ("sd9", {}, 404, "Invalid URL"),
    ],
)
def test_refusals(run: Run, tail: str, fields: dict[str, str], status: int, why: str) -> None:
    """Our refusals are written as Stability's, but for a path that nobody knows."""

    async def main() -> None:
        async with open_studio() as (gateway, upstream):
            got = await paint(gateway, tail, **fields)
            assert got.status_code == status
            (told,) = got.json().get("errors") or [got.json()["error"]["message"]]
            assert why in told
            assert upstream.received == []

    run(main())


def test_no_form_is_refused(run: Run) -> None:
    """JSON is not what Stability reads."""

    async def main() -> None:
        async with open_studio() as (gateway, upstream):
            got = await gateway.ask("POST", PATH + "core", b'{"prompt": "x"}')
            assert (got.status, got.json["name"]) == (400, "bad_request")
            assert "multipart/form-data" in got.json["errors"][0]
            assert upstream.received == []

    run(main())


def test_the_upstreams_refusal_passes(run: Run) -> None:
    """Stability's words of refusal reach the caller; nothing is charged."""

    async def main() -> None:
        async with open_studio(Answer(status=400)) as (gateway, _):
            got = await paint(gateway, "core")
            assert (got.status_code, got.json()["name"]) == (400, "bad_request")
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.items) == (Outcome.REFUSED, Items())

    run(main())


def test_another_dialect_cannot_paint(run: Run) -> None:
    """A model that is served by who does not speak Stability's is refused clearly."""

    async def main() -> None:
        async with open_gateway() as (gateway, _):
            gateway.catalogue.ready[ModelId("stable-image-core")] = [
                *gateway.catalogue.ready.pop(ModelId("inferworks-tiny"))
            ]
            got = await paint(gateway, "core")
            assert got.status_code == 400
            assert got.json()["errors"] == [
                "The model `stable-image-core` cannot be used for stable-image."
            ]

    run(main())
