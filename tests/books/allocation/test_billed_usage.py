"""Purpose of a bill line: the model, the tokens, and whether it stands for calls at all."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.books.accounting.policy import load_policy
from inferworks.books.allocation.billed_usage import ALL_INPUT, ALL_OUTPUT, FLAT, sale_of
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge
from inferworks.books.statement.computation import (
    Computation,
    Inputs,
    Rules,
    compute,
    shipped_rules,
)
from inferworks.catalog.billing import first_table, shipped_billing
from inferworks.meter.facts import NO_FACTS, Facts
from inferworks.meter.usage import Tokens, Usage
from inferworks.money import format_pico
from inferworks.testing.books import a_charge, a_leg, a_usage, token_counts
from inferworks.units import Unit

BILLING, RULES, GAAP = shipped_billing(), shipped_rules(), load_policy("gaap")
SPAN = Span(0, 100)
READ = (Unit.CACHE_READ_TOKENS,)
WRITTEN = (Unit.CACHE_WRITE_TOKENS, Unit.CACHE_WRITE_1H_TOKENS)
UNCACHED = (Unit.INPUT_TOKENS, Unit.INPUT_AUDIO_TOKENS, Unit.INPUT_IMAGE_TOKENS)


def a_line(name: str = "line", amount: str = "8", **changes: Any) -> Charge:
    """A line of OpenAI; columns that we have no field for are given by their FOCUS names."""
    line = a_charge(name, amount, SPAN, category="AI and Machine Learning", provider="OpenAI, LLC")
    fields = {key: changes.pop(key) for key in list(changes) if hasattr(line, key)}
    other = tuple(sorted(changes.items()))
    line = msgspec.structs.replace(line, resource_id=None, description="", other=other)
    return msgspec.structs.replace(line, **fields)


def a_call(name: str, tokens: Tokens, *, model: str = "gpt-4o", provider: str = "openai") -> Usage:
    """A call that another provider served, for the customer of the same name."""
    leg = a_leg(None, (0, 9), tokens, provider=provider)
    return a_usage(name, customer=name, model=model, tokens=tokens, legs=[leg])


def shares(line: Charge, *calls: Usage, rules: Rules = RULES) -> dict[str, str]:
    """Cost of `line` for each customer; unallocated cost under the empty name."""
    computation = defined((line,), calls, rules)
    sums: dict[str, int] = {}
    for one in computation.lines:
        name = one.target.customer or ""
        sums[name] = sums.get(name, 0) + one.amount_pico
    return {name: format_pico(pico) for name, pico in sums.items() if pico}


def defined(
    lines: tuple[Charge, ...], calls: tuple[Usage, ...], rules: Rules = RULES
) -> Computation:
    """The computation by definition."""
    return compute(Inputs(lines, Facts(calls, (), (), ()), (), GAAP, "USD", SPAN, rules))


@pytest.mark.parametrize(
    ("columns", "units"),
    [
        ({}, FLAT),
        ({"SkuPriceDetails": '{"TokenDirection":"Output"}'}, ALL_OUTPUT),
        ({"SkuPriceDetails": '{"TokenDirection":"Input"}'}, ALL_INPUT),
        ({"SkuPriceDetails": '{"TokenDirection":"Input","TokenCacheAction":"Uncached"}'}, UNCACHED),
        ({"SkuPriceDetails": '{"TokenDirection":"Input","TokenCacheAction":"Read"}'}, READ),
        ({"SkuPriceDetails": '{"TokenDirection":"Input","TokenCacheAction":"Write"}'}, WRITTEN),
        ({"SkuPriceDetails": '[{"key":"TokenDirection","value":"Output"}]'}, ALL_OUTPUT),
        ({"SkuPriceDetails": "{"}, FLAT),
        ({"SkuPriceDetails": '{"TokenDirection":7}'}, FLAT),
        ({"SkuMeter": "Input Tokens"}, UNCACHED),
        ({"SkuMeter": "Output Tokens"}, ALL_OUTPUT),
        ({"SkuMeter": "Cached Input Tokens"}, READ),
        ({"SkuMeter": "Cache Write 1 Hour Input Tokens"}, WRITTEN),
        ({"SkuMeter": "USE1-MP:USE1_CacheWrite1hInputTokenCount-Units"}, (Unit.CACHE_WRITE_1H_TOKENS,)),
        ({"SkuMeter": "gpt-4o audio output tokens"}, (Unit.OUTPUT_AUDIO_TOKENS,)),
        ({"SkuMeter": "Reasoning Output Tokens"}, (Unit.REASONING_TOKENS,)),
        ({"SkuMeter": "Input and output tokens"}, FLAT),
        ({"description": "input/output tokens"}, FLAT),
        ({"SkuMeter": "input_no_cache"}, UNCACHED),
        ({"SkuMeter": "uncached_input_tokens"}, UNCACHED),
        ({"SkuMeter": "cache_creation.ephemeral_1h_input_tokens"}, (Unit.CACHE_WRITE_1H_TOKENS,)),
        ({"description": "gpt-4o-2024-08-06 Output tokens"}, ALL_OUTPUT),
        ({"SkuMeter": "Output Tokens", "x_RevenueItem": "usage"}, (Unit.OUTPUT_TOKENS,)),
    ],
)  # fmt: skip
def test_which_tokens_a_line_is_for(columns: dict[str, str], units: tuple[Unit, ...]) -> None:
    """FOCUS's properties decide, else the words of the meter; an unreadable line is for all tokens."""
    assert sale_of(a_line(**columns), BILLING).units[0] == units


@pytest.mark.parametrize(
    "columns",
    [
        {"charge_category": "Tax"},
        {"charge_category": "Credit"},
        {"charge_category": "Purchase"},
        {"charge_class": "Correction"},
        {"description": "5 seats"},
        {"service_name": "ChatGPT Team"},
        {"description": "Priority support"},
        {"description": "Monthly subscription"},
        {"unit": "Users"},
        {"ChargeFrequency": "Recurring"},
        {"SkuMeter": "Fine-tuning training hours"},
    ],
)
def test_lines_that_stand_for_no_calls(columns: dict[str, str]) -> None:
    """Seats, support, taxes, credits and purchases are owed whatever was called."""
    assert not sale_of(a_line(**columns), BILLING).is_for_calls


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"service_name": "API"},
        {"unit": "Tokens"},
        {"PricingUnit": "1000000 Tokens", "description": "long context support"},
        {"SkuMeter": "Provisioned throughput, hours"},
        {"description": "Image requests"},
        {"SkuMeter": "Provisioned throughput, monthly commitment"},
        {"SkuPriceDetails": '{"TokenDirection":"Input"}', "ChargeFrequency": "Recurring"},
    ],
)
def test_lines_that_stand_for_calls(columns: dict[str, str]) -> None:
    """Tokens, requests and reserved throughput, and usage of which nothing else is known."""
    assert sale_of(a_line(**columns), BILLING).is_for_calls


def test_a_line_is_for_the_model_and_the_tokens_that_it_names() -> None:
    """Callers of other models, or users of other tokens, have no part of the line."""
    calls = (
        a_call("acme", Tokens(input=900, cache_read=600, output=10), model="gpt-4o-2024-08-06"),
        a_call("burns", Tokens(input=100, output=30), model="gpt-4o-mini"),
        a_call("cyber", Tokens(input=300, output=30), model="gpt-4o"),
        a_call("delta", Tokens(input=300, output=30), provider="azure"),
    )
    assert shares(a_line(amount="7.7"), *calls) == {
        "acme": "3.10",
        "burns": "1.30",
        "cyber": "3.30",
    }
    line = a_line(SkuMeter="gpt-4o-2024-08-06 Input tokens")
    assert shares(line, *calls) == {"acme": "4.00", "cyber": "4.00"}
    assert shares(a_line(SkuMeter="gpt-4o-2024-08-06, cached input"), *calls) == {"acme": "8.00"}
    assert shares(a_line(SkuMeter="gpt-4o-mini output tokens"), *calls) == {"burns": "8.00"}
    assert shares(a_line(SkuMeter="Output Tokens", amount="7"), *calls) == {
        "acme": "1.00",
        "burns": "3.00",
        "cyber": "3.00",
    }
    details = '{"ModelId":"gpt-4o-mini","TokenDirection":"Input"}'
    assert shares(a_line(SkuPriceDetails=details), *calls) == {"burns": "8.00"}


def test_a_line_for_a_model_that_nobody_called_is_nobodys() -> None:
    """A line for a model, or for tokens, that nobody used stays in sight as unallocated."""
    call = a_call("acme", Tokens(input=10))
    assert shares(a_line(SkuMeter="gpt-5-mini input tokens"), call) == {"": "8.00"}
    assert shares(a_line(SkuPriceDetails='{"ModelId":"atlas"}'), call) == {"": "8.00"}
    assert shares(a_line(SkuMeter="gpt-4o output tokens"), call) == {"": "8.00"}
    assert shares(a_line(description="Project alpha"), call) == {"acme": "8.00"}


def test_bills_of_before_there_was_a_table_are_read_as_then() -> None:
    """All of a name or its first word, and the model of a resource; what texts say is not looked at."""
    first = msgspec.structs.replace(RULES, billing=first_table())
    calls = (a_call("acme", Tokens(input=30, output=10), model="Big"), a_call("burns", Tokens(40)))

    def of(**changes: Any) -> dict[str, str]:
        return shares(a_line(**changes), *calls, rules=first)

    text = {"description": "gpt-4o input tokens", "SkuMeter": "gpt-4o input tokens"}
    assert of(**text) == {"": "8.00"}, "nobody is called `openai, llc`, nor `openai,`"
    assert of(**text, issuer="OpenAI Ireland Ltd") == {"acme": "4.00", "burns": "4.00"}
    assert of(issuer="OpenAI", ResourceName="big") == {"acme": "8.00"}
    named = {"resource_type": "Model", "resource_id": "other"}
    assert of(issuer="OpenAI", **named) == {"acme": "4.00", "burns": "4.00"}


def test_tokens_that_nobody_told_apart_count_by_their_side() -> None:
    """A line for cached input goes by all input where no call says how much was cached."""
    calls = (a_call("acme", Tokens(input=10)), a_call("burns", Tokens(input=30, output=99)))
    assert shares(a_line(SkuMeter="Cached Input Tokens"), *calls) == {
        "acme": "2.00",
        "burns": "6.00",
    }


def test_a_marketplace_names_the_model_in_its_service() -> None:
    """Bedrock's resale: the service is the model, the meter says only which tokens."""
    calls = (
        a_call(
            "acme", Tokens(9), model="anthropic.claude-3-5-sonnet-20240620-v1:0", provider="aws"
        ),
        a_call("burns", Tokens(9), model="amazon.nova-pro-v1:0", provider="aws"),
    )
    line = a_line(
        provider="AWS",
        issuer="AWS Marketplace",
        service_name="Claude 3.5 Sonnet (Amazon Bedrock Edition)",
        SkuMeter="USE1-MP:USE1_InputTokenCount-Units",
    )
    assert shares(line, *calls) == {"acme": "8.00"}


_MODELS = ("gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-2024-11-20", "gpt-4o-mini", "atlas")
_METERS = (
    "", "Input Tokens", "Output Tokens", "gpt-4o input tokens", "gpt-4o-2024-08-06, cached input",
    "gpt-4o-mini output tokens", "gpt-5 input tokens", "atlas", "gpt-4o audio input tokens",
    "Cache Write Input Tokens", "Reasoning Output Tokens",
)  # fmt: skip


@st.composite
def _lines(draw: st.DrawFn, name: str) -> Charge:
    start_ns = draw(st.integers(0, 99))
    line = a_line(name, format_pico(draw(st.integers(-(10**13), 10**13))))
    return msgspec.structs.replace(
        line,
        period_start_ns=start_ns,
        period_end_ns=draw(st.integers(start_ns + 1, 100)),
        issuer=draw(st.sampled_from(["OpenAI, LLC", "Groq", "Nobody"])),
        provider=draw(st.sampled_from(["OpenAI, LLC", "Groq"])),
        other=(("SkuMeter", draw(st.sampled_from(_METERS))),),
    )


@st.composite
def _bought(draw: st.DrawFn, name: str) -> Usage:
    start_ns = draw(st.integers(0, 99))
    tokens = draw(token_counts())
    provider = draw(st.sampled_from(["openai", "OpenAI", "groq"]))
    leg = a_leg(None, (start_ns, start_ns + draw(st.integers(0, 50))), tokens, provider=provider)
    customer, model = draw(st.sampled_from(["acme", "burns"])), draw(st.sampled_from(_MODELS))
    return a_usage(
        name, customer=customer, model=model, tokens=tokens, legs=[leg], opened_ns=start_ns
    )


@pytest.mark.slow
@settings(max_examples=5)
@given(data=st.data())
def test_any_mixture_of_lines_conserves_on_every_engine(data: st.DataObject) -> None:
    """Every line is its parts (theorem 7), and relations give the parts of the definition."""
    from inferworks.books.engines.compute import compute_on  # Ibis takes its time to load
    from inferworks.books.engines.duckdb import DuckEngine
    from inferworks.books.engines.lake import lake_of

    lines = tuple(data.draw(_lines(f"line-{n}")) for n in range(data.draw(st.integers(1, 15))))
    calls = tuple(data.draw(_bought(f"call-{n}")) for n in range(data.draw(st.integers(0, 15))))
    one = defined(lines, calls)
    for item in one.allocated:
        assert sum(row.amount_pico for row in item.rows) == item.charge.amount_pico
    with DuckEngine() as engine:
        lake = lake_of(engine, {}, Facts(calls, (), (), ()))
        other = compute_on(engine, lake, Inputs(lines, NO_FACTS, (), GAAP, "USD", SPAN, RULES))
    assert [item.rows for item in one.allocated] == [item.rows for item in other.allocated]
