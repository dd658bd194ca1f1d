"""Ids of answers, and an upstream's own ids and limits beside ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest

from inferworks.cloud.providers.stub import StubProvider
from inferworks.http.server import Limits
from inferworks.testing.in_process_gateway import (
    CHAT,
    Answered,
    InProcessGateway,
    open_gateway,
    open_gateway_over,
)
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer, FakeUpstream

Run = Callable[[Coroutine[Any, Any, None]], None]
Gateway = AbstractAsyncContextManager[tuple[InProcessGateway, FakeUpstream]]
BODY = {"model": A_MODEL, "messages": [{"role": "user", "content": "hi"}]}
ANTHROPIC = {"anthropic-version": "2023-06-01"}
UPSTREAM_ID = "x-inferworks-upstream-request-id"
LIMITS = (
    (b"x-ratelimit-remaining-requests", b"59"),
    (b"x-ratelimit-reset-tokens", b"6m0s"),
    (b"anthropic-ratelimit-tokens-remaining", b"7"),
    (b"retry-after", b"3"),
    (b"x-request-id", b"req_theirs"),
)


@pytest.mark.parametrize("answer_headers", [True, False])
@pytest.mark.parametrize("stream", [False, True])
def test_a_call(run: Run, stream: bool, answer_headers: bool) -> None:
    """The answer is known by the id of its record, whatever else is told."""

    async def main() -> None:
        async with open_gateway_over(StubProvider(), answer_headers=answer_headers) as gateway:
            answer = await gateway.chat({**BODY, "stream": stream})
            (usage,) = await gateway.usages()
            assert answer.headers["x-request-id"] == usage.call_id
            assert answer.headers["x-inferworks-call-id"] == usage.call_id
            assert "request-id" not in answer.headers

    run(main())


@pytest.mark.slow
def test_the_official_client_sees_it(run: Run) -> None:
    """`_request_id` of OpenAI's client is the call's."""
    from openai import AsyncOpenAI

    async def main() -> None:
        async with open_gateway() as (gateway, _):
            async with AsyncOpenAI(base_url=gateway.url, api_key=gateway.secret) as client:
                got = await client.chat.completions.create(
                    model=A_MODEL, messages=[{"role": "user", "content": "hi"}]
                )
            (usage,) = await gateway.usages()
            assert got._request_id == usage.call_id

    run(main())


@pytest.mark.parametrize("body", [b"{", b'{"model":"nobody","messages":[{"role":"user"}]}'])
def test_a_call_that_is_refused(run: Run, body: bytes) -> None:
    """The error is known by the id of its record, too."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            answer = await gateway.chat(body)
            assert answer.status in {400, 404}
            (usage,) = await gateway.usages()
            assert answer.headers["x-request-id"] == usage.call_id
            assert answer.headers["x-inferworks-call-id"] == usage.call_id

    run(main())


REFUSED = {
    "no such path": ("POST", "/v1/nothing", {}, 404),
    "another method": ("DELETE", CHAT, {}, 405),
    "no such model": ("GET", "/v1/models/nothing", {}, 404),
    "a wrong key": ("GET", "/v1/models", {"authorization": "Bearer iw_x"}, 401),
    "a wrong key with a body": ("POST", CHAT, {"authorization": "Bearer iw_x"}, 401),
    "too large": ("POST", CHAT, {"content-length": "5000"}, 413),
    "too many fields": ("POST", CHAT, {f"x-{n}": "a" for n in range(300)}, 431),
    "the form of a response": ("GET", "/v1/responses/resp_1", {}, 404),
}
OF_ANTHROPIC = {
    "a path of its own": ("POST", "/v1/messages/batches", {}, 404),
    "another path of its own": ("GET", "/v1/messages/batches/msgbatch_1", ANTHROPIC, 404),
    "by its version": ("GET", "/v1/files", ANTHROPIC, 404),
    "no such model": ("GET", "/v1/models/nothing", ANTHROPIC, 404),
    "another method": ("GET", "/v1/messages", {}, 405),
    "a wrong key": ("POST", "/v1/messages", {"x-api-key": "iw_x"}, 401),
    "a wrong key for models": ("GET", "/v1/models", {**ANTHROPIC, "x-api-key": "iw_x"}, 401),
    "too large": ("POST", "/v1/messages", {"content-length": "5000"}, 413),
    "no page": ("GET", "/v1/models?limit=0", ANTHROPIC, 400),
}


async def refused(
    gateway: InProcessGateway, method: str, path: str, headers: dict[str, str]
) -> Answered:
    """The refusal of a request that never becomes a call."""
    wrong_key = {"authorization", "x-api-key"} & headers.keys()
    return await gateway.ask(method, path, headers=headers, secret="" if wrong_key else None)


@pytest.mark.parametrize(("method", "path", "headers", "status"), REFUSED.values(), ids=REFUSED)
def test_refusals(run: Run, method: str, path: str, headers: dict[str, str], status: int) -> None:
    """A request that never becomes a call is refused with an id of its own, in OpenAI's words."""

    async def main() -> None:
        async with open_gateway_over(StubProvider(), limits=Limits(body_bytes=1000)) as gateway:
            answer = await refused(gateway, method, path, headers)
            assert answer.status == status
            assert re.fullmatch("req_[0-9a-f]{28}", answer.headers["x-request-id"])
            assert answer.json["error"].keys() == {"message", "type", "param", "code"}
            assert await gateway.usages() == []

    run(main())


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"), OF_ANTHROPIC.values(), ids=OF_ANTHROPIC
)
def test_refusals_to_anthropics_clients(
    run: Run, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """Refusals are Anthropic's errors, whoever refuses and whether or not there is anything at the path."""

    async def main() -> None:
        async with open_gateway_over(StubProvider(), limits=Limits(body_bytes=1000)) as gateway:
            answer = await refused(gateway, method, path, headers)
            assert answer.status == status
            assert answer.json["type"] == "error"
            assert answer.json["error"].keys() == {"type", "message"}
            assert answer.json["request_id"] == answer.headers["request-id"]
            assert re.fullmatch("req_[0-9a-f]{28}", answer.headers["request-id"])

    run(main())


def test_models_have_one(run: Run) -> None:
    """Each dialect's clients look for it in a header of their own."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            assert "x-request-id" in (await gateway.ask("GET", "/v1/models")).headers
            page = await gateway.ask("GET", "/v1/models", headers=ANTHROPIC)
            assert "request-id" in page.headers

    run(main())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [200, 400])
def test_limits_of_the_upstream(run: Run, status: int, stream: bool) -> None:
    """The upstream's limits reach the caller as written, and its id under a name of ours."""

    async def main() -> None:
        async with open_gateway(Answer(status=status, headers=LIMITS)) as (gateway, _):
            answer = await gateway.chat({**BODY, "stream": stream})
            assert answer.status == status
            for name, value in LIMITS[:-1]:
                assert answer.headers[name.decode()] == value.decode()
            assert answer.headers[UPSTREAM_ID] == "req_theirs"
            (usage,) = await gateway.usages()
            assert answer.headers["x-request-id"] == usage.call_id

    run(main())


def test_limits_are_of_the_offer_that_served(run: Run) -> None:
    """Limits of an upstream that was tried in vain do not reach the caller."""

    async def main() -> None:
        busy = Answer(status=429, headers=((b"x-ratelimit-limit", b"1"), (b"retry-after", b"0")))
        good = Answer(headers=((b"x-ratelimit-limit", b"2"),))
        async with open_gateway(busy, good) as (gateway, upstream):
            gateway.catalogue.ready[A_MODEL] = [
                msgspec.structs.replace(offer, id=f"{offer.id}-{number}", priority=number)
                for number in range(2)
                for offer in gateway.catalogue.ready[A_MODEL]
            ]
            answer = await gateway.chat(BODY)
            assert (answer.status, len(upstream.received)) == (200, 2)
            assert answer.headers["x-ratelimit-limit"] == "2"
            assert "retry-after" not in answer.headers

    run(main())


def test_what_is_told_of_upstreams_can_be_left_out(run: Run) -> None:
    """An operator who does not say who served says nothing of its limits either."""

    async def main() -> None:
        opening: Gateway = open_gateway(Answer(headers=LIMITS), answer_headers=False)
        async with opening as (gateway, _):
            answer = await gateway.chat(BODY)
            assert not {name.decode() for name, _ in LIMITS[:-1]} & answer.headers.keys()
            assert UPSTREAM_ID not in answer.headers

    run(main())


def test_they_are_bounded(run: Run) -> None:
    """An upstream that says too much is not repeated in full."""

    async def main() -> None:
        many = tuple((b"x-ratelimit-%d" % n, b"1") for n in range(100))
        long = ((b"x-ratelimit-long", b"x" * 300),)
        async with open_gateway(Answer(headers=many + long)) as (gateway, _):
            answer = await gateway.chat(BODY)
            assert sum(name.startswith("x-ratelimit-") for name in answer.headers) == 32
            assert "x-ratelimit-long" not in answer.headers

    run(main())
