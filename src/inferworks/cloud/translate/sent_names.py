"""Caller's names of fields that a translation renames.

A refusal that names the target's word for a field, which the caller never wrote, does not help: over
responses the caller knows `text.format`, and not `response_format`. So every message about a field, by a
translation or by the upstream, uses the name that the caller sent. An index within the field is left out
with it: messages and tools are numbered otherwise there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

SentNames = Mapping[str, str]
"""Name of a field at the top of the target's request -> the caller's name."""
SAME_NAMES: Final[SentNames] = {}
MESSAGES_TO_CHAT: Final[SentNames] = {
    "max_completion_tokens": "max_tokens",
    "messages": "messages",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "reasoning_effort": "output_config.effort",
    "response_format": "output_config.format",
    "stop": "stop_sequences",
    "tools": "tools",
    "user": "metadata.user_id",
}
RESPONSES_TO_CHAT: Final[SentNames] = {
    "logprobs": "include",
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "tools": "tools",
    "verbosity": "text.verbosity",
}
COMPLETIONS_TO_CHAT: Final[SentNames] = {
    "max_completion_tokens": "max_tokens",
    "messages": "prompt",
}
_LONGEST_ERROR_BYTES: Final = 65_536
_NAME: Final = re.compile(r"([a-z_]+)(?:[.\[][^:]*)?")
_QUOTED: Final = re.compile(r"'([a-z_]+[\w.\[\]]*)'")


def sent_name(name: str, names: SentNames) -> str:
    """Return the caller's name of the field `name`, or of an element in one."""
    found = _NAME.match(name)
    if found is None or found[1] not in names:
        return name
    return names[found[1]] + name[found.end() :]


def in_sent_names(text: str, names: SentNames) -> str:
    """A line that names fields in quotes, as the caller calls them."""
    return _QUOTED.sub(lambda found: f"'{sent_name(found[1], names)}'", text)


def error_in_sent_names(data: bytes, names: SentNames) -> bytes:
    """An error body of OpenAI's that names fields as the caller calls them; any other stays as it is."""
    if len(data) > _LONGEST_ERROR_BYTES:
        return data
    try:
        body: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return data
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return data
    told = dict(error)
    if isinstance(error.get("message"), str):
        told["message"] = in_sent_names(error["message"], names)
    if isinstance(error.get("param"), str):
        told["param"] = sent_name(error["param"], names)
    return data if told == error else msgspec.json.encode({**body, "error": told})
