"""`inferworks chat`: talk to a model through a running gateway, and see what it costs."""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click

from inferworks.cli.calls import time_text
from inferworks.cli.options import config_option, data_folder, data_option
from inferworks.cli.show import say, say_on
from inferworks.errors import UpstreamError, UserError
from inferworks.metering import KEY_VARIABLE, URL_VARIABLE

_CONNECT_S: Final = 10.0
_ANSWER_S: Final = 600.0
_LONGEST_LINE: Final = 16 * 1024 * 1024
_LONGEST_ERROR: Final = 64 * 1024
_END: Final = ("/exit", "/quit")


@click.command(short_help="Talk to a model, and see what it costs.")
@click.argument("model")
@click.argument("prompt", required=False)
@click.option("--system", metavar="TEXT", help="System prompt.")
@click.option("--max-tokens", type=click.IntRange(1), help="Most tokens of an answer.")
@click.option("--temperature", type=click.FloatRange(0, 2), help="Sampling temperature.")
@click.option(
    "--url", envvar=URL_VARIABLE, show_envvar=True, metavar="URL",
    help="Base URL of the API.  [default: the gateway that runs on the data folder]",
)  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="Print the answer alone.")
@config_option
@data_option
def chat(
    model: str,
    prompt: str | None,
    system: str | None,
    max_tokens: int | None,
    temperature: float | None,
    url: str | None,
    quiet: bool,
    config_path: Path | None,
    data_path: Path | None,
) -> None:
    """Talk to MODEL through a running gateway. With PROMPT or a pipe it answers once and ends.

    The API key is read from the variable INFERWORKS_API_KEY. After each answer, standard error has its
    tokens, cost, times and call id. In a conversation, Ctrl-C stops an answer, Ctrl-D or /exit ends.

    \b
    Examples:
      inferworks chat inferworks-tiny
      inferworks chat inferworks-tiny "What is gross margin?"
      git diff | inferworks chat assistant --system "Write a commit message."
    """
    if not url:
        folder = data_folder(config_path, data_path)
        instance = folder.instance()
        if instance is None or not instance.url:
            raise UserError(
                f"no gateway runs on {folder.path}; start it with: inferworks up, "
                "or name one with --url"
            )
        url = instance.url
    key = os.environ.get(KEY_VARIABLE, "")
    if not key:
        raise UserError(f"set {KEY_VARIABLE} to an API key; make one with: inferworks keys create")
    options = {"max_tokens": max_tokens, "temperature": temperature}
    given = {name: value for name, value in options.items() if value is not None}
    talk = _Talk(url, key, model, given)
    if system:
        talk.messages.append({"role": "system", "content": system})
    if prompt is None and not sys.stdin.isatty():
        prompt = sys.stdin.read()
    if prompt is not None:
        _answer(talk, prompt, quiet=quiet)
    else:
        _converse(talk, quiet=quiet)


@dataclass
class _AnswerFacts:
    """Usage and other facts that one answer reports."""

    usage: Mapping[str, Any] = field(default_factory=dict)
    call_id: str = ""
    finish: str = ""
    tools: list[str] = field(default_factory=list)
    """The tools that it calls."""
    refusal: str = ""
    """The words in which the model will not."""
    first_s: float | None = None


@dataclass
class _Talk:
    """A conversation, and where it is held."""

    url: str
    key: str
    model: str
    options: Mapping[str, Any]
    messages: list[dict[str, str]] = field(default_factory=list)

    def ask(self, answer: _AnswerFacts) -> Generator[str, None, None]:
        """Yield the pieces of the answer to the last question. UserError when it is refused."""
        began_s = time.monotonic()
        body = {"model": self.model, "messages": self.messages, "stream": True, **self.options}
        body["stream_options"] = {"include_usage": True}
        for event in _events(self.url, self.key, body, answer):
            if isinstance(event.get("error"), dict):
                why = event["error"].get("message", "no reason")
                raise UpstreamError(f"the answer broke off: {why}", sent=True)
            answer.usage = event.get("usage") or answer.usage
            for choice in event.get("choices") or ():
                answer.finish = choice.get("finish_reason") or answer.finish
                delta = choice.get("delta") or {}
                answer.refusal += delta.get("refusal") or ""
                functions = [call.get("function") or {} for call in delta.get("tool_calls") or ()]
                answer.tools += [name for one in functions if (name := one.get("name"))]
                if text := delta.get("content"):
                    if answer.first_s is None:
                        answer.first_s = time.monotonic() - began_s
                    yield text


def _events(url: str, key: str, body: object, answer: _AnswerFacts) -> Iterator[dict[str, Any]]:
    """The events of a streamed answer.

    UpstreamError when the gateway cannot be reached or an upstream failed, UserError when it refuses.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    headers = {
        "authorization": f"Bearer {key}",
        "content-type": "application/json",
        "x-inferworks-include": "cost",
    }
    try:
        with closing(connect(parts.hostname or "", parts.port, timeout=_CONNECT_S)) as connection:
            connection.connect()
            connection.sock.settimeout(_ANSWER_S)
            path = f"{parts.path.rstrip('/')}/chat/completions"
            connection.request("POST", path, json.dumps(body).encode(), headers)
            response = connection.getresponse()
            answer.call_id = response.headers.get("x-inferworks-call-id", "")
            if response.status >= 400:
                refusal = response.read(_LONGEST_ERROR)
                try:
                    words = str(json.loads(refusal)["error"]["message"])
                except (ValueError, KeyError, TypeError):
                    words = refusal[:200].decode("utf-8", "replace")
                if response.status >= 500:
                    raise UpstreamError(f"failed with {response.status}: {words}", sent=True)
                raise UserError(f"refused with {response.status}: {words}")
            while line := response.readline(_LONGEST_LINE):
                data = line.removeprefix(b"data:").strip() if line.startswith(b"data:") else b""
                if data.startswith(b"{"):
                    yield json.loads(data, parse_float=Decimal)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, BrokenPipeError) and error.errno is None:
            raise  # thrown into us: it is our own reader that has gone
        raise UpstreamError(f"{url}: cannot be reached: {error}", sent=True) from error
    except ValueError as error:
        raise UpstreamError(
            f"{url}: does not answer as a gateway does: {error}", sent=True
        ) from error


def _converse(talk: _Talk, *, quiet: bool) -> None:
    say(f"{talk.model} at {talk.url}; Ctrl-D or /exit ends.", err=True)
    while True:
        try:
            prompt = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            say("", err=True)
            return
        if prompt in _END:
            return
        if not prompt:
            continue
        try:
            _answer(talk, prompt, quiet=quiet)
        except (UserError, UpstreamError) as error:
            talk.messages.pop()  # it was not answered
            say(f"inferworks: {error}", err=True)


def _answer(talk: _Talk, prompt: str, *, quiet: bool) -> None:
    """Print the answer to `prompt` as it comes, and then its tokens, cost and times."""
    talk.messages.append({"role": "user", "content": prompt})
    answer, said, began_s = _AnswerFacts(), [], time.monotonic()
    interrupted = False
    pieces = talk.ask(answer)
    try:
        for text in pieces:
            said.append(text)
            say_on(text)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        with suppress(UserError, UpstreamError):
            pieces.close()
    if said:
        say("")
        talk.messages.append({"role": "assistant", "content": "".join(said)})
    else:
        talk.messages.pop()  # nobody takes a turn without words
        if not interrupted:
            say(_without_text(answer), err=True)
    if not quiet:
        say(_took(answer, time.monotonic() - began_s, interrupted=interrupted), err=True)
    if interrupted and not sys.stdin.isatty():
        raise KeyboardInterrupt


def _without_text(answer: _AnswerFacts) -> str:
    """Return the message in place of an answer without text."""
    if answer.refusal:
        return f"The model refused: {answer.refusal}"
    if answer.tools:
        return (
            f"No text came: the model calls {', '.join(answer.tools)}, and there are no tools here."
        )
    match answer.finish:
        case "length":
            return "No text came: the answer was cut at its longest before it; see --max-tokens."
        case "content_filter":
            return "No text came: the upstream's content filter held the answer back."
    return "No text came: the model ended its answer without a word."


def _took(answer: _AnswerFacts, seconds: float, *, interrupted: bool) -> str:
    """Summarise the tokens, cost, times and call id of an answer."""
    usage = answer.usage
    parts = [f"[{usage['prompt_tokens']} + {usage['completion_tokens']} tokens"] if usage else ["["]
    if usage:
        cost, details = usage.get("cost"), usage.get("cost_details") or {}
        parts.append("cost unknown" if cost is None else f"{cost:f} {details.get('currency', '')}")
    else:
        parts[0] += "stopped" if interrupted else "usage unknown"
    if answer.first_s is not None:
        parts.append(f"first token {time_text(answer.first_s * 1000)}")
    parts.append(time_text(seconds * 1000))
    if answer.finish == "length":
        parts.append("cut at its longest")
    return ", ".join([*parts, answer.call_id]).rstrip(", ") + "]"
