"""What the caller called a field that a translation calls otherwise.

A refusal that names our word for a field, one that the caller never wrote, helps nobody: over responses it
is `text.format` that cannot be said, and not `response_format`. So whatever is told of a field on the way,
by a translation or by the upstream, is told by the name that came. A place in a list is left out with it:
messages and tools are counted otherwise there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

SentNames = Mapping[str, str]
"""A field of the target's at the top of a request -> what the caller calls it."""
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
    """What the caller calls the field `name`, or the place in one."""
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
