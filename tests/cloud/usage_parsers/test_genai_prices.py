"""Usage read from each provider's answers agrees with the reading by the makers of the price list.

`genai-prices` says, for many providers, where in an answer which count stands. For each of those that are
in our catalog an answer as that provider writes it is read by both, and all counts must agree. Where they
cannot, the table says why.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import genai_prices
import pytest
from genai_prices import data_snapshot

from inferworks.catalog.providers import ProviderRow, provider_catalog
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.openai import openai_operations
from inferworks.cloud.usage_parsers.anthropic import MessagesReader
from inferworks.cloud.usage_parsers.base import Reader
from inferworks.cloud.usage_parsers.converse import ConverseReader
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.testing.providers import make_call
from inferworks.wiring.drivers import counting_of

PROVIDERS = {provider.id: provider for provider in data_snapshot.get_snapshot().providers}
ROWS = {row.id: row for row in provider_catalog().rows(dt.date.max)}
COUNTS = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
    "cache_write_1h_tokens": "cache_write_1h",
    "input_audio_tokens": "input_audio",
    "output_audio_tokens": "output_audio",
    "output_reasoning_tokens": "reasoning",
}
"""Name of each count in genai-prices -> ours."""
NOT_READ = {
    ("gemini", "default"),
    ("vertex", "default"),
    ("minimax", "default"),
    ("minimax", "responses"),
}
"""Dialects in which our rows do not speak to them, Google's own for instance."""
OTHER_FLAVORS = {
    "realtime", "live", "images", "ocr", "ocr_annotated", "decisions", "systemone",
}  # fmt: skip
"""Operations that tell no tokens of a text, or that are not served."""
OLD = {("xai", "default"), ("cohere", "default"), ("cohere", "tokens"), ("perplexity", "default"),
       ("cloudflare", "default")}  # fmt: skip
"""APIs from before the one that our row speaks to."""

CHAT = {
    "prompt_tokens": 1190,
    "completion_tokens": 210,
    "total_tokens": 1400,
    "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 64},
}
RESPONSE = {
    "input_tokens": 328,
    "input_tokens_details": {"cached_tokens": 128},
    "output_tokens": 52,
    "output_tokens_details": {"reasoning_tokens": 30},
    "total_tokens": 380,
}
EMBEDDING = {"prompt_tokens": 8, "total_tokens": 8}
DATABRICKS = {
    "prompt_tokens": 900, "completion_tokens": 80, "total_tokens": 980,
    "cache_read_input_tokens": 512, "reasoning_tokens": 30,
}  # fmt: skip
SAMPLES: dict[tuple[str, str], dict[str, Any]] = {
    ("openai", "chat"): {
        **CHAT,
        "prompt_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 40, "audio_tokens": 20},
        "completion_tokens_details": {"reasoning_tokens": 64, "audio_tokens": 11},
    },
    ("openai", "responses"): {
        **RESPONSE,
        "input_tokens_details": {"cached_tokens": 128, "cache_write_tokens": 100},
    },
    ("xai", "chat"): {
        "prompt_tokens": 10120, "completion_tokens": 1499, "total_tokens": 14428,
        "prompt_tokens_details": {"text_tokens": 10120, "audio_tokens": 0, "image_tokens": 0,
                                  "cached_tokens": 128},
        "completion_tokens_details": {"reasoning_tokens": 2809, "audio_tokens": 0},
        "num_sources_used": 0, "cost_in_usd_ticks": 232856000,
    },
    ("deepseek", "chat"): {
        **CHAT, "prompt_cache_hit_tokens": 1024, "prompt_cache_miss_tokens": 166,
    },
    ("moonshot", "chat"): {**CHAT, "cached_tokens": 1024},
    ("databricks", "chat"): DATABRICKS,
    ("databricks", "default"): DATABRICKS,
    ("groq", "default"): {
        "queue_time": 0.03, "prompt_tokens": 1190, "prompt_time": 0.01, "completion_tokens": 210,
        "completion_time": 0.4, "total_tokens": 1400, "total_time": 0.41,
        "prompt_tokens_details": {"cached_tokens": 1024},
        "completion_tokens_details": {"reasoning_tokens": 64},
    },
    ("cerebras", "chat"): {**CHAT, "prompt_tokens_details": {"cached_tokens": 0}},
    ("mistral", "default"): {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150},
    ("openrouter", "chat"): {
        **CHAT, "cost": 0.00014, "is_byok": False,
        "cost_details": {"upstream_inference_cost": None},
    },
    ("perplexity", "responses"): {
        "input_tokens": 3681, "output_tokens": 780, "total_tokens": 4461,
        "input_tokens_details": {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 512},
        "tool_calls_details": {"search_web": {"invocation": 2}},
        "cost": {"currency": "USD", "total_cost": 0.0123},
    },
    ("anthropic", "default"): {
        "input_tokens": 12, "cache_creation_input_tokens": 300, "cache_read_input_tokens": 4000,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
        "output_tokens": 503, "output_tokens_details": {"thinking_tokens": 77},
        "server_tool_use": {"web_search_requests": 2}, "service_tier": "standard",
    },
    ("bedrock", "default"): {
        "inputTokens": 12, "outputTokens": 503, "totalTokens": 4815,
        "cacheReadInputTokens": 4000, "cacheWriteInputTokens": 300,
        "cacheDetails": [{"ttl": "5m", "inputTokens": 100}, {"ttl": "1h", "inputTokens": 200}],
    },
}  # fmt: skip
"""The `usage` of answers that are not simply OpenAI's."""
MODELS = {"fireworks": "accounts/fireworks/models/gpt-oss-20b"}
"""Models of sellers whose own names for them are not the ids of the price list."""
ONLY_AT_ANTHROPIC = {"output_tokens_details", "server_tool_use"}
"""Counts that genai-prices does not look for in answers of Anthropic's models at clouds."""
USUAL = {"chat": CHAT, "default": CHAT, "responses": RESPONSE, "embeddings": EMBEDDING}
OPERATIONS = {
    "chat": Operation.CHAT,
    "default": Operation.CHAT,
    "responses": Operation.RESPONSES,
    "embeddings": Operation.EMBEDDINGS,
}


def known_flavors() -> list[tuple[str, str]]:
    """Each row of ours and each kind of its answers that genai-prices can read."""
    return [
        (row.id, flavor)
        for row in ROWS.values()
        if row.genai_prices
        for flavor in (e.api_flavor for e in PROVIDERS[row.genai_prices].extractors or ())
        if flavor not in OTHER_FLAVORS and (row.id, flavor) not in NOT_READ | OLD
        if speaks(row, flavor)
    ]


def speaks(row: ProviderRow, flavor: str) -> bool:
    """Return whether answers of this kind come by the operations of `row`."""
    if "messages" in row.operations:
        return flavor == ("default" if row.driver == "anthropic" else "anthropic")
    if "converse" in row.operations:
        return flavor == "default"
    return flavor != "anthropic"


def reader_for(row: ProviderRow, flavor: str) -> Reader:
    """Reader of such answers of a provider."""
    if "messages" in row.operations:
        return MessagesReader(make_call())
    if "converse" in row.operations:
        return ConverseReader(make_call())
    operation = OPERATIONS[flavor]
    if (row.id, flavor) == ("openrouter", "default"):
        operation = Operation.RESPONSES
    return openai_operations(counting=counting_of(row))[operation].reader(make_call())


def sample_of(provider: str, flavor: str) -> dict[str, Any]:
    """An answer as it is written there."""
    usual = RESPONSE if (provider, flavor) == ("openrouter", "default") else USUAL.get(flavor, CHAT)
    usage = SAMPLES.get((provider, flavor), usual)
    if flavor == "anthropic":
        at_anthropic = SAMPLES["anthropic", "default"]
        usage = {name: at_anthropic[name] for name in at_anthropic.keys() - ONLY_AT_ANTHROPIC}
    models = PROVIDERS[ROWS[provider].genai_prices].models
    model = MODELS.get(provider) or next(m.id for m in models if m.is_match(m.id))
    meta = {"billed_units": {"input_tokens": 8}}  # Cohere's embeddings in its own dialect
    return {
        "type": "message", "object": "response", "model": model, "choices": [{}], "usage": usage,
        "meta": meta,
    }  # fmt: skip


@pytest.mark.parametrize(("provider", "flavor"), known_flavors())
def test_both_read_the_same(provider: str, flavor: str) -> None:
    """Each count that genai-prices takes out of an answer is ours too, and so is each that it leaves."""
    row, answer = ROWS[provider], sample_of(provider, flavor)
    theirs = genai_prices.extract_usage(
        answer, provider_id=row.genai_prices, api_flavor=flavor
    ).usage
    reported = reader_for(row, flavor).whole(json.dumps(answer).encode()).reported
    assert isinstance(reported, ReportedUsage)
    ours = {name: getattr(reported.tokens, field) for name, field in COUNTS.items()}
    assert ours == {name: getattr(theirs, name, None) or 0 for name in COUNTS}
    assert reported.items.searches == (getattr(theirs, "web_searches", None) or 0)


def test_every_sample_is_read() -> None:
    """No sample is of a provider or a kind that is not compared."""
    assert set(SAMPLES) <= set(known_flavors())


def test_the_conventions_are_those_of_the_dialects() -> None:
    """Messages and Converse add the cache, and their rows say so; all others have it included."""
    for row in ROWS.values():
        assert (row.cache == "added") == bool({"messages", "converse"} & {*row.operations}), row.id


@pytest.mark.parametrize(
    ("provider", "flavor", "cost_pico"),
    [
        ("xai", "chat", 23_285_600_000),
        ("openrouter", "chat", 140_000_000),
        ("perplexity", "responses", 12_300_000_000),
        ("openai", "chat", None),
    ],
)
def test_what_they_say_it_costs(provider: str, flavor: str, cost_pico: int | None) -> None:
    """A provider's own cost is taken from where its row says, exactly."""
    answer = json.dumps(sample_of(provider, flavor)).encode()
    reported = reader_for(ROWS[provider], flavor).whole(answer).reported
    assert reported is not None
    assert reported.cost_pico == cost_pico
