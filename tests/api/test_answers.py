"""Answers as upstreams truly send them: read for usage, judged as what they are, charged as shown.

One bare upstream with one answer, asked by clients of chats, of messages and of responses.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest

from inferworks.cloud.credentials.key import NoCredential
from inferworks.cloud.providers.openai import openai_provider
from inferworks.cloud.serving.translating import TranslatingProvider
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.http.client import HttpClient, Origin
from inferworks.meter.usage import Confidence, Outcome, Tokens
from inferworks.testing.in_process_gateway import Answered, InProcessGateway, open_gateway_over
from inferworks.testing.providers import A_MODEL

Run = Callable[[Coroutine[Any, Any, None]], None]

SAID = [{"role": "user", "content": "hi"}]
ASKED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": SAID},
    "/v1/messages": {"messages": SAID, "max_tokens": 9},
    "/v1/responses": {"input": "hi"},
    "/v1/completions": {"prompt": "hi"},
}
TRANSLATED = [path for path in ASKED if path != "/v1/chat/completions"]
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
USED = Tokens(11, 7)


def chunk(delta: Any = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """An event of a stream with one choice."""
    return {
        "id": "c",
        "created": 1,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }


def whole(message: dict[str, Any], finish: str = "stop", **more: Any) -> bytes:
    """A whole answer with one choice."""
    return json.dumps(
        {"id": "c", "choices": [{"message": message, "finish_reason": finish}], **more}
    ).encode()


def events(*items: dict[str, Any] | str, end: str = "data: [DONE]\n\n") -> bytes:
    """A stream of items; a text is sent as it is."""
    texts = [item if isinstance(item, str) else f"data: {json.dumps(item)}\n\n" for item in items]
    return "".join([*texts, end]).encode()


@asynccontextmanager
async def answering(
    body: bytes, status: bytes = b"200 OK"
) -> AsyncIterator[tuple[InProcessGateway, Callable[[], int]]]:
    """A gateway before an upstream that always answers with `body`, and how often it was asked."""
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(
            int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        )
        asked += 1
        kind = b"application/json" if body.startswith(b"{") else b"text/event-stream"
        writer.write(
            b"HTTP/1.1 %b\r\nconnection: close\r\ntransfer-encoding: chunked\r\ncontent-type: %b"
            % (status, kind)
        )
        writer.write(b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        with closing(HttpClient()) as client:
            spoken = openai_provider(client, NoCredential(), name="openai")
            chats = {operation for operation in spoken.operations if "chat" in operation}
            provider = TranslatingProvider(
                openai_provider(client, NoCredential(), name="openai", operations=chats),
                TRANSLATIONS,
            )
            origin = Origin(
                "127.0.0.1", server.sockets[0].getsockname()[1], tls=False, base_path="/v1"
            )
            async with open_gateway_over(provider, origin=origin) as gateway:
                yield gateway, lambda: asked


async def ask(gateway: InProcessGateway, path: str, body: bytes) -> Answered:
    """The answer at `path`, in the way that the upstream's `body` is."""
    request = {"model": A_MODEL, "stream": not body.startswith(b"{"), **ASKED[path]}
    return await gateway.ask("POST", path, json.dumps(request).encode())


def told(usage: dict[str, Any]) -> dict[str, Any]:
    """The event that tells what was used."""
    return {"id": "c", "created": 1, "choices": [], "usage": usage}


HI = chunk({"content": "Hi"})
STOP = chunk({}, "stop")
TOLD = told(USAGE)
THOUGHT = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]
REASONED = [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}]
HI_PART = [{"type": "text", "text": "Hi"}]
ODD = {
    "a time with a fraction": events({**HI, "created": 1.5}, STOP, TOLD),
    "a time that is none": events({**HI, "created": {}}, STOP, TOLD),
    "no choices beside the usage": events(HI, STOP, {**TOLD, "choices": None}),
    "nothing new": events(HI, chunk(None, "stop"), TOLD),
    "no id": events({**HI, "id": None, "model": None, "object": 7}, STOP, TOLD),
    "an id that is a number": events({**HI, "id": 7}, STOP, TOLD),
    "log probabilities that are none": events(
        {**HI, "choices": [{**HI["choices"][0], "logprobs": [1]}]}, STOP, TOLD
    ),
    "an error that is none": events({**HI, "error": {}}, {**STOP, "error": ""}, {**TOLD, "error": False}),
    "counts as floats": events(HI, STOP, told({"prompt_tokens": 11.0, "completion_tokens": "7"})),
    "one count and the total": events(HI, STOP, told({"prompt_tokens": 11, "total_tokens": 18})),
    "usage too early": events({**HI, "usage": USAGE}, STOP),
    "zeros behind the usage": events(
        HI, {**STOP, "usage": USAGE}, told({"prompt_tokens": 0, "completion_tokens": 0})
    ),
    "no end": events(HI, STOP, TOLD, end=""),
    "no empty line": events(HI, STOP, TOLD, end="data: [DONE]"),
    "an end with a space": events(HI, STOP, TOLD, end="data: [DONE] \n\n"),
    "half a letter": events(
        chunk({"content": "\ud83d"}, usage=None), chunk({"content": "\ude00 Hi"}, usage=USAGE),
        chunk({}, "stop", usage=None), TOLD),
    "a byte order mark": events("\ufeff", chunk({"content": "Hi"}), STOP, TOLD),
    "comments first": events(": PROCESSING\n\n: PROCESSING\n\n", HI, STOP, TOLD),
    "parts": events(chunk({"content": THOUGHT}), chunk({"content": HI_PART}), STOP, TOLD),
    "parts of another kind": events(chunk({"content": REASONED + HI_PART}), STOP, TOLD),
    "whole": whole({"content": "Hi"}, usage=USAGE, created=1.5),
    "whole, with half a letter": whole({"content": "Hi \ud83d"}, usage=USAGE),
    "whole, in parts": whole({"content": THOUGHT + HI_PART}, usage=USAGE),
    "whole, in null": whole({"content": "Hi", "tool_calls": None}, usage=USAGE, id=None, created=None),
}  # fmt: skip


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_answer_is_an_answer(run: Run, odd: str, path: str) -> None:
    """In every dialect: its words arrive, it is asked for once, and charged as told."""

    async def main() -> None:
        async with answering(ODD[odd]) as (gateway, asked):
            answer = await ask(gateway, path, ODD[odd])
            assert answer.status == 200
            assert b"Hi" in answer.body
            assert b'"error":{"message"' not in answer.body
            assert asked() == 1
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.tokens) == (Outcome.ANSWERED, USED)
            assert usage.confidence is Confidence.REPORTED

    run(main())


SILENT = {
    "streamed": events(HI, STOP),
    "streamed, without an end": events(HI, STOP, end=""),
    "whole": whole({"content": "Hi"}),
    "whole, with an empty usage": whole({"content": "Hi"}, usage={}),
}


def shown(answer: Answered) -> list[tuple[int, int]]:
    """Every usage that an answer shows, as input and output; without those of a beginning."""
    texts = [line[5:] for line in answer.body.split(b"\n") if line.startswith(b"data:")] or [
        answer.body
    ]
    bodies = [json.loads(text) for text in texts if text.strip().startswith(b"{")]
    usages = [body.get("usage") or (body.get("response") or {}).get("usage") for body in bodies]
    sides = (("input_tokens", "output_tokens"), ("prompt_tokens", "completion_tokens"))
    return [(u[a], u[b]) for u in usages if u for a, b in sides if a in u]


@pytest.mark.parametrize("path", TRANSLATED)
@pytest.mark.parametrize("silent", SILENT)
def test_what_is_shown_is_what_is_charged(run: Run, silent: str, path: str) -> None:
    """Words are guessed where no usage is told, the same for the client and for the books."""

    async def main() -> None:
        async with answering(SILENT[silent]) as (gateway, _):
            answer = await ask(gateway, path, SILENT[silent])
            (usage,) = await gateway.usages()
            assert usage.confidence is Confidence.ESTIMATED
            assert usage.tokens == Tokens(1, 2)
            if path != "/v1/completions" or not silent.startswith(
                "streamed"
            ):  # it did not ask there
                assert shown(answer)[-1] == (1, 2)
                assert b'"estimated":true' in answer.body

    run(main())


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("total", [{}, {"total_tokens": None, "prompt_tokens_details": None}])
def test_only_the_side_that_is_not_told_is_guessed(
    run: Run, path: str, total: dict[str, Any]
) -> None:
    """Amid a stream, too: the prompt is what was told, in the books and in what is shown."""

    async def main() -> None:
        usage = told({"prompt_tokens": 10, "completion_tokens": None, **total})
        async with answering(events(HI, STOP, usage)) as (gateway, _):
            answer = await ask(gateway, path, events(HI))
            (record,) = await gateway.usages()
            assert record.tokens.input == 10
            assert 1 <= record.tokens.output <= 3
            assert record.confidence is Confidence.ESTIMATED
            if path in {"/v1/messages", "/v1/responses"}:
                assert shown(answer)[-1] == (10, record.tokens.output)

    run(main())


LEGACY = {
    "streamed": events(
        chunk({"content": None, "function_call": {"name": "f", "arguments": '{"city":'}}),
        chunk({"function_call": {"arguments": '"Bonn"}'}}), chunk({}, "function_call"), TOLD),
    "whole": whole(
        {"content": None, "function_call": {"name": "f", "arguments": '{"city":"Bonn"}'}},
        "function_call", usage=USAGE),
}  # fmt: skip


def read_events(answer: Answered) -> list[dict[str, Any]]:
    """The events of a stream."""
    lines = answer.body.split(b"\n")
    return [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]


@pytest.mark.parametrize("form", LEGACY)
def test_the_older_call_of_a_function_is_the_call_of_a_tool(run: Run, form: str) -> None:
    """One call with all its arguments, for clients of messages and of responses."""

    async def main() -> None:
        async with answering(LEGACY[form]) as (gateway, _):
            message = await ask(gateway, "/v1/messages", LEGACY[form])
            response = await ask(gateway, "/v1/responses", LEGACY[form])
            if form == "whole":
                (block,), (item,) = message.json["content"], response.json["output"]
                stop, given = message.json["stop_reason"], block["input"]
            else:
                every = read_events(message)
                (block,) = [e["content_block"] for e in every if "content_block" in e]
                deltas = [e["delta"] for e in every if e["type"] == "content_block_delta"]
                given = json.loads("".join(delta["partial_json"] for delta in deltas))
                stop = every[-2]["delta"]["stop_reason"]
                (item,) = read_events(response)[-1]["response"]["output"]
            assert (block["type"], block["name"], given) == ("tool_use", "f", {"city": "Bonn"})
            assert stop == "tool_use"
            assert (item["type"], item["name"]) == ("function_call", "f")
            assert item["arguments"] == '{"city":"Bonn"}'

    run(main())


def piece(arguments: str, **more: Any) -> dict[str, Any]:
    """A piece of the one call of a tool."""
    return chunk(
        {"tool_calls": [{"index": 0, "function": {"arguments": arguments, **more}}]},
    )


@pytest.mark.parametrize("more", [[], [chunk({"content": " after"})]])
@pytest.mark.parametrize("amid", [{"content": "\n"}, {"content": "amid"}, {"reasoning": "hm"}])
def test_what_is_said_amid_a_call_comes_behind_it(
    run: Run, amid: dict[str, str], more: list[dict[str, Any]]
) -> None:
    """A message has one block open at a time: the call's is filled first, and no word is lost."""

    async def main() -> None:
        body = events(
            HI, piece('{"city":', name="f"), chunk(amid), piece('"Bonn"}'), *more,
            chunk({}, "tool_calls"), TOLD,
        )  # fmt: skip
        async with answering(body) as (gateway, _):
            every = read_events(await ask(gateway, "/v1/messages", body))
            assert every[-1] == {"type": "message_stop"}
            deltas = [(e["index"], e["delta"]) for e in every if e["type"] == "content_block_delta"]
            parts: dict[int, str] = {}
            for index, delta in deltas:
                text = "".join(value for name, value in delta.items() if name != "type")
                parts[index] = parts.get(index, "") + text
            (late,) = amid.values()
            after = " after" if more else ""
            assert [parts[0], parts[1]] == ["Hi", '{"city":"Bonn"}']
            assert "".join([parts[n] for n in sorted(parts)][2:]) == late + after
            starts = [e["index"] for e in every if e["type"] == "content_block_start"]
            assert starts == sorted(parts)

    run(main())


def test_so_much_is_said_amid_a_call_and_no_more(run: Run) -> None:
    """The text held back amid a tool call is bounded."""

    async def main() -> None:
        words = chunk({"content": "a" * 300_000})
        body = events(piece('{"city":', name="f"), *[words] * 4, piece('"Bonn"}'), STOP, TOLD)
        async with answering(body) as (gateway, _):
            answer = await ask(gateway, "/v1/messages", body)
            assert b"could not convert the answer to the format of this API" in answer.body

    run(main())


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("body", [events(HI, STOP, TOLD), whole({"content": "Hi"}), b"{}"])
def test_a_redirect_is_a_failure_of_the_upstream(run: Run, path: str, body: bytes) -> None:
    """We follow none, and it has answered nothing; the same is said in every dialect."""

    async def main() -> None:
        async with answering(body, b"302 Found") as (gateway, _):
            answer = await ask(gateway, path, body)
            assert answer.status == 502
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.tokens) == (Outcome.FAILED, Tokens())
            assert usage.error_code == "upstream_failed"
            assert b"has answered" not in answer.body

    run(main())


ERROR = {"message": "the context is too long", "type": "invalid_request_error"}
REFUSALS = {
    "first event": (events({"error": {**ERROR, "code": 400}}), 400),
    "behind a comment": (events(": PROCESSING\n\n", {"error": {**ERROR, "code": "400"}}), 400),
    "by name": (events({"error": ERROR}), 400),
    "whole": (json.dumps({"error": {**ERROR, "code": 422}}).encode(), 422),
    "without a field for it": (json.dumps({"object": "error", **ERROR, "code": 400}).encode(), 400),
    "at its limit": (events({"error": {**ERROR, "code": 429}}), 429),
    "failed": (events({"error": {"message": "boom"}}), 502),
}


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("refusal", REFUSALS)
def test_an_error_inside_an_answer_is_what_its_status_says(
    run: Run, refusal: str, path: str
) -> None:
    """A caller's mistake is refused in the upstream's words; a limit and a failure are told as such."""

    async def main() -> None:
        body, status = REFUSALS[refusal]
        async with answering(body) as (gateway, _):
            answer = await ask(gateway, path, body)
            assert answer.status == status
            (usage,) = await gateway.usages()
            is_refused = status in {400, 422}
            assert (b"the context is too long" in answer.body) is is_refused
            assert usage.outcome is (Outcome.REFUSED if is_refused else Outcome.FAILED)
            assert (usage.status, usage.tokens) == (status, Tokens())

    run(main())


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("code", [400, 500])
def test_an_error_amid_a_stream_ends_it(run: Run, path: str, code: int) -> None:
    """In the upstream's words where they are about what was asked; what was made is on the leg."""

    async def main() -> None:
        body = events(HI, {**HI, "usage": USAGE}, {"error": {**ERROR, "type": "x", "code": code}})
        async with answering(body) as (gateway, _):
            answer = await ask(gateway, path, body)
            assert b"ended its answer early" in answer.body
            assert (b"the context is too long" in answer.body) is (code == 400)
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.tokens) == (Outcome.FAILED, Tokens())
            assert usage.legs[0].tokens == USED

    run(main())


CALL = {"id": "a", "function": {"name": "f", "arguments": '{"text":"Once upon'}}


def test_a_call_that_the_limit_cuts(run: Run) -> None:
    """A message has no half an input: it says `max_tokens`, and is charged once."""

    async def main() -> None:
        body = whole({"content": None, "tool_calls": [CALL]}, "length", usage=USAGE)
        async with answering(body) as (gateway, asked):
            message = (await ask(gateway, "/v1/messages", body)).json
            assert (message["stop_reason"], message["content"][0]["input"]) == ("max_tokens", {})
            response = (await ask(gateway, "/v1/responses", body)).json
            assert response["incomplete_details"] == {"reason": "max_output_tokens"}
            assert response["output"][0]["arguments"] == '{"text":"Once upon'
            assert asked() == 2
            assert [usage.tokens for usage in await gateway.usages()] == [USED, USED]

    run(main())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", whole({"content": None, "tool_calls": [CALL]}, "tool_calls", usage=USAGE)),
        ("/v1/messages", whole({"content": {"a": 1}}, usage=USAGE)),
        ("/v1/responses", whole({"content": {"a": 1}}, usage=USAGE)),
        ("/v1/messages", events({**chunk({"content": {"a": 1}}), "usage": USAGE}, STOP)),
        ("/v1/messages", events(HI, {**chunk({"content": {"a": 1}}), "usage": USAGE}, STOP)),
    ],
)
def test_what_we_cannot_translate_is_told_so(run: Run, path: str, body: bytes) -> None:
    """An untranslatable answer is our failure; the upstream's usage is on record all the same."""

    async def main() -> None:
        async with answering(body) as (gateway, asked):
            answer = await ask(gateway, path, body)
            assert b"could not convert the answer to the format of this API" in answer.body
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.error_code) == (Outcome.FAILED, "untranslatable_answer")
            assert (asked(), usage.tokens, usage.legs[0].tokens) == (1, Tokens(), USED)

    run(main())


@pytest.mark.parametrize("path", ASKED)
def test_an_end_alone_is_no_answer(run: Run, path: str) -> None:
    """Nobody is charged for it, in whatever dialect."""

    async def main() -> None:
        async with answering(events()) as (gateway, _):
            assert (await ask(gateway, path, events())).status == 502
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.tokens) == (Outcome.FAILED, Tokens())

    run(main())


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("body", [b"", b" \r\n"])
def test_a_refusal_without_words_is_given_some(run: Run, path: str, body: bytes) -> None:
    """The caller reads in its own dialect that it was refused, and with which status."""

    async def main() -> None:
        async with answering(body, b"422 Unprocessable Content") as (gateway, asked):
            request = json.dumps({"model": A_MODEL, **ASKED[path]}).encode()
            answer = await gateway.ask("POST", path, request)
            assert (answer.status, asked()) == (422, 1)
            assert answer.headers["content-type"] == "application/json"
            error = answer.json["error"]
            assert error["message"] == "The model's server refused the request with status 422."

    run(main())


@pytest.mark.parametrize("path", ASKED)
def test_a_whole_answer_to_a_stream_cannot_be_parsed(run: Run, path: str) -> None:
    """The upstream has been reached, and the usage that it told is on record."""

    async def main() -> None:
        async with answering(whole({"content": "Hi"}, usage=USAGE)) as (gateway, _):
            request = json.dumps({"model": A_MODEL, "stream": True, **ASKED[path]}).encode()
            answer = await gateway.ask("POST", path, request)
            assert answer.status == 502
            words = "The model's server sent an answer that cannot be parsed."
            assert answer.json["error"]["message"] == words
            (usage,) = await gateway.usages()
            assert (usage.error_code, usage.legs[0].tokens) == ("upstream_failed", USED)

    run(main())


def test_an_error_amid_a_translated_response_has_the_next_number(run: Run) -> None:
    """The numbers of a response's events go on to the error that ends them."""

    async def main() -> None:
        body = events(HI, chunk({"content": ' "sequence_number":77 '}), end="")
        async with answering(body) as (gateway, _):
            request = {"model": A_MODEL, "stream": True, "input": "hi"}
            answer = await gateway.ask("POST", "/v1/responses", json.dumps(request).encode())
            told = [
                json.loads(event.partition(b"data: ")[2])
                for event in answer.body.split(b"\n\n")[:-1]
            ]
            assert told[-1]["type"] == "error"
            assert [event["sequence_number"] for event in told] == list(range(len(told)))

    run(main())
