"""Every cell of the table of features: what becomes of a request, and that its vendor takes it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.support.translations import put_back

from inferworks.catalog.facts import fact_catalog
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate import chat_fit, json_tool, tool_results
from inferworks.errors import CallError
from inferworks.testing.upstreams import vendors
from inferworks.testing.upstreams.anthropic_rules import flaw_in
from inferworks.testing.upstreams.bedrock_rules import converse_flaw

from .asking import LEAST, asked, call_of, way_between
from .features import CHAT, CONVERSE, FEATURES, HOW, MESSAGES, PAIRS, Feature, table

DOCS = Path(__file__).parents[3] / "docs" / "dialects.md"
TODAY = dt.date(2027, 1, 1)
VENDORS = {
    vendor.name: vendor
    for vendor in (vendors.OPENAI, vendors.DEEPSEEK, vendors.VLLM, vendors.MISTRAL)
}
CHATS = {"openai": "gpt-4.1", "deepseek": "deepseek-reasoner", "vllm": "qwen3"}
CELLS = [
    pytest.param(feature, *pair, id=f"{feature.name}-{pair[0]}-{pair[1]}")
    for feature in FEATURES
    for pair in PAIRS
    if feature.cell(*pair)
]


@pytest.mark.parametrize(
    "words",
    [
        chat_fit._MORE_BELOW,
        chat_fit._NOT_SHOWN,
        chat_fit._SCHEMA,
        chat_fit._SEEN,
        chat_fit._UNKNOWN_THOUGHT,
        json_tool.TO_BE_CALLED,
        tool_results.BEGINNING,
        tool_results.SHOWN_BELOW,
        tool_results.shown_by("ID"),
    ],
)
def test_words_of_ours_are_documented(words: str) -> None:
    """Words that a translation puts into a conversation can be looked up by its caller."""
    assert f"`{words.strip()}" in DOCS.read_text(encoding="utf-8")


def served_by(feature: Feature, target: Operation) -> tuple[str, str]:
    """A provider and a model that speak `target`."""
    if target is CHAT:
        return feature.provider, CHATS[feature.provider]
    if target is MESSAGES:
        return "anthropic", "claude-sonnet-4-6"
    return "bedrock", "anthropic.claude-sonnet-4-6-v1:0"


def flaw(body: Any, provider: str, target: Operation, model: str) -> object:
    """Fault that the vendor finds in a request, or None."""
    if target is CHAT:
        return VENDORS[provider].refusal("/chat/completions", {**body, "model": model})
    if target is MESSAGES:
        return flaw_in({**body, "model": model}, counts=False, is_beta=False)
    return converse_flaw(body, model)


@pytest.mark.parametrize(("feature", "source", "target"), CELLS)
def test_a_cell(feature: Feature, source: Operation, target: Operation) -> None:
    """A feature is expressed, left out or refused as the table has it; its vendor takes the request."""
    provider, model = served_by(feature, target)
    facts = fact_catalog().facts(provider, model, TODAY)
    fields, how = feature.asks[source], feature.cell(source, target)
    if how == "refused":
        with pytest.raises(CallError) as caught:
            asked(source, target, facts, model, **fields)
        assert caught.value.status == 400
        assert (caught.value.param or "").partition("[")[0].partition(".")[0] in {
            *fields,
            *LEAST[source],
        }
        return
    body, left_out = asked(source, target, facts, model, **fields)
    assert flaw(body, provider, target, model) is None
    assert bool(left_out) == (how == "left out")
    if how in {"says", "by other means"}:
        assert feature.shown[target](body)


MODELS = {
    CHAT: [
        ("openai", "gpt-5"), ("openai", "gpt-4o"), ("openai", "gpt-5.4"), ("openai", "o3"),
        ("openai", "gpt-3.5-turbo"), ("deepseek", "deepseek-reasoner"), ("mistral", "mistral-large"),
        ("vllm", "qwen3"),
    ],
    MESSAGES: [
        ("anthropic", f"claude-{name}")
        for name in ("3-5-haiku-20241022", "opus-4-5", "sonnet-4-5", "opus-4-6", "opus-4-8", "opus-5-5")
    ],
    CONVERSE: [
        ("bedrock", "anthropic.claude-sonnet-4-5-v1:0"), ("bedrock", "amazon.nova-pro-v1:0"),
        ("bedrock", "anthropic.claude-opus-5-5"),
    ],
}  # fmt: skip
"""Providers and models of each target that differ in what they take."""


@given(st.sampled_from(FEATURES), st.sampled_from(FEATURES), st.sampled_from(PAIRS), st.data())
def test_any_two_features_at_once(
    one: Feature, other: Feature, pair: tuple[Operation, Operation], data: st.DataObject
) -> None:
    """Any two features, asked of any model, are taken by its vendor or refused by us."""
    source, target = pair
    asks = one.asks.get(source, {}), other.asks.get(source, {})
    assume(not asks[0].keys() & asks[1].keys())
    provider, model = data.draw(st.sampled_from(MODELS[target]))
    facts = fact_catalog().facts(provider, model, TODAY)
    try:
        body, _ = asked(source, target, facts, model, **asks[0], **asks[1])
    except CallError as error:
        assert error.status == 400  # noqa: PT017 both ends are fine
        return
    assert flaw(body, provider, target, model) is None


CUT: dict[Operation, Any] = {
    CHAT: {"id": "c", "created": 1, "model": "m", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Onc"}, "finish_reason": "length"}]},
    MESSAGES: {"id": "m", "model": "m", "content": [{"type": "text", "text": "Onc"}],
               "stop_reason": "max_tokens", "usage": {}},
    CONVERSE: {"output": {"message": {"role": "assistant", "content": [{"text": "Onc"}]}},
               "stopReason": "max_tokens"},
}  # fmt: skip
TOLD = {
    Operation.CHAT: '"finish_reason":"length"',
    Operation.COMPLETIONS: '"finish_reason":"length"',
    Operation.MESSAGES: '"stop_reason":"max_tokens"',
    Operation.RESPONSES: '"incomplete_details":{"reason":"max_output_tokens"}',
}


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_that_an_answer_was_cut_off(source: Operation, target: Operation) -> None:
    """Each dialect has a word for it."""
    data = msgspec.json.encode(CUT[target])
    for translation in reversed(way_between(source, target)):
        data = put_back(translation, call_of(translation.source), data)
    assert TOLD[source] in data.decode()
    assert "Onc" in data.decode()


def test_every_cell_is_one_of_few() -> None:
    """Every row asks for something."""
    for feature in FEATURES:
        assert feature.asks
        assert {feature.cell(*pair) for pair in PAIRS} <= HOW.keys()


def test_the_documents_have_the_table() -> None:
    """The documents have the table as it is here; `table()` writes it."""
    assert table() in DOCS.read_text("utf-8"), table()
