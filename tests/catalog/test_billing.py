"""Names on bills: whose calls a line is for, and which models it means."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.catalog.billing import (
    Alias,
    Billing,
    Means,
    SellerRow,
    shipped_billing,
    shipped_table,
    with_own,
)

SHIPPED = shipped_billing()


@pytest.mark.parametrize(
    ("provider", "issuer", "service", "metered"),
    [
        ("Anthropic, PBC", "Anthropic, PBC", "Claude API", "anthropic"),
        ("Anthropic", "Anthropic Ireland, Limited", "Claude API", "anthropic"),
        ("OpenAI, LLC", "OpenAI OpCo, LLC", "API usage", "openai"),
        ("", "OpenAI Ireland Ltd.", "", "openai"),
        ("Microsoft", "Microsoft", "Foundry Models", "azure"),
        ("Microsoft", "Microsoft Ireland Operations Limited", "Azure OpenAI", "azure"),
        ("Microsoft Azure", "Reseller GmbH", "Cognitive Services", "azure"),
        ("AWS", "Amazon Web Services, Inc.", "Amazon Bedrock", "bedrock"),
        ("AWS", "AWS", "", "bedrock"),
        ("AWS", "Amazon Web Services EMEA SARL", "Amazon Bedrock", "aws"),
        ("AWS", "AWS Marketplace", "Claude 3.5 Sonnet (Amazon Bedrock Edition)", "bedrock"),
        ("Anthropic", "AWS Marketplace", "Claude Haiku 4.5 (Amazon Bedrock Edition)", "bedrock"),
        ("Google Cloud", "Google Cloud EMEA Limited", "Vertex AI", "vertex"),
        ("Google Cloud", "Google LLC", "Gemini API", "gemini"),
        ("Mistral AI", "Mistral AI SAS", "La Plateforme", "mistral"),
        ("X.AI LLC", "X.AI LLC", "API", "x-ai"),
        ("Together Computer, Inc.", "Together Computer, Inc.", "Inference", "together"),
        ("Perplexity AI, Inc.", "Perplexity AI, Inc.", "Sonar API", "perplexity"),
        ("Solora AI", "Solora AI, Inc.", "Generative AI API", "solora"),
        ("Beispiel S.à r.l.", "Beispiel S.à r.l.", "KI", "beispiel"),
    ],
)
def test_whose_calls_a_line_is_for(provider: str, issuer: str, service: str, metered: str) -> None:
    """Legal names, clouds and marketplaces lead to the provider as calls name it."""
    seller = SHIPPED.seller(provider, issuer, service)
    assert not seller.providers.isdisjoint(SHIPPED.forms(metered))


@pytest.mark.parametrize(
    ("provider", "issuer", "service", "metered"),
    [
        ("AWS", "Amazon Web Services, Inc.", "Amazon Rekognition", "aws"),
        ("Microsoft", "Microsoft", "Azure Machine Learning", "azure"),
        ("Google Cloud", "Google LLC", "BigQuery", "google"),
        ("OpenAIx", "OpenAIx", "API", "openai"),
        ("Not OpenAI", "Not OpenAI", "API", "openai"),
        ("Anthropic", "AWS", "Claude 3 (Amazon Bedrock Edition)", "anthropic"),
        ("Groq", "Groq", "API", "x-ai"),
    ],
)
def test_names_are_not_guessed(provider: str, issuer: str, service: str, metered: str) -> None:
    """A name within another, and another service of the same cloud, are not meant."""
    seller = SHIPPED.seller(provider, issuer, service)
    assert seller.providers.isdisjoint(SHIPPED.forms(metered))


def test_own_rows_go_before_those_that_ship() -> None:
    """A row of the configuration takes a name away from the shipped one, and adds unheard-of names."""
    own = (
        SellerRow(providers=("azure-eu",), names=("Microsoft",), services=("Foundry Models",)),
        SellerRow(providers=("azure",), names=("Contoso Cloud GmbH",)),
    )
    billing = Billing(with_own(shipped_table(), own, ()))
    assert billing.seller("Microsoft", "Microsoft", "Foundry Models").providers == {"azureeu"}
    assert billing.seller("Contoso Cloud", "Contoso Cloud", "LLM").providers == {"azure"}
    assert "azure" in billing.seller("Microsoft", "Microsoft", "Azure OpenAI").providers


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("gpt-4o-2024-08-06", "gpt-4o-0806"),
        ("gpt-35-turbo", "gpt-3.5-turbo-0125"),
        ("claude-3-5-sonnet-20241022", "us.anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("Claude Sonnet 4.5", "global.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("Claude3.5Sonnet", "claude-3-5-sonnet-latest"),
        ("publishers/anthropic/models/claude-sonnet-4@20250514", "claude-sonnet-4"),
        ("NovaPro", "amazon.nova-pro-v1:0"),
        ("Nova2.0Lite", "amazon.nova-2-lite-v1:0"),
        ("Llama 3.1 70B Instruct", "meta.llama3-1-70b-instruct-v1:0"),
        ("gemini-2.0-flash", "gemini-2.0-flash-001"),
        ("mistral-large-latest", "mistral-large-2411"),
        ("openai/gpt-5-mini", "GPT-5 mini"),
    ],
)
def test_one_model_by_two_names(one: str, other: str) -> None:
    """Dates, regions, makers and versions that only one of the two names has do not tell them apart."""
    assert SHIPPED.model(one).is_of(SHIPPED.model(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gpt-4o", "gpt-4o-mini"),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-11-20"),
        ("gpt-4.5", "gpt-5.4"),
        ("gpt-4o", "gpt-4o-audio-preview"),
        ("claude-3-5-sonnet-20240620", "claude-3-5-sonnet-20241022"),
        ("Claude 3.5 Sonnet v2", "anthropic.claude-3-5-sonnet-20240620-v1:0"),
        ("deepseek-v3", "deepseek-v3.1"),
        ("llama-3.1-8b", "llama-3.1-70b"),
    ],
)
def test_two_models(one: str, other: str) -> None:
    """Sizes, generations, kinds and other dates do."""
    assert not SHIPPED.model(one).is_of(SHIPPED.model(other))


@pytest.mark.parametrize(
    ("text", "model", "means"),
    [
        ("USE1-Claude3.5Sonnet-input-tokens", "claude-3-5-sonnet", {Means.INPUT}),
        ("USE1-NovaPro-cache-read-input-token-count", "nova-pro", {Means.CACHE, Means.READ}),
        ("APN1-Claude4.6Opus-output-tokens-cross-region-global", "claude-opus-4-6", {Means.OUTPUT}),
        ("USE1-anthropic.claude-opus-5-mantle-cache-read-tokens-standard", "claude-opus-5", {Means.READ}),
        ("gpt-4o-2024-08-06 Input tokens", "gpt-4o", {Means.INPUT}),
        ("gpt-4o-2024-08-06, cached input", "gpt-4o", {Means.CACHE, Means.INPUT}),
        ("gpt 4o 0806 cached Inp glbl Tokens", "gpt-4o-2024-08-06", {Means.CACHE, Means.INPUT}),
        ("gpt-4o-mini-0718-Outp-glbl Tokens", "gpt-4o-mini", {Means.OUTPUT}),
        ("Gemini 2.5 Flash GA Text Input - Predictions", "gemini-2.5-flash", {Means.INPUT}),
        ("Claude Sonnet 4 Usage - Input Tokens", "claude-sonnet-4", {Means.INPUT}),
        ("$0.003 per 1K input tokens for Claude3.5Sonnet in US East", "claude-3-5-sonnet", {Means.INPUT}),
        ("deepseek/deepseek-chat, output", "deepseek-chat", {Means.OUTPUT}),
        ("solora-atlas-5.5 output tokens", "solora-atlas-5.5", {Means.OUTPUT}),
    ],
)  # fmt: skip
def test_what_a_meter_says(text: str, model: str, means: set[Means]) -> None:
    """The usage types of AWS, the meters of Azure and Google, the lines of OpenAI and Anthropic."""
    said = SHIPPED.said(text)
    assert means <= said.means
    certain = [named.model for named in said.models if named.certain]
    assert any(found.is_of(SHIPPED.model(model)) for found in certain)


def test_what_a_meter_leaves_out() -> None:
    """Azure's "5 mini" is GPT-5 mini; a meter of the marketplace names no model."""
    (named,) = SHIPPED.said("5 mini pp cd Inp Gl 1M Tokens", "gpt").models
    assert named.certain
    assert named.model.is_of(SHIPPED.model("gpt-5-mini"))
    said = SHIPPED.said("USE1-MP:USE1_CacheWrite1hInputTokenCount_Global-Units")
    assert {Means.WRITE, Means.HOUR, Means.INPUT, Means.TOKENS} <= said.means
    assert said.models == ()
    assert not any(named.certain for named in SHIPPED.said("eu-west-1 input tokens").models)


def test_an_alias_is_what_it_says() -> None:
    """A name of one's own, however it is spelled, is the model that a row says."""
    billing = Billing(with_own(shipped_table(), (), (Alias("GPT4o EU", "gpt-4o"),)))
    for text in ("gpt4o-eu", "GPT4o EU, input"):
        (named,) = billing.said(text).models
        assert named.certain
        assert any(map(named.model.is_of, billing.billed_as("gpt-4o")))
        assert not any(map(named.model.is_of, billing.billed_as("gpt-4o-mini")))


def test_every_row_says_where_it_is_from() -> None:
    """A source and a day for each row that ships."""
    table = shipped_table()
    for row in (*table.seller, *table.word):
        assert row.source.startswith("https://")
        assert row.as_of > dt.date(2026, 1, 1)


@pytest.mark.slow
@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_read(one: str, other: str) -> None:
    """No text is an error, and what is said of it does not depend on what was read before."""
    fresh = Billing(shipped_table())
    assert fresh.said(one) == SHIPPED.said(one)
    assert fresh.model(one).is_of(fresh.model(one))
    assert fresh.model(one).is_of(fresh.model(other)) == fresh.model(other).is_of(fresh.model(one))
    assert fresh.seller(one, other, one) == SHIPPED.seller(one, other, one)
