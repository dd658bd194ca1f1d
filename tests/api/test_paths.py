"""Paths as other houses have them, and what is said of paths that are nothing."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from inferworks.api.app import FORMS, ROUTES
from inferworks.api.paths import meant_by, near
from inferworks.cloud.providers.stub import StubProvider
from inferworks.ids import ModelId
from inferworks.meter.usage import Outcome
from inferworks.testing.in_process_gateway import InProcessGateway, open_gateway, open_gateway_over
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstreams.audio import recording
from inferworks.testing.upstreams.images import PICTURE

Run = Callable[[Coroutine[Any, Any, None]], None]
MESSAGES: Any = [{"role": "user", "content": "hi"}]
BODY = {"model": A_MODEL, "messages": MESSAGES}


def azure(gateway: InProcessGateway) -> Any:
    """The official client for Azure, with another address and key."""
    from openai import AsyncAzureOpenAI

    return AsyncAzureOpenAI(
        azure_endpoint=gateway.url.removesuffix("/v1"),
        api_key=gateway.secret,
        api_version="2024-10-21",
        max_retries=0,
    )


@pytest.mark.slow
def test_azures_client(run: Run) -> None:
    """Chats, streams, vectors, pictures and sound go to the model that their path names."""

    async def main() -> None:
        async with open_gateway() as (gateway, upstream), azure(gateway) as client:
            whole = await client.chat.completions.create(model=A_MODEL, messages=MESSAGES)
            assert whole.choices[0].message.content == "Hello there."
            assert whole._request_id
            stream = await client.chat.completions.create(
                model=A_MODEL, messages=MESSAGES, stream=True
            )
            assert [chunk async for chunk in stream][-1].choices[0].finish_reason == "stop"
            await client.completions.create(model=A_MODEL, prompt="hi")
            assert (await client.embeddings.create(model=A_MODEL, input="hi")).data
            assert (await client.images.generate(model=A_MODEL, prompt="a cat")).data
            picture = ("a.png", PICTURE)
            assert (await client.images.edit(model=A_MODEL, prompt="a", image=picture)).data
            speech = await client.audio.speech.create(model=A_MODEL, input="hi", voice="alloy")
            assert await speech.aread()
            sound = ("a.wav", recording(100))
            assert (await client.audio.transcriptions.create(model=A_MODEL, file=sound)).text
            assert [model.id async for model in client.models.list()] == [A_MODEL]
            assert (await client.responses.create(model=A_MODEL, input="hi")).output_text
            with pytest.raises(Exception, match=r"404 .*does not exist"):
                await client.chat.completions.create(model="nobody's", messages=MESSAGES)
            assert len(upstream.received) == 9
            assert all(b"api-key" not in received.headers for received in upstream.received)
            usages = await gateway.usages()
            assert [usage.model for usage in usages] == [A_MODEL] * 9 + ["nobody's"]

    run(main())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"api-key": "KEY"}, 200),
        ({"authorization": "Bearer KEY", "api-key": "KEY"}, 200),
        ({"authorization": "Bearer KEY", "x-api-key": "KEY", "api-key": "KEY"}, 200),
        ({"authorization": "Basic xyz", "api-key": "KEY"}, 200),
        ({"authorization": "Bearer KEY", "api-key": "iw_other"}, 401),
        ({"authorization": "Bearer iw_other", "api-key": "KEY"}, 401),
        ({"x-api-key": "KEY", "api-key": "iw_other"}, 401),
        ({"authorization": "Bearer KEY", "x-api-key": " ", "api-key": ""}, 200),
        ({"authorization": "Basic xyz"}, 401),
    ],
)
def test_a_key_is_the_same_in_every_header(run: Run, headers: dict[str, str], status: int) -> None:
    """A call is nobody's whose headers name two keys, wherever the right one stands."""

    async def main() -> None:
        async with open_gateway() as (gateway, _):
            sent = {name: value.replace("KEY", gateway.secret) for name, value in headers.items()}
            body = msgspec.json.encode(BODY)
            answer = await gateway.ask(
                "POST", "/v1/chat/completions", body, headers=sent, secret=""
            )
            assert answer.status == status
            two = len({v for v in sent.values() if "iw_" in v and "Basic" not in v}) > 1
            assert ("two different" in answer.body.decode()) == (status == 401 and two)

    run(main())


@pytest.mark.parametrize("coding", ["", "gzip"])
@pytest.mark.parametrize("model", [{}, {"model": "another"}])
@pytest.mark.parametrize("name", ["inferworks-tiny", "acme/large", "acme%2Flarge"])
def test_the_path_names_the_model(run: Run, name: str, model: dict[str, str], coding: str) -> None:
    """The model in the path counts whatever the body says; the body sent upstream names it."""

    async def main() -> None:
        async with open_gateway() as (gateway, upstream):
            gateway.catalogue.ready[ModelId("acme/large")] = gateway.catalogue.ready[A_MODEL]
            path = f"/openai/deployments/{name}/chat/completions?api-version=1"
            body = msgspec.json.encode({**model, "messages": MESSAGES})
            headers = {"content-encoding": coding} if coding else {}
            data = gzip.compress(body) if coding else body
            answer = await gateway.ask(
                "POST", path, data, headers={**headers, "api-key": gateway.secret}, secret=""
            )
            assert answer.status == 200
            (usage,) = await gateway.usages()
            assert usage.model == name.replace("%2F", "/")
            assert msgspec.json.decode(upstream.received[0].body)["model"] == usage.model

    run(main())


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"model":"a","model":"b","messages":[]}', b'{"Model":"a","messages":[]}'],
)
def test_a_body_that_cannot_name_a_model(run: Run, body: bytes) -> None:
    """A body that cannot name a model is refused in the same words as elsewhere."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            path = f"/openai/deployments/{A_MODEL}/chat/completions"
            answer = await gateway.ask("POST", path, body)
            assert answer.status == 400
            assert answer.json["error"].keys() == {"message", "type", "param", "code"}
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.status) == (Outcome.REFUSED, 400)

    run(main())


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/openai/v1/chat/completions", ("/v1/chat/completions", "")),
        ("/openai/responses", ("/v1/responses", "")),
        ("/openai/v1/models/m", ("/v1/models/m", "")),
        ("/anthropic/v1/messages", ("/v1/messages", "")),
        ("/openai/deployments/m/completions", ("/v1/completions", "m")),
        ("/openai/deployments/m/chat/completions", ("/v1/chat/completions", "m")),
        ("/openai/deployments/m/chat/completions/", None),
        ("/openai/deployments//chat/completions", None),
        ("/openai/deployments/chat/completions", ("/v1/completions", "chat")),
        ("/openai/deployments/m/stable-image/generate/core", None),
        ("/v1/chat/completions", None),
        ("/elsewhere", None),
    ],
)
def test_what_a_path_means(path: str, meant: tuple[str, str] | None) -> None:
    """A path means one of ours, with the model that it names."""
    assert meant_by(path, FORMS) == meant


@pytest.mark.slow
def test_other_houses_paths(run: Run) -> None:
    """Paths of other APIs are answered as ours are, refusals too."""
    from anthropic import AsyncAnthropic

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            data = msgspec.json.encode(BODY)
            assert (await gateway.ask("POST", "/openai/v1/chat/completions", data)).status == 200
            assert (await gateway.ask("GET", "/openai/v1/models")).status == 200
            assert (await gateway.ask("GET", f"/openai/models/{A_MODEL}")).status == 200
            assert (await gateway.ask("GET", "/openai/v1/chat/completions")).status == 405
            assert (await gateway.ask("POST", "/openai/v1/nothing")).status == 404
            kept = await gateway.ask("GET", "/openai/v1/responses/resp_1")
            assert kept.json["error"]["code"] == "response_not_found"
            url = gateway.url.removesuffix("/v1") + "/anthropic"
            async with AsyncAnthropic(
                base_url=url, api_key=gateway.secret, max_retries=0
            ) as client:
                assert [model.id async for model in client.models.list()] == [A_MODEL]

    run(main())


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1//chat/completions", "/v1/chat/completions"),
        ("//v1/models", "/v1/models"),
        ("/v1/chat/completions/", "/v1/chat/completions"),
        ("/v1/chat/completions/chat/completions", None),
        ("/api/v1/messages", "/v1/messages"),
        ("/v1/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        ("/v1/chat", None),
        ("/", None),
        ("/" + "/" * 5000 + "v1/models", "/v1/models"),
    ],
)
def test_hints(path: str, meant: str | None) -> None:
    """A base URL that was given wrong is recognised by what stands behind it."""
    assert near(path, ROUTES) == meant


def test_a_hint_is_told(run: Run) -> None:
    """The refusal says where to go, and what to look at."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            answer = await gateway.ask("POST", "/v1/chat/completions/", b"{}")
            assert answer.status == 404
            assert answer.json["error"]["message"] == (
                "Invalid URL (POST /v1/chat/completions/); did you mean /v1/chat/completions? Look at "
                "the base URL."
            )
            unknown = await gateway.ask("POST", "/v1/batches", b"{}")
            assert unknown.json["error"]["message"] == "Invalid URL (POST /v1/batches)"

    run(main())


def test_heads(run: Run) -> None:
    """Heads are answered wherever GET is; the method is not chosen by a header."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            for path in ("/v1/models", f"/v1/models/{A_MODEL}", "/openapi.json", "/health"):
                whole = await gateway.ask("GET", path)
                reader, writer = await gateway.connect()
                writer.write(gateway.request("HEAD", path, b""))
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
                writer.close()
                assert head.startswith(b"HTTP/1.1 200 ")
                assert b"content-length: %d" % len(whole.body) in head
                assert body == b""
            override = {"x-http-method-override": "POST"}
            assert (
                await gateway.ask("GET", "/v1/chat/completions", headers=override)
            ).status == 405

    run(main())
