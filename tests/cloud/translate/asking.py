"""A request put over from one dialect into another, by the way that a provider's translations go."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from inferworks.catalog.facts import ANYTHING, UNKNOWN_MODEL, ModelFacts
from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.serving.translating import Way, put_over, ways
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.ids import CallId, ModelId

HELLO = {"role": "user", "content": "Hi"}
LEAST: dict[Operation, dict[str, Any]] = {
    Operation.CHAT: {"messages": [HELLO]},
    Operation.MESSAGES: {"messages": [HELLO], "max_tokens": 64},
    Operation.RESPONSES: {"input": "Hi"},
    Operation.COMPLETIONS: {"prompt": "Hi"},
}
"""Fields that a request of each operation must have."""


def way_between(source: Operation, target: Operation) -> Way:
    """The translations from `source` to `target`."""
    return ways({target}, TRANSLATIONS)[source]


def call_of(source: Operation, model: str = "m", **fields: Any) -> Call:
    """A call of `source`, to a model that its upstream calls `model`."""
    body = json.dumps({"model": "m", **LEAST[source], **fields}).encode()
    return Call(CallId("call_1"), source, ModelId("m"), False, True, body, asked_as=model)


def asked(
    source: Operation,
    target: Operation,
    facts: ModelFacts = UNKNOWN_MODEL,
    model: str = "m",
    **fields: Any,
) -> tuple[Any, tuple[str, ...]]:
    """Return the upstream's request and the names left out. CallError where it cannot be expressed."""
    way = way_between(source, target)
    call = call_of(source, model, **fields)
    for number, translation in enumerate(way):
        known = facts if number == len(way) - 1 else ANYTHING
        call = put_over(translation, msgspec.structs.replace(call, facts=known), way[:number])
    return msgspec.json.decode(call.body), call.left_out
