"""OpenAI's chat completions as a fake upstream writes them.

Source: https://platform.openai.com/docs/api-reference/chat, /chat-streaming; `continuous_usage_stats` is
vLLM's extension of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from inferworks.testing.upstreams import unlucky
from inferworks.testing.upstreams.script import Answer, Body, Reports, Wire, nth, usage_of, words_of
from inferworks.testing.upstreams.tool_calling import as_asked, asked_in_chat


def _choices(answer: Answer, request: Body) -> Iterator[tuple[Body, int]]:
    """The choices of a stream one by one, each with the completion tokens up to it."""
    answer = as_asked(answer, asked_in_chat, request)
    words, reason = _words(answer, request)
    count = 0
    for index in range(_n(request)):
        yield _delta(index, {"role": "assistant", "content": ""}), count
        for word in words:
            count += 1
            yield _delta(index, {"content": word}, logprobs=_logprobs(request, (word,))), count
        for piece in _call_pieces(answer):
            count += 1
            yield _delta(index, {"tool_calls": [piece]}), count
        yield _delta(index, {}, reason), count


def _call_pieces(answer: Answer) -> Iterator[Body]:
    """The calls of functions as a stream has them: the name first, then the arguments in two halves."""
    for index, call in enumerate(_calls(answer)):
        function = call["function"]
        arguments = function["arguments"]
        half = len(arguments) // 2
        yield {"index": index, **call, "function": {**function, "arguments": ""}}
        yield {"index": index, "function": {"arguments": arguments[:half]}}
        yield {"index": index, "function": {"arguments": arguments[half:]}}


def _calls(answer: Answer) -> list[Body]:
    return [
        {
            "id": nth("call_abc123", answer.calls_before + number),
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        for number, (name, arguments) in enumerate(answer.tools)
    ]


def _logprobs(request: Body, words: Sequence[str]) -> Body | None:
    """Return the log probability of each token if the request wants them; otherwise None."""
    if not request.get("logprobs"):
        return None
    sure = {"logprob": -0.125, "top_logprobs": []}
    content = [{"token": word, "bytes": list(word.encode()), **sure} for word in words]
    return {"content": content, "refusal": None}


def _delta(
    index: int, delta: Body, reason: str | None = None, logprobs: Body | None = None
) -> Body:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}


def _envelope(request: Body, kind: str, choices: list[Body]) -> Body:
    return {
        "id": "chatcmpl-123", "object": kind, "created": 1694268190, "model": request["model"],
        "system_fingerprint": "fp_44709d6fcb", "choices": choices,
    }  # fmt: skip


def _usage(answer: Answer, completion: int) -> Body:
    usage = usage_of(answer, completion)
    if answer.cached_tokens is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": answer.cached_tokens, "audio_tokens": 0}
    if answer.reasoning_tokens is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": answer.reasoning_tokens}
    return usage


def _words(answer: Answer, request: Body) -> tuple[tuple[str, ...], str]:
    """The words of one choice and why it ends."""
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    words, reason = words_of(answer, limit)
    return words, "tool_calls" if answer.tool and reason == "stop" else reason


def _n(request: Body) -> int:
    return request.get("n") or 1


class Chat(Wire):
    """Chat completions."""

    dialect = unlucky.CHAT

    def events(self, answer: Answer, request: Body) -> Iterator[Body]:
        """The events of a stream of a chat before `[DONE]`."""
        options = request.get("stream_options") or {}
        told = bool(options.get("include_usage")) and answer.reports is not Reports.NEVER
        running = told and bool(options.get("continuous_usage_stats"))
        choices = list(_choices(answer, request))
        for number, (choice, count) in enumerate(choices):
            event = _envelope(request, "chat.completion.chunk", [choice])
            last = number == len(choices) - 1
            if running or (last and answer.reports is Reports.ALWAYS):
                event["usage"] = _usage(answer, count)
            elif told:
                event["usage"] = None
            yield event
        if told and answer.reports is not Reports.ALWAYS:
            event = _envelope(request, "chat.completion.chunk", [])
            yield {**event, "usage": _usage(answer, choices[-1][1])}

    def whole(self, answer: Answer, request: Body) -> Body:
        """A whole answer."""
        answer = as_asked(answer, asked_in_chat, request)
        words, reason = _words(answer, request)
        content = "".join(words) if words or answer.tool is None else None
        message: Body = {"role": "assistant", "content": content, "refusal": None}
        if answer.tool is not None:
            message["tool_calls"] = _calls(answer)
        choices = [
            {
                "index": index,
                "message": message,
                "logprobs": _logprobs(request, words),
                "finish_reason": reason,
            }
            for index in range(_n(request))
        ]
        body = _envelope(request, "chat.completion", choices)
        if answer.reports is not Reports.NEVER:
            count = len(words) + len(list(_call_pieces(answer)))
            body["usage"] = _usage(answer, count * _n(request))
        return body


CHAT = Chat()
