"""The rows of facts say only what is known, of providers that there are, and each with its source."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.catalog.facts import UNKNOWN_MODEL, FactCatalog, FactRow, fact_catalog
from inferworks.catalog.providers import OPENAI_COMPATIBLE, provider_catalog
from inferworks.errors import ConfigError

ROOT = Path(__file__).parents[2]
TODAY = dt.date(2027, 1, 1)
ROWS = fact_catalog().rows
PROVIDERS = [row.id for row in provider_catalog().rows(TODAY)]


@pytest.mark.parametrize("row", ROWS, ids=[f"{number}" for number in range(len(ROWS))])
def test_a_row_can_be_checked(row: FactRow) -> None:
    """A row names known providers and a source, states a fact, and spells its names in small letters."""
    assert set(row.providers) <= {"*", *PROVIDERS}
    assert row.source.startswith("https://") or (ROOT / row.source).is_file()
    assert row.effective <= TODAY
    assert dict(row.said)
    assert all(pattern == pattern.lower() for pattern in row.models)


@pytest.mark.parametrize(
    ("provider", "model", "facts"),
    [
        ("openai", "gpt-5-mini", {"limit_field": "max_completion_tokens", "user_length": 64}),
        ("openai", "gpt-5-mini", {"efforts": ("minimal", "low", "medium", "high"), "stops": 0}),
        ("openai", "gpt-5.1-2025-11-13", {"efforts": ("none", "low", "medium", "high")}),
        ("openai", "gpt-5.1", {"tools_effort": "", "temperature": 0}),
        ("openai", "gpt-5.6-luna", {"tools_effort": "none", "tools": True}),
        ("openai", "gpt-6-astra", {"tools": False, "limit_field": "max_completion_tokens"}),
        ("openai", "GPT-4.1-mini", {"efforts": (), "temperature": 2, "stops": 4}),
        ("openai", "gpt-4o", {"json_modes": ("json_object", "json_schema")}),
        ("openai", "gpt-4-turbo", {"json_modes": ("json_object",), "parallel_tools": True}),
        ("openai", "gpt-4-0613", {"json_modes": (), "parallel_tools": False}),
        ("openai", "o4-mini", {"efforts": ("low", "medium", "high"), "parallel_tools": False}),
        ("openai", "o3", {"stops": 0, "temperature": 0}),
        ("openai", "a-new-one", {"limit_field": "max_completion_tokens", "temperature": 0}),
        ("azure", "gpt-5", {"limit_field": "max_completion_tokens"}),
        ("azure-deployments", "prod", {"limit_field": "max_completion_tokens", "efforts": ()}),
        ("openai-compatible", "gpt-5", {"limit_field": "max_completion_tokens"}),
        ("openrouter", "openai/gpt-5", {"limit_field": "max_tokens", "user_length": 128}),
        ("zai", "glm-4.6", {"user_length": 128, "stops": 1}),
        ("deepseek", "deepseek-chat", {"stops": 16, "json_modes": ("json_object",)}),
        ("mistral", "mistral-large-latest", {"user_length": 0, "limit_field": "max_tokens"}),
        ("xai", "grok-4", {"efforts": (), "stops": 0}),
        ("groq", "openai/gpt-oss-120b", {"efforts": ("low", "medium", "high")}),
        ("anthropic", "claude-3-5-haiku-latest", {"efforts": (), "json_modes": ()}),
        ("anthropic", "claude-sonnet-4-5", {"temperature": 1, "blank_stops": False}),
        ("anthropic", "claude-sonnet-4-5", {"json_modes": ("json_schema",), "efforts": ()}),
        ("anthropic", "claude-opus-4-6", {"temperature": 1, "forced_tools": True}),
        ("anthropic", "claude-opus-4-8", {"temperature": 0, "forced_tools": True}),
        ("anthropic", "claude-opus-5", {"forced_tools": True, "temperature": 0}),
        ("anthropic", "claude-opus-5-5", {"forced_tools": False, "system_amid": True}),
        ("anthropic", "claude-opus-4-8", {"system_amid": True}),
        ("anthropic", "claude-opus-4-7", {"system_amid": False}),
        ("vertex-anthropic", "claude-opus-4-8", {"system_amid": False}),
        ("bedrock-anthropic", "anthropic.claude-opus-4-8", {"system_amid": False}),
        ("anthropic", "claude-of-tomorrow", {"temperature": 0, "blank_stops": False}),
        ("vertex-anthropic", "claude-sonnet-4-5@20250929", {"json_modes": ("json_schema",)}),
        ("vertex-anthropic", "claude-opus-4-1@20250805", {"json_modes": ()}),
        ("bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", {"temperature": 1}),
        ("bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", {"efforts": ()}),
        ("bedrock", "anthropic.claude-opus-5", {"temperature": 0, "parallel_tools": True}),
        ("bedrock", "amazon.nova-pro-v1:0", {"parallel_tools": False, "json_modes": ()}),
        ("gemini", "gemini-2.5-flash", {"efforts": ("none", "low", "medium", "high")}),
        ("gemini", "gemini-2.0-flash", {"efforts": ()}),
        ("inferworks", "inferworks-tiny", {"tools": False, "json_modes": (), "stops": 4}),
    ],
)
def test_what_is_known_of_a_model(provider: str, model: str, facts: dict[str, Any]) -> None:
    """Families of today's vendors, and a model of theirs that nobody has named yet."""
    found = fact_catalog().facts(provider, model, TODAY)
    assert {name: getattr(found, name) for name in facts} == facts


def test_of_others_nothing_is_known() -> None:
    """An engine that serves any model gets the usual form."""
    for provider in ("vllm", OPENAI_COMPATIBLE):
        assert fact_catalog().facts(provider, "my-model", TODAY) == UNKNOWN_MODEL


def test_a_deployment_is_what_callers_call_it() -> None:
    """The caller's name counts where the deployment's own name says nothing; else its own name counts."""
    catalog = fact_catalog()
    known = catalog.facts("azure-deployments", "prod", TODAY, known_as="gpt-5")
    assert known == catalog.facts("azure-deployments", "gpt-5", TODAY)
    assert known.efforts == ("minimal", "low", "medium", "high")
    renamed = catalog.facts("openai", "gpt-4.1", TODAY, known_as="gpt-5")
    assert renamed == catalog.facts("openai", "gpt-4.1", TODAY)


def test_a_row_holds_from_its_day_and_a_later_one_overrides() -> None:
    """Before the first day of all, the rows hold as well: a clock may be wrong."""

    def row(day: int, stops: int) -> FactRow:
        return FactRow(effective=dt.date(2026, 1, day), source="https://x.example", stops=stops)

    catalog = FactCatalog([row(10, 1), row(20, 2)])
    days = {5: 2, 10: 1, 19: 1, 20: 2, 30: 2}
    found = {day: catalog.facts("any", "m", dt.date(2026, 1, day)).stops for day in days}
    assert found == days


def test_a_row_that_says_nothing_is_refused() -> None:
    """A row without a fact would be a mistake in the file."""
    with pytest.raises(ConfigError, match="says nothing"):
        FactCatalog([FactRow(effective=TODAY, source="https://x.example", models=("a",))])


@given(st.sampled_from(PROVIDERS), st.text(max_size=80))
def test_any_name_has_facts(provider: str, model: str) -> None:
    """Facts of a model of any name are within limits that can be kept."""
    facts = fact_catalog().facts(provider, model, TODAY, known_as=model)
    assert facts.user_length >= 0
    assert facts.stops is None or facts.stops >= 0
    assert 0 <= facts.temperature <= 2
    assert not facts.tools_effort or facts.tools_effort in facts.efforts
