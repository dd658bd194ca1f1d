"""`inferworks chat`: an answer as it comes, and what it took; in a conversation and once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest
from click.testing import Result
from tests.support.command_line import invoke

from inferworks.cli.chat import _converse, _Talk
from inferworks.errors import UpstreamError, UserError
from inferworks.testing.in_process_gateway import InProcessGateway, open_gateway
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer, Fault

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def run() -> Run:
    """Runs a test's coroutine."""

    async def limited(main: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(30.0):
            await main

    return lambda main: asyncio.run(limited(main))


async def chat(gateway: InProcessGateway, *arguments: str, piped: str | None = None) -> Result:
    """`inferworks chat` on a running gateway."""
    environment = {"INFERWORKS_API_KEY": gateway.secret, "INFERWORKS_URL": gateway.url}
    return await asyncio.to_thread(
        lambda: invoke("chat", *arguments, typed=piped, environment=environment)
    )


def test_an_answer_is_printed_and_what_it_took(run: Run) -> None:
    """The answer alone on standard output; tokens, cost, times and call id on standard error."""

    async def main() -> None:
        async with open_gateway(Answer(words=("Hello", " there", "."))) as (gateway, _):
            result = await chat(
                gateway, A_MODEL, "hi", "--max-tokens", "5", "--system", "Be brief."
            )
            assert (result.exit_code, result.stdout) == (0, "Hello there.\n")
            (usage,) = await gateway.usages()
            tokens = f"{usage.tokens.input} + {usage.tokens.output} tokens"
            assert re.fullmatch(
                rf"\[{re.escape(tokens)}, cost unknown, first token \S+s, \S+s, {usage.call_id}\]\n",
                result.stderr,
            )
            quiet = await chat(gateway, A_MODEL, "hi", "-q")
            assert (quiet.stdout, quiet.stderr) == ("Hello there.\n", "")

    run(main())


def test_what_is_piped_is_the_prompt(run: Run) -> None:
    """Without an argument, standard input is read to its end."""

    async def main() -> None:
        async with open_gateway(Answer(words=("ok",))) as (gateway, upstream):
            assert (await chat(gateway, A_MODEL, piped="line one\nline two\n")).stdout == "ok\n"
            sent = msgspec.json.decode(upstream.received[-1].body)
            assert sent["messages"] == [{"role": "user", "content": "line one\nline two\n"}]

    run(main())


def test_what_an_answer_could_do_to_a_terminal_is_shown(run: Run) -> None:
    """Escape sequences are visible; lines stay lines."""

    async def main() -> None:
        words = ("one\n", "\x1b[2J", "two", "\u202e")
        async with open_gateway(Answer(words=words)) as (gateway, _):
            result = await chat(gateway, A_MODEL, "hi", "-q")
            assert result.stdout == "one\n\\x1b[2Jtwo\\u202e\n"

    run(main())


@pytest.mark.parametrize(
    ("delta", "finish", "said"),
    [
        (
            {
                "tool_calls": [
                    {"index": 0, "id": "c", "function": {"name": "look", "arguments": ""}}
                ]
            },
            "tool_calls",
            "No text came: the model calls look, and there are no tools here.",
        ),
        ({"refusal": "I will not."}, "stop", "The model refused: I will not."),
        (
            {},
            "length",
            "No text came: the answer was cut at its longest before it; see --max-tokens.",
        ),
        (
            {},
            "content_filter",
            "No text came: the upstream's content filter held the answer back.",
        ),
        ({}, "stop", "No text came: the model ended its answer without a word."),
    ],
)
def test_an_answer_without_text_says_what_came(
    monkeypatch: pytest.MonkeyPatch, delta: dict[str, Any], finish: str, said: str
) -> None:
    """On standard error, also where the answer alone is wanted; standard output stays empty."""
    chunks = [{"delta": delta}, {"delta": {}, "finish_reason": finish}]
    events = [{"choices": [chunk]} for chunk in chunks]
    monkeypatch.setattr("inferworks.cli.chat._events", lambda *_: iter(events))
    arguments = ["chat", A_MODEL, "hi", "-q", "--url", "http://127.0.0.1:1/v1"]
    result = invoke(*arguments, environment={"INFERWORKS_API_KEY": "iw_x"})
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"{said}\n")


def test_refusals_and_broken_answers_are_one_line(run: Run) -> None:
    """Of the gateway's own words; what had come of an answer is shown before."""

    async def main() -> None:
        broken = Answer(words=("a", "b", "c"), fault=Fault.ERROR_EVENT, fault_after=2)
        async with open_gateway(broken) as (gateway, _):
            result = await chat(gateway, "nobody's", "hi")
            assert isinstance(result.exception, UserError)
            assert "refused with 404: The model `nobody's` does not exist" in str(result.exception)
            result = await chat(gateway, A_MODEL, "hi")
            assert isinstance(result.exception, UpstreamError)
            assert "broke off" in str(result.exception)
            url = gateway.url
        async with open_gateway(Answer(fault=Fault.RESET)) as (gateway, _):
            result = await chat(gateway, A_MODEL, "hi")
            assert isinstance(result.exception, UpstreamError)
            assert "failed with 502: The model's server" in str(result.exception)
        result = invoke(
            "chat", A_MODEL, "hi", "--url", url, environment={"INFERWORKS_API_KEY": "iw_x"}
        )
        assert isinstance(result.exception, UpstreamError)
        assert "cannot be reached" in str(result.exception)

    run(main())


def test_it_says_what_is_missing(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, or a gateway."""
    monkeypatch.chdir(tmp_path)
    nothing = {"INFERWORKS_API_KEY": "", "INFERWORKS_URL": ""}
    result = invoke("chat", A_MODEL, "hi", environment=nothing)
    assert "no gateway runs on inferworks-data; start it with: inferworks up" in str(
        result.exception
    )
    result = invoke("chat", A_MODEL, "hi", "--url", "http://127.0.0.1:1/v1", environment=nothing)
    assert "set INFERWORKS_API_KEY" in str(result.exception)


def test_a_conversation_remembers_what_was_said(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each question goes with all before it; what was refused is forgotten; /exit ends."""

    async def main() -> None:
        answers = [Answer(words=("one",)), Answer(status=400), Answer(words=("two",))]
        async with open_gateway(*answers) as (gateway, upstream):
            lines = iter(["first", "", "refused", "second", "/exit", "never"])
            monkeypatch.setattr("builtins.input", lambda _: next(lines))
            talk = _Talk(gateway.url, gateway.secret, A_MODEL, {})
            await asyncio.to_thread(_converse, talk, quiet=True)
            sent = msgspec.json.decode(upstream.received[-1].body)["messages"]
            assert [m["content"] for m in sent] == ["first", "one", "second"]

    run(main())
    said = capsys.readouterr()
    assert said.out == "one\ntwo\n"
    assert "inferworks: refused with 400" in said.err
