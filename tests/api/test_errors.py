"""Calls that are turned away: the right status, OpenAI's error body, and one refused Usage."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from inferworks.accounts.key import Grant, mint
from inferworks.api.app import ROUTES
from inferworks.api.wire.openai_chat import decode_chat
from inferworks.cloud.providers.stub import Script, StubProvider
from inferworks.errors import CallError
from inferworks.http.server import Limits
from inferworks.meter.usage import NO_TOKENS, Outcome
from inferworks.observe.exposition import exposition
from inferworks.observe.table import CALLS
from inferworks.purpose import Purpose
from inferworks.testing.exposition import parse_exposition
from inferworks.testing.facts import A_PEPPER
from inferworks.testing.in_process_gateway import (
    A_CUSTOMER,
    CHAT,
    Answered,
    InProcessGateway,
    open_gateway,
    open_gateway_over,
    parse_answer,
)
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer

Run = Callable[[Coroutine[Any, Any, None]], None]
GOOD: dict[str, Any] = {"model": A_MODEL, "messages": [{"role": "user", "content": "Hi"}]}


def error_of(answer: Answered) -> dict[str, Any]:
    """The error in `answer`, which has exactly OpenAI's fields."""
    assert answer.whole
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json) == {"error"}
    error = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert "Traceback" not in error["message"]
    assert "`" not in error["message"] or error["code"] == "model_not_found"
    return dict(error)


def changed(**fields: Any) -> bytes:
    """A good body with other fields."""
    return json.dumps({**GOOD, **fields}).encode()


def without(field: str) -> bytes:
    """A good body less one field."""
    return json.dumps({k: v for k, v in GOOD.items() if k != field}).encode()


DEEP = b"[" * 100_000 + b"]" * 100_000
NOT_JSON = [
    b"", b"{", b"nul", b"[]", b'"text"', b"7", b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"{'model': 'm'}",
    changed()[:-1], changed() + b"x", changed()[:-1] + b', "x": NaN}', changed()[:-1] + b', "x": "\xff"}',
    changed()[:-1] + b', "\xff": 1}', changed(stream=True)[:-1] + b', "\xff": 1}',
    changed()[:-1] + b', "x": "\\ud800"}', changed()[:-1] + b', "x": ' + DEEP + b"}", DEEP,
    changed()[:-1] + b', "x": "\x00"}', b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("body", NOT_JSON, ids=lambda body: repr(body[-24:]))
def test_what_is_no_json_object(run: Run, body: bytes) -> None:
    """Bytes that are not one JSON object in UTF-8 get 400, in OpenAI's words."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            answer = await gateway.chat(body)
            assert answer.status == 400
            error = error_of(answer)
            assert error["message"].startswith("We could not parse the JSON body of your request.")
            assert (error["type"], error["code"]) == ("invalid_request_error", None)
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.status) == (Outcome.REFUSED, 400)
            assert (usage.tokens, usage.legs) == (NO_TOKENS, ())
            assert usage.request_bytes == len(body)

    run(main())


@pytest.mark.slow
def test_nesting_is_never_too_deep_for_us_alone(run: Run) -> None:
    """JSON of any depth is answered or refused: no later step fails on a depth that was let in."""

    async def main() -> None:
        async with open_gateway(running_usage=True) as (gateway, _):
            statuses = []
            for depth in (*range(600, 1000), *range(2000, 20_000, 500)):
                nested = b"[" * depth + b"]" * depth
                body = changed(stream=True)[:-1] + b', "x": ' + nested + b"}"
                statuses.append((await gateway.chat(body)).status)
            assert set(statuses) == {200, 400}, "where Python's limit is depends on its version"
            assert statuses == sorted(statuses)

    run(main())


WRONG = [
    (without("model"), "model", "missing_required_parameter"),
    (without("messages"), "messages", "missing_required_parameter"),
    (changed(messages=[{}]), "messages[0].role", "missing_required_parameter"),
    (changed(messages=[]), "messages", "empty_array"),
    (changed(messages=None), "messages", "invalid_type"),
    (changed(messages="Hi"), "messages", "invalid_type"),
    (changed(messages=[1]), "messages[0]", "invalid_type"),
    (changed(messages=[{"role": 5}]), "messages[0].role", "invalid_type"),
    (changed(messages=[{"role": "user", "content": 5}]), "messages[0].content", "invalid_type"),
    (changed(messages=[{"role": "u", "content": ["x"]}]), "messages[0].content[0]", "invalid_type"),
    (changed(model=7), "model", "invalid_type"),
    (changed(model=None), "model", "invalid_type"),
    (changed(model=""), "model", "empty_string"),
    (changed(model="m" * 300), "model", "string_above_max_length"),
    (changed(stream="yes"), "stream", "invalid_type"),
    (changed(stream=1), "stream", "invalid_type"),
    (changed(stream_options={}), "stream_options", None),
    (changed(stream=False, stream_options={"include_usage": True}), "stream_options", None),
    (changed(stream=True, stream_options=[]), "stream_options", "invalid_type"),
    (changed(stream=True, stream_options={"include_usage": "x"}), "stream_options.include_usage",
     "invalid_type"),
    (changed(n=0), "n", "integer_below_min_value"),
    (changed(n=129), "n", "integer_above_max_value"),
    (changed(n=1.5), "n", "invalid_type"),
    (changed(n="1"), "n", "invalid_type"),
    (changed(n=True), "n", "invalid_type"),
    (changed(temperature=3), "temperature", "decimal_above_max_value"),
    (changed(temperature=-0.1), "temperature", "decimal_below_min_value"),
    (changed(temperature="hot"), "temperature", "invalid_type"),
    (changed(top_p=1.1), "top_p", "decimal_above_max_value"),
    (changed(top_p=[]), "top_p", "invalid_type"),
    (changed(max_tokens=0), "max_tokens", "integer_below_min_value"),
    (changed(max_tokens=-5), "max_tokens", "integer_below_min_value"),
    (changed(max_tokens=1.5), "max_tokens", "invalid_type"),
    (changed(max_completion_tokens="9"), "max_completion_tokens", "invalid_type"),
    (changed(seed="a"), "seed", "invalid_type"),
    (changed()[:-1] + b', "seed": ' + b"9" * 5000 + b"}", "seed", "invalid_value"),
    (changed()[:-1] + b', "temperature": 1e999}', "temperature", "invalid_value"),
    (changed(stop=["a"] * 1025), "stop", "array_above_max_length"),
    (changed(stop=[1]), "stop[0]", "invalid_type"),
    (changed(stop=5), "stop", "invalid_type"),
    (changed(stop="x" * 5000), "stop", "string_above_max_length"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "param", "code"), WRONG, ids=lambda value: str(value)[-40:])
def test_a_wrong_parameter(run: Run, body: bytes, param: str, code: str | None) -> None:
    """The error names the parameter and the code, in a sentence without the decoder's jargon."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            answer = await gateway.chat(body)
            assert answer.status == 400
            error = error_of(answer)
            assert (error["param"], error["code"]) == (param, code)
            assert error["type"] == "invalid_request_error"
            assert f"'{param}'" in error["message"]
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.status, usage.error_code) == (Outcome.REFUSED, 400, code)

    run(main())


def test_the_words_are_openais() -> None:
    """A few sentences in full, since people search for them."""

    def words(body: bytes) -> str:
        with pytest.raises(CallError) as caught:
            decode_chat(body)
        return caught.value.message

    assert words(without("messages")) == "Missing required parameter: 'messages'."
    assert words(changed(temperature="hot")) == (
        "Invalid type for 'temperature': expected a decimal, but got a string instead."
    )
    assert words(changed(stop=5)) == (
        "Invalid type for 'stop': expected a string or an array, but got an integer instead."
    )
    assert words(changed(n=0)) == (
        "Invalid 'n': integer below minimum value. Expected a value >= 1."
    )
    assert words(changed(stop=["a"] * 1025)) == (
        "Invalid 'stop': array too long. Expected an array with maximum length 1024."
    )
    assert words(changed(stream_options={})) == (
        "The 'stream_options' parameter is only allowed when 'stream' is enabled."
    )


def test_an_unknown_model(run: Run) -> None:
    """A model that is not served gets 404 and OpenAI's code."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            for model in ("gpt-5", "a\0b", "m'\"`<x>", "é" * 200):
                answer = await gateway.chat(changed(model=model))
                error = error_of(answer)
                assert (answer.status, error["code"], error["param"]) == (
                    404,
                    "model_not_found",
                    "model",
                )
                assert f"`{model}` does not exist" in error["message"]
            usages = await gateway.usages()
            assert {(u.outcome, u.status, u.error_code) for u in usages} == {
                (Outcome.REFUSED, 404, "model_not_found")
            }
            assert usages[0].model == "gpt-5"

    run(main())


def test_who_is_not_known_is_not_metered(run: Run) -> None:
    """No key, a wrong one or a revoked one get 401 and leave no record: there is nobody to charge."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            key_id, revoked = gateway.new_key()
            gateway.revoke(key_id)
            codes = []
            for secret, headers in (
                ("", {}), ("iw_wrong", {}), (revoked, {}),
                ("", {"authorization": f"Basic {gateway.secret}"}), ("", {"authorization": "Bearer"}),
                ("", {"authorization": "Bearer  "}), ("", {"authorization": "Bearer \xff"}),
                ("", {"x-api-key": "iw_wrong"}), (None, {"x-api-key": "iw_other"}),
            ):  # fmt: skip
                answer = await gateway.chat(GOOD, secret=secret, headers=headers)
                assert answer.status == 401
                codes.append(error_of(answer)["code"])
                assert gateway.secret not in answer.body.decode()
            wrong = "invalid_api_key"
            assert codes == [None, wrong, wrong, None, None, None, wrong, wrong, None]
            assert "revoked" in (await gateway.chat(GOOD, secret=revoked)).json["error"]["message"]
            assert await gateway.usages() == []

    run(main())


def test_a_key_may_come_as_anthropics_clients_send_it(run: Run) -> None:
    """`x-api-key` names a key as well as a bearer token does, and beside the same one."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            headers = {"x-api-key": gateway.secret}
            assert (await gateway.chat(GOOD, secret="", headers=headers)).status == 200
            assert (await gateway.chat(GOOD, headers=headers)).status == 200

    run(main())


def test_the_scheme_of_a_key_has_no_case(run: Run) -> None:
    """`bearer` is `Bearer`."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            headers = {"authorization": f"bearer {gateway.secret}"}
            assert (await gateway.chat(GOOD, secret="", headers=headers)).status == 200

    run(main())


@pytest.mark.parametrize(
    ("purpose", "status", "code"),
    [
        ("evaluate", 403, "purpose_not_allowed"),
        ("world-domination", 400, "unknown_purpose"),
        ("", 400, "unknown_purpose"),
        ("SERVE-PAID", 400, "unknown_purpose"),
    ],
)
def test_a_purpose_that_may_not_be_named(run: Run, purpose: str, status: int, code: str) -> None:
    """A purpose outside what the key allows is refused, and on record under the key's own."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            answer = await gateway.chat(GOOD, headers={"x-inferworks-purpose": purpose})
            error = error_of(answer)
            assert (answer.status, error["code"]) == (status, code)
            assert error["param"] == "x-inferworks-purpose"
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.status) == (Outcome.REFUSED, status)
            assert usage.purpose is Purpose.SERVE_PAID

    run(main())


@pytest.mark.slow
def test_too_many_calls_at_once(run: Run) -> None:
    """Over the limit a call gets 429 at once; when one ends the next is let in."""

    async def main() -> None:
        provider = StubProvider([Script(token_s=0.1)])
        async with open_gateway_over(provider, calls_at_once=2) as gateway:
            running = [asyncio.ensure_future(gateway.chat(GOOD)) for _ in range(2)]
            while len(provider.calls) < 2:
                await asyncio.sleep(0.005)
            answer = await gateway.chat(GOOD)
            error = error_of(answer)
            assert (answer.status, error["type"]) == (429, "rate_limit_error")
            assert error["code"] == "too_many_calls"
            assert answer.headers["retry-after"] == "1"
            assert [(await call).status for call in running] == [200, 200]
            assert (await gateway.chat(GOOD)).status == 200
            outcomes = sorted(usage.outcome for usage in await gateway.usages())
            assert outcomes == [Outcome.ANSWERED] * 3 + [Outcome.REFUSED]

    run(main())


@pytest.mark.slow
def test_too_many_calls_of_one_key(run: Run) -> None:
    """A key over its own limit gets 429 while another is served; its place comes back when a call ends."""

    async def main() -> None:
        provider = StubProvider([Script(token_s=0.1)])
        async with open_gateway_over(provider, calls_per_key=2) as gateway:
            _, other = gateway.new_key()
            running = [asyncio.ensure_future(gateway.chat(GOOD)) for _ in range(2)]
            while len(provider.calls) < 2:
                await asyncio.sleep(0.005)
            refused = await gateway.chat(GOOD)
            assert (refused.status, error_of(refused)["code"]) == (429, "too_many_calls")
            assert "with this key" in error_of(refused)["message"]
            assert (await gateway.chat(GOOD, secret=other)).status == 200
            assert [(await call).status for call in running] == [200, 200]
            assert (await gateway.chat(GOOD)).status == 200

    run(main())


def test_a_body_over_the_limit(run: Run) -> None:
    """A body that is too large gets 413 with OpenAI's error body, however its length is told."""

    async def main() -> None:
        async with open_gateway_over(StubProvider(), limits=Limits(body_bytes=1000)) as gateway:
            large = changed(user="x" * 2000)
            answer = await gateway.chat(large)
            assert answer.status == 413
            assert "1000 bytes" in error_of(answer)["message"]
            chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(large), large)
            reader, writer = await gateway.connect()
            head = gateway.request("POST", CHAT, b"", headers={"transfer-encoding": "chunked"})
            writer.write(head.replace(b"content-length: 0\r\n", b"") + chunked)
            assert (await reader.read()).startswith(b"HTTP/1.1 413")
            writer.close()
            assert (await gateway.chat(GOOD)).status == 200

    run(main())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", CHAT, 405),
        ("DELETE", CHAT, 405),
        ("HEAD", CHAT, 405),
        ("POST", "/v1/models", 405),
        ("DELETE", "/v1/models/inferworks-tiny", 405),
        ("POST", "/health", 405),
        ("GET", "/v1/usage/events", 405),
        ("POST", "/v1/chat/completion", 404),
        ("POST", "/v1/chat/completions/", 404),
        ("POST", "/v1/embedding", 404),
        ("GET", "/v1/models/", 404),
        ("GET", "/health/x", 404),
        ("GET", "//v1/models", 404),
        ("GET", "/v1/%2e%2e/health", 404),
        ("GET", "/" + "x" * 5000, 404),
    ],
)
def test_wrong_paths_and_methods(run: Run, method: str, path: str, status: int) -> None:
    """A missing path gets 404, a method that does not fit 405, each with an error body."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            answer = await gateway.ask(method, path, b"")
            assert answer.status == status
            if method != "HEAD":
                error_of(answer)
                assert len(answer.body) < 1000
            assert await gateway.usages() == []

    run(main())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("upstream_status", "status", "code", "outcome"),
    [
        (400, 400, "invalid_value", Outcome.REFUSED),
        (401, 502, "upstream_failed", Outcome.FAILED),
        (404, 502, "upstream_failed", Outcome.FAILED),
        (429, 429, "upstream_busy", Outcome.FAILED),
        (500, 502, "upstream_failed", Outcome.FAILED),
        (503, 502, "upstream_failed", Outcome.FAILED),
    ],
)
def test_an_upstream_that_refuses(
    run: Run, stream: bool, upstream_status: int, status: int, code: str, outcome: Outcome
) -> None:
    """An upstream's refusal of the request is the answer; its other refusals are ours to explain."""

    async def main() -> None:
        async with open_gateway(Answer(status=upstream_status)) as (gateway, _):
            answer = await gateway.chat(changed(stream=stream))
            assert answer.status == status
            assert error_of(answer)["code"] == code
            assert "sk-" not in answer.body.decode()
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.status, usage.tokens) == (outcome, status, NO_TOKENS)
            assert [leg.status for leg in usage.legs] == [upstream_status]

    run(main())


def test_a_model_without_a_ready_replica(run: Run) -> None:
    """Until a replica is ready the model's calls get 503, are on record, and can be sent again."""

    async def main() -> None:
        async with open_gateway_over() as gateway:
            answer = await gateway.chat(GOOD)
            assert (answer.status, error_of(answer)["code"]) == (503, "no_replica")
            assert answer.headers["retry-after"] == "1"
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.status, usage.legs) == (Outcome.FAILED, 503, ())

    run(main())


def test_a_bug_of_ours_is_no_stack_trace(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """An unforeseen error gets a plain 500 and one failed Usage; the trace is in our log alone."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            object.__setattr__(
                gateway.context,
                "router",
                SimpleNamespace(health=gateway.context.router.health, slots=lambda *_: None),
            )
            answer = await gateway.chat(GOOD)
            assert answer.status == 500
            assert error_of(answer)["message"] == "The server had an error; it has been logged."
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.error_code) == (Outcome.FAILED, "AttributeError")

    run(main())
    assert "AttributeError" in caplog.text


BODIES = {path: methods for path, methods in ROUTES.items() if "POST" in methods}
NOBODY = {
    "no key": {},
    "unknown key": {"authorization": "Bearer iw_nobody"},
    "unknown key of Anthropic's": {"x-api-key": "iw_nobody"},
    "two keys": {"authorization": "Bearer iw_a", "x-api-key": "iw_b"},
    "another scheme": {"authorization": "Basic aXc6aXc="},
}
FRAMED = {
    "length": {"content-length": "10000000"},
    "chunks": {"transfer-encoding": "chunked"},
    "asked about": {"content-length": "10", "expect": "100-continue"},
}


async def told_by_head(
    gateway: InProcessGateway, method: str, path: str, headers: dict[str, str]
) -> Answered:
    """The answer to a head alone, with none of the body that it announces."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in {"host": "x", **headers}.items())
    reader, writer = await gateway.connect()
    writer.write(f"{method} {path} HTTP/1.1\r\n{fields}\r\n".encode())
    try:
        async with asyncio.timeout(5.0):
            return parse_answer(await reader.read())
    finally:
        writer.close()


def unnamed(answer: Answered) -> Answered:
    """A refusal without the id of its request, which each has its own of."""
    name = "request-id" if "request-id" in answer.headers else "x-request-id"
    request_id = answer.headers[name]
    assert re.fullmatch("req_[0-9a-f]{28}", request_id)
    body = answer.body.replace(request_id.encode(), b"")
    return Answered(answer.status, answer.headers | {name: ""}, body, answer.whole)


@pytest.mark.parametrize("framed", FRAMED.values(), ids=FRAMED)
@pytest.mark.parametrize("nobody", NOBODY.values(), ids=NOBODY)
def test_who_has_no_key_sends_no_body(
    run: Run, nobody: dict[str, str], framed: dict[str, str]
) -> None:
    """Without a good key the head is enough for the answer, at every door, in that door's words."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            for path in BODIES:
                path += "x" if path.endswith("/") else ""
                answer = await told_by_head(gateway, "POST", path, {**nobody, **framed})
                whole = await told_by_head(gateway, "POST", path, nobody | {"connection": "close"})
                assert answer.status == whole.status == 401
                assert unnamed(answer).body == unnamed(whole).body
                assert answer.headers["connection"] == "close"
            assert await gateway.usages() == []

    run(main())


def test_what_takes_no_body_without_a_key_is_what_needs_one(run: Run) -> None:
    """A head is refused exactly where its endpoint would refuse the request."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            for path, methods in ROUTES.items():
                path += "x" if path.endswith("/") else ""
                for method in set(methods) - {"HEAD"}:
                    body = {"content-length": "10", "expect": "100-continue", "connection": "close"}
                    whole = await told_by_head(gateway, method, path, {"connection": "close"})
                    if whole.status == 401:
                        by_head = await told_by_head(gateway, method, path, body)
                        assert unnamed(by_head) == unnamed(whole)
                    else:
                        reader, writer = await gateway.connect()
                        writer.write(gateway.request(method, path, b"", headers=body, secret=""))
                        assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
                        writer.close()

    run(main())


def test_a_key_for_something_else_sends_no_body(run: Run) -> None:
    """A key that may read metrics and nothing else is told so by the head, and a revoked one is."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            monitor, secret = mint(A_CUSTOMER, 1, Grant(monitor=True), pepper=A_PEPPER)
            gateway.accounts.add_key(monitor)
            revoked_id, revoked = gateway.new_key()
            gateway.revoke(revoked_id)
            for name, status, code in (
                (secret, 403, "monitor_key"),
                (revoked, 401, "invalid_api_key"),
            ):
                headers = {"authorization": f"Bearer {name}", "content-length": "10000000"}
                answer = await told_by_head(gateway, "POST", CHAT, headers)
                assert (answer.status, error_of(answer)["code"]) == (status, code)
            assert await gateway.usages() == []

    run(main())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/nowhere", 404),
        ("PUT", "/v1/models", 405),
        ("PATCH", CHAT, 405),
        ("TRACE", CHAT, 405),
        ("PROPFIND", CHAT, 405),
        ("POST", "/health", 405),
        ("OPTIONS", "*", 404),
        ("GET", "/health", 413),
        ("GET", "/openapi.json", 413),
    ],
)
def test_what_is_not_there_takes_no_body(run: Run, method: str, path: str, status: int) -> None:
    """No path, no such method, nothing to say to it: told by the head, and with a key in no other way."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            length = {"content-length": "10000000"}
            for key in ({}, {"authorization": f"Bearer {gateway.secret}"}):
                answer = await told_by_head(gateway, method, path, {**length, **key})
                assert answer.status == status
                error_of(answer)
            if status == 405:
                allowed = ROUTES[path]
                assert answer.headers["allow"] == ", ".join(allowed)
                bodiless = await gateway.ask(method, path)
                assert (bodiless.status, bodiless.headers["allow"]) == (405, ", ".join(allowed))

    run(main())


def test_a_key_that_is_revoked_while_its_connection_is_kept(run: Run) -> None:
    """A head that was admitted once is looked at again with each call, and so is one that is recognised."""

    async def main() -> None:
        async with open_gateway(Answer()) as (gateway, _):
            key_id, secret = gateway.new_key()
            request = gateway.request("POST", CHAT, json.dumps(GOOD).encode(), secret=secret)
            request = request.replace(b"connection: close\r\n", b"")
            reader, writer = await gateway.connect()
            for status in (200, 200, 401):
                if status == 401:
                    gateway.revoke(key_id)
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 %d " % status)
                (length,) = re.findall(rb"content-length: (\d+)", head)
                await reader.readexactly(int(length))
            writer.close()
            assert len(await gateway.usages()) == 2

    run(main())


def test_bodies_of_one_key_leave_room_for_another(run: Run) -> None:
    """Unfinished uploads of one key leave half of the room to others; strangers take none."""

    async def main() -> None:
        limits = Limits(held_bytes=2_000_000)
        async with open_gateway(Answer(), limits=limits) as (gateway, _):
            _, other = gateway.new_key()
            messages = [{"role": "user", "content": "x" * 900_000}]
            large = json.dumps({**GOOD, "messages": messages}).encode()
            crowd = []
            for secret in [gateway.secret] * 4 + ["iw_nobody"] * 4:
                _, writer = await gateway.connect()
                writer.write(gateway.request("POST", CHAT, large, secret=secret)[:-100])
                crowd.append(writer)
            while gateway.server.budget.held_bytes < 800_000:
                await asyncio.sleep(0.002)
            refused = await gateway.chat(large)
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            error_of(refused)
            assert (await gateway.chat(GOOD)).status == 200, "what is small is always taken"
            assert (await gateway.chat(large, secret=other)).status == 200
            for writer in crowd:
                writer.close()
            await gateway.alone()
            assert gateway.server.budget.held_bytes == 0
            assert (await gateway.chat(large)).status == 200

    run(main())


@pytest.mark.parametrize("stream", [False, True])
def test_what_no_offer_has_words_for_is_the_caller_s_fault(run: Run, stream: bool) -> None:
    """On record and in the metrics it is refused: no upstream was asked, so none has failed."""

    async def main() -> None:
        first = StubProvider([Script(unsaid="'n' is not known there.")], name="first")
        second = StubProvider([Script(unsaid="'n' cannot be 2.")], name="second")
        async with open_gateway_over(first, second) as gateway:
            answer = await gateway.chat({**GOOD, "stream": stream})
            assert answer.status == 400
            assert error_of(answer)["code"] == "unsupported_parameter"
            (usage,) = await gateway.usages()
            assert gateway.context.board is not None
            text = exposition(gateway.context.board.calls.families()).decode()
        assert (usage.outcome, usage.status, usage.legs) == (Outcome.REFUSED, 400, ())
        assert usage.error_code == "unsupported_parameter"
        counted = parse_exposition(text)
        assert counted.sum(CALLS.name, outcome="refused") == counted.sum(CALLS.name) == 1
        assert first.calls == second.calls == []

    run(main())


def test_one_offer_that_has_words_for_it_serves(run: Run) -> None:
    """The offer that can express the request serves, whichever comes first."""

    async def main() -> None:
        first = StubProvider([Script(unsaid="'n' is not known there.")], name="first")
        second = StubProvider(name="second")
        async with open_gateway_over(first, second) as gateway:
            answers = [await gateway.chat(GOOD) for _ in range(10)]
            usages = await gateway.usages()
        assert {answer.status for answer in answers} == {200}
        assert [[leg.provider for leg in usage.legs] for usage in usages] == [["second"]] * 10

    run(main())
