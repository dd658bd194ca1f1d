"""Fakes over HTTP: what a vendor refuses is refused whatever the script says, in its own body."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any

import pytest
import uvloop

from inferworks.http.client import HttpClient
from inferworks.testing.upstream import Answer, Fault, open_upstream
from inferworks.testing.upstreams.anthropic import MessageAnswer, open_anthropic
from inferworks.testing.upstreams.bedrock import TOKEN, ConverseAnswer, open_bedrock
from inferworks.testing.upstreams.unlucky import FORMS, Luck, drawn
from inferworks.testing.upstreams.vendors import VLLM

HI = [{"role": "user", "content": "Hi"}]
VERSION = ((b"anthropic-version", b"2023-06-01"),)
BEARER = ((b"authorization", b"Bearer " + TOKEN.encode()),)


async def ask(opening: Any, path: str, body: Any, headers: Any = ()) -> tuple[int, bytes]:
    """Send one request to the fake that `opening` opens; return the status and the body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with opening as upstream:
        with closing(HttpClient()) as client:
            async with client.stream("POST", upstream.origin, path, headers, data) as response:
                got = b"".join([piece async for piece in response.pieces(5)])
                return response.status, got


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it on the loop that production runs on."""
    uvloop.run(main())


def test_openai_refuses_over_http() -> None:
    """An argument that is not known, a path that is not there, what is no JSON."""

    async def main() -> None:
        chat = {"model": "m", "messages": HI, "top_k": 5}
        status, body = await ask(open_upstream(), "/chat/completions", chat)
        said = json.loads(body)["error"]["message"]
        assert (status, said) == (400, "Unrecognized request argument supplied: top_k")
        status, _ = await ask(open_upstream(vendor=VLLM), "/chat/completions", chat)
        assert status == 200
        status, body = await ask(open_upstream(), "/chat/nothing", chat)
        said = json.loads(body)["error"]["message"]
        assert (status, said) == (404, "Invalid URL (POST /v1/chat/nothing)")
        status, _ = await ask(open_upstream(), "/chat/completions", b"{")
        assert status == 400

    run(main)


def test_the_rules_come_before_the_script() -> None:
    """A request that is refused is refused by an upstream too that is out of order."""

    async def main() -> None:
        wrong = {"model": "m", "messages": HI, "max_tokens": 5, "n": 2}
        for answer, expected in ((MessageAnswer(), 400), (MessageAnswer(status=529), 400)):
            status, body = await ask(open_anthropic(answer), "/messages", wrong, VERSION)
            error = json.loads(body)["error"]
            assert (status, error) == (expected, {
                "type": "invalid_request_error", "message": "n: Extra inputs are not permitted",
            })  # fmt: skip

    run(main)


def test_bedrock_refuses_over_http() -> None:
    """The exception is named in a header, its words are in the body."""

    async def main() -> None:
        converse = {"messages": [{"role": "user", "content": [{"text": ""}]}]}
        opening = open_bedrock(ConverseAnswer())
        status, body = await ask(opening, "/model/vendor.any/converse", converse, BEARER)
        assert (status, json.loads(body)["message"]) == (
            400,
            (
                "The text field in the ContentBlock object at messages.0.content.0 is blank. Add text to "
                "the text field, and try again."
            ),
        )

    run(main)


@pytest.mark.parametrize("status", [400, 429])
def test_an_error_may_tell_its_status_within_an_answer(status: int) -> None:
    """openclaw/clawrouter#101: a stream of 200 whose first event is an error with a code."""

    async def main() -> None:
        answer = Answer(fault=Fault.ERROR_EVENT, fault_status=status)
        chat = {"model": "m", "messages": HI, "stream": True}
        got, body = await ask(open_upstream(answer), "/chat/completions", chat)
        error = json.loads(body.removeprefix(b"data: "))["error"]
        assert (got, error["code"]) == (200, status)

    run(main)


def test_a_seed_draws_the_same_forms_and_the_same_answer() -> None:
    """A seed determines everything random in a form."""

    async def main() -> None:
        chat = {
            "model": "m",
            "messages": HI,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        for seed in range(5):
            luck = drawn(seed, "chat")
            assert set(luck.names) <= FORMS.keys()
            answers = [
                await ask(open_upstream(Answer(luck=luck)), "/chat/completions", chat)
                for _ in range(2)
            ]
            assert answers[0] == answers[1]

    run(main)


def test_a_form_is_asked_for_by_its_name() -> None:
    """`created` with a fraction, and a comment before everything."""

    async def main() -> None:
        answer = Answer(luck=Luck(("time with a fraction", "comment first")))
        chat = {"model": "m", "messages": HI}
        _, whole = await ask(open_upstream(answer), "/chat/completions", chat)
        assert isinstance(json.loads(whole)["created"], float)
        _, stream = await ask(open_upstream(answer), "/chat/completions", {**chat, "stream": True})
        assert stream.startswith(b": OPENROUTER PROCESSING\n\ndata: ")

    run(main)
