"""Refusals in another dialect, and the fields that a lenient model is asked without."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.base import Translation
from inferworks.cloud.translate.chat_to_converse.translation import ChatToConverse
from inferworks.cloud.translate.chat_to_messages.translation import ChatToMessages
from inferworks.cloud.translate.completions_to_chat import CompletionsToChat
from inferworks.cloud.translate.responses_to_chat.translation import ResponsesToChat
from inferworks.errors import CallError
from inferworks.ids import CallId, ModelId

LEAST: dict[Operation, dict[str, Any]] = {
    Operation.CHAT: {"messages": [{"role": "user", "content": "hi"}]},
    Operation.RESPONSES: {"input": "hi"},
    Operation.COMPLETIONS: {"prompt": "hi"},
}
OF_CHATS: list[dict[str, Any]] = [
    {"presence_penalty": 0.5},
    {"frequency_penalty": -0.5},
    {"temperature": 1.5},
    {"logprobs": True},
    {"logit_bias": {"1": 5}},
    {"functions": [{"name": "f", "parameters": {"type": "object"}}]},
    {"service_tier": "scale"},
    {"n": 2},
]
ASKED: list[tuple[Translation, dict[str, Any]]] = [
    *((ChatToMessages(), fields) for fields in OF_CHATS),
    *((ChatToConverse(), fields) for fields in OF_CHATS),
    (ResponsesToChat(), {"store": True}),
    (ResponsesToChat(), {"service_tier": "flex"}),
    (ResponsesToChat(), {"background": True}),
    (CompletionsToChat(), {"suffix": "."}),
    (CompletionsToChat(), {"echo": True}),
    (CompletionsToChat(), {"best_of": 3}),
]  # fmt: skip


def call_of(way: Translation, fields: dict[str, Any], *, lenient: bool) -> Call:
    """The smallest call, and `fields`."""
    body = msgspec.json.encode({"model": "m", **LEAST[way.source], **fields})
    return Call(CallId("c"), way.source, ModelId("m"), False, False, body, lenient=lenient)


@pytest.mark.parametrize(
    ("way", "fields"), ASKED, ids=[f"{way.source}-{way.target}-{next(iter(f))}" for way, f in ASKED]
)
def test_a_field_that_the_other_side_has_nothing_for(
    way: Translation, fields: dict[str, Any]
) -> None:
    """The field is refused by its name; leniently left out, or capped, and named."""
    name = next(iter(fields))
    with pytest.raises(CallError) as refused:
        way.ask(call_of(way, fields, lenient=False))
    assert (refused.value.status, refused.value.param) == (400, name)
    assert refused.value.is_callers
    asked = way.ask(call_of(way, fields, lenient=True))
    assert asked.left_out == (name,)
    sent = msgspec.json.decode(asked.body)
    sent |= sent.get("inferenceConfig", {})
    assert sent.get(name) == (1 if name == "temperature" else None)


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize(
    ("way", "fields", "names"),
    [
        (ChatToMessages(), {"verbosity": "low", "seed": 3}, ("verbosity", "seed")),
        (ResponsesToChat(), {"truncation": "auto"}, ("truncation",)),
    ],
)
def test_a_wish_is_left_out_anyway(
    way: Translation, fields: dict[str, Any], names: tuple[str, ...], lenient: bool
) -> None:
    """A wish promises nothing, so nobody is refused for it; but it is named."""
    assert way.ask(call_of(way, fields, lenient=lenient)).left_out == names


def test_what_an_answer_would_be_wrong_without_is_refused_all_the_same() -> None:
    """Leniently, too: the state of a conversation that is not here, and an order of a tool that is not."""
    for fields in (
        {"previous_response_id": "resp_1"},
        {"tools": [{"type": "web_search"}], "tool_choice": "required"},
    ):
        with pytest.raises(CallError) as refused:
            ResponsesToChat().ask(call_of(ResponsesToChat(), fields, lenient=True))
        assert refused.value.status == 400
