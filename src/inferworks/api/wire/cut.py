"""Last events of a stream that is ended because a limit of its caller is reached.

To a client it is an answer that ended at its limit of tokens (`length`, `max_tokens`), which every client
knows how to take. The reason stands beside it, in a field of ours: `inferworks`, with the code and the
message of the refusal. Where a dialect has no such end, the stream ends with the refusal as its error.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from inferworks.errors import CallError
from inferworks.meter.usage import Tokens

_COPIED: Final = ("id", "object", "created", "model", "system_fingerprint")
_FIRST_BLOCK: Final = 0


def cut_chat(error: CallError, data: bytes, tokens: Tokens | None) -> bytes:
    """Return the end of a stream of chats after the events `data`, with `tokens` as its usage."""
    return _cut_completion(error, data, tokens, {"delta": {}})


def cut_completion(error: CallError, data: bytes, tokens: Tokens | None) -> bytes:
    """Return the end of a stream of completions, in the same way."""
    return _cut_completion(error, data, tokens, {"text": ""})


def _cut_completion(
    error: CallError, data: bytes, tokens: Tokens | None, empty: dict[str, Any]
) -> bytes:
    events = _events(data)
    copied: dict[str, Any] = {
        name: events[-1][name] for name in _COPIED if events and name in events[-1]
    }
    told = [
        choice
        for event in events
        for choice in event.get("choices") or ()
        if isinstance(choice, dict) and isinstance(choice.get("index"), int)
    ]
    ended = {choice["index"] for choice in told if choice.get("finish_reason")}
    places = {choice["index"] for choice in told}
    choices = [
        {"index": n, **empty, "finish_reason": "length"} for n in sorted((places or {0}) - ended)
    ]
    last = [_data({**copied, "choices": choices, "inferworks": _reason(error)})]
    if tokens is not None:
        counts = {
            "prompt_tokens": tokens.input,
            "completion_tokens": tokens.output,
            "total_tokens": tokens.input + tokens.output,
        }
        last.append(_data({**copied, "choices": [], "usage": counts}))
    return b"".join((*last, b"data: [DONE]\n\n"))


def cut_messages(error: CallError, data: bytes, tokens: Tokens | None) -> bytes:
    """Return the end of a stream of Anthropic's messages after the events `data`."""
    open_block: int | None = _FIRST_BLOCK
    for event in _events(data):
        if event.get("type") in ("content_block_start", "content_block_delta"):
            open_block = event.get("index", _FIRST_BLOCK)
        elif event.get("type") in ("content_block_stop", "message_start"):
            open_block = None
    output = tokens.output if tokens is not None else 0
    last = [] if open_block is None else [{"type": "content_block_stop", "index": open_block}]
    last.append(
        {
            "type": "message_delta",
            "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
            "usage": {"output_tokens": output},
            "inferworks": _reason(error),
        }
    )
    last.append({"type": "message_stop"})
    return b"".join(b"event: %b\n" % str(one["type"]).encode() + _data(one) for one in last)


def _reason(error: CallError) -> dict[str, Any]:
    return {"ended_by": "limit", "code": error.code, "message": error.message}


def _data(value: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(value)


def _events(data: bytes) -> list[dict[str, Any]]:
    """Return the JSON objects in the events `data`."""
    found = []
    for line in data.split(b"\n"):
        if line.startswith(b"data:"):
            try:
                value = msgspec.json.decode(line[5:])
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            if isinstance(value, dict):
                found.append(value)
    return found
