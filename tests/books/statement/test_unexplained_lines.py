"""Questions that a bill leaves open: both sides of each, and the row that would answer it."""

from __future__ import annotations

import msgspec
import pytest

from inferworks.books.accounting.policy import load_policy
from inferworks.books.accruals.reversals import reversal
from inferworks.books.allocation.pools import default_pools, pool_of
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge
from inferworks.books.statement.computation import Inputs, shipped_rules
from inferworks.books.statement.statement import Dimension, Statement, close_span
from inferworks.catalog.billing import Alias, SellerRow, with_own
from inferworks.meter.facts import NO_FACTS, Facts
from inferworks.meter.usage import Tokens, Usage
from inferworks.testing.books import a_charge, a_leg, a_usage

SPAN = Span(0, 100)
RULES, GAAP = shipped_rules(), load_policy("gaap")


def a_call(provider: str = "azure", model: str = "gpt-5-mini", customer: str = "acme") -> Usage:
    """A call that another provider served."""
    tokens = Tokens(input=10)
    leg = a_leg(None, (0, 9), tokens, provider=provider)
    return a_usage(f"{customer}/{model}", customer=customer, model=model, tokens=tokens, legs=[leg])


def an_estimate(provider: str = "azure", model: str = "gpt-5-mini") -> Charge:
    """Estimated cost of calls of `model`."""
    charge = a_charge("estimate", "1", SPAN, category="AI and Machine Learning", provider=provider)
    return msgspec.structs.replace(
        charge, file="(list prices)", resource_id=model, resource_type="Model", quantity="10"
    )


def a_line(**changes: object) -> Charge:
    """A line of a seller that nobody knows."""
    line = a_charge("l", "7", SPAN, category="AI and Machine Learning", provider="Contoso GmbH")
    line = msgspec.structs.replace(line, resource_id=None, service_name="LLM Gateway")
    return msgspec.structs.replace(line, **changes)


def drawn(*charges: Charge, calls: tuple[Usage, ...], rules=RULES) -> Statement:
    """The statement by definition."""
    return close_span(
        Inputs(charges, Facts(calls, (), (), ()), (), GAAP, "USD", Span(*SPAN), rules=rules)
    )


def asked(statement: Statement) -> list[str]:
    """The questions among the notes."""
    return [note for note in statement.notes if "[[billed]]" in note]


def test_a_seller_that_nobody_knows_is_asked_about() -> None:
    """The names of the line, who waits for a bill, and what to add; and what is added answers it."""
    (note,) = asked(drawn(a_line(), an_estimate(), calls=(a_call(),)))
    assert "7.00 from Contoso GmbH for LLM Gateway" in note
    assert "calls at azure have no bill" in note
    assert 'names = ["Contoso GmbH"], services = ["LLM Gateway"] and providers = ["azure"]' in note
    row = SellerRow(providers=("azure",), names=("Contoso GmbH",), services=("LLM Gateway",))
    rules = msgspec.structs.replace(RULES, billing=with_own(RULES.billing, [row], []))
    answered = drawn(a_line(), calls=(a_call(),), rules=rules)
    assert answered.notes == drawn(calls=(a_call(),)).notes
    assert answered.unallocated_pico == 0


def test_a_model_that_no_call_names_is_asked_about() -> None:
    """An unknown model is asked about while its provider's calls wait for a bill; a row answers it."""
    line = a_line(
        provider="OpenAI", issuer="OpenAI, LLC", service_name="", description="gpt-9 input tokens"
    )
    (note,) = asked(drawn(line, an_estimate("openai", "best"), calls=(a_call("openai", "best"),)))
    assert 'models = [{ name = "best", upstream = "gpt-9 input tokens" }]' in note
    aliases = [Alias("gpt-9 input tokens", "best")]
    rules = msgspec.structs.replace(RULES, billing=with_own(RULES.billing, [], aliases))
    answered = drawn(line, calls=(a_call("openai", "best"),), rules=rules)
    assert answered.unallocated_pico == 0


@pytest.mark.parametrize(
    "charges",
    [
        (a_line(),),
        (a_line(description="5 seats"), an_estimate()),
        (a_line(), an_estimate(), reversal(an_estimate())),
        (a_line(provider="azure", service_name=""), an_estimate()),
    ],
)
def test_nothing_is_asked_without_need(charges: tuple[Charge, ...]) -> None:
    """No calls wait, no line is for calls, or its name is that of the calls."""
    assert asked(drawn(*charges, calls=(a_call(),))) == []


def test_many_questions_are_summed_up() -> None:
    """Five, and how many more."""
    lines = [a_line(id=f"c{n}", line=f"{n}", service_name=f"Service {n}") for n in range(9)]
    statement = drawn(*lines, an_estimate(), calls=(a_call(),))
    assert len(asked(statement)) == 5
    assert "4 more names on bills match no call." in statement.notes


def test_a_marketplace_sells_calls_under_any_category() -> None:
    """The service tells the pool where the category does not; another service of the house does not."""
    edition = a_line(
        provider="AWS",
        issuer="AWS Marketplace",
        service_category="Other",
        service_name="Claude Sonnet 4.5 (Amazon Bedrock Edition)",
    )
    assert pool_of(edition, default_pools(), ()).name == "providers"
    other = msgspec.structs.replace(edition, service_name="Amazon Polly")
    assert pool_of(other, default_pools(), ()).name == "other"


def test_a_customer_is_no_row_of_nobody() -> None:
    """A row of a customer, a model or a provider is its own, whatever the name."""
    names = ("(unallocated)", "(no customer)", "Total", "customer:(unallocated)", "acme")
    calls = tuple(a_call("openai", "(no model)", name) for name in names)
    line = a_line(provider="openai", issuer="openai", service_name="")
    rows = {
        row.name: row.cost_of_revenue_pico // 10**12
        for row in drawn(
            msgspec.structs.replace(line, amount_pico=5 * 10**12),
            a_charge("rent", "3", SPAN, category="Other"),
            calls=calls,
        ).by(Dimension.CUSTOMER)
    }
    assert rows == {
        "Total": 1,
        "acme": 1,
        "customer:(no customer)": 1,
        "customer:(unallocated)": 1,
        "customer:customer:(unallocated)": 1,
        "(unallocated)": 3,
    }
    models = {row.name for row in drawn(line, calls=calls).by(Dimension.MODEL)}
    assert models == {"model:(no model)"}


@pytest.mark.slow
def test_relations_ask_and_name_alike() -> None:
    """The statement by customer and the whole one have the notes and rows of the definition."""
    from inferworks.books.engines.compute import compute_on
    from inferworks.books.engines.customer_statement import (
        close_by_customer,  # Ibis takes its time to load
    )
    from inferworks.books.engines.duckdb import DuckEngine
    from inferworks.books.engines.lake import lake_of
    from inferworks.books.statement.statement import build_statement

    charges = (a_line(), an_estimate(), a_charge("rent", "3", SPAN, category="Other"))
    calls = tuple(a_call(customer=name) for name in ("(unallocated)", "Total", "customer:x"))
    one = drawn(*charges, calls=calls)
    assert len(asked(one)) == 1
    with DuckEngine() as engine:
        lake = lake_of(engine, {}, Facts(calls, (), (), ()))
        other = build_statement(
            compute_on(engine, lake, Inputs(charges, NO_FACTS, (), GAAP, "USD", SPAN, RULES))
        )
        cut = close_by_customer(
            engine, lake, Inputs(charges, NO_FACTS, (), GAAP, "USD", SPAN, RULES)
        )
    assert other.to_json() == one.to_json() | {"revenue_lines": other.to_json()["revenue_lines"]}
    assert cut.notes == one.notes
    assert cut.rows == one.by(Dimension.CUSTOMER)
