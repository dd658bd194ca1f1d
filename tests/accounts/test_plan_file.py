"""Price plans as TOML files: every kind in the documents loads; mistakes are one clear line."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.accounts.plan import (
    AmountOff,
    Graduated,
    Package,
    PercentOff,
    PerUnit,
    Price,
    Terms,
    Tier,
    Volume,
)
from inferworks.accounts.plan_file import read_plan
from inferworks.errors import UserError
from inferworks.ids import ModelId
from inferworks.units import Unit

DOCUMENT = (Path(__file__).parents[2] / "docs" / "prices.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"### ([^\n]+)\n(?:(?!###).)*?```toml\n(.*?)```", DOCUMENT, re.DOTALL))
INPUT, OUTPUT = Unit.INPUT_TOKENS, Unit.OUTPUT_TOKENS
M = 10**6


def terms_of(heading: str) -> Terms:
    """The terms of the example under `heading` in docs/prices.md."""
    return read_plan(EXAMPLES[heading], heading).terms


def test_per_unit() -> None:
    """The example of prices per unit means what it says, from its date on."""
    file = read_plan(EXAMPLES["Per unit"], "plan.toml")
    assert file.effective_ns == dt.datetime(2026, 12, 1, tzinfo=dt.UTC).timestamp() * 10**9
    assert file.terms.name == "Standard"
    rates = [file.terms.rate_of(unit, ModelId("any")) for unit in (INPUT, OUTPUT)]
    assert rates == [500_000, 1_500_000]
    assert file.terms.rate_of(OUTPUT, ModelId("large")) == 15 * M


def test_tiers() -> None:
    """Graduated and volume tiers carry their bounds and prices."""
    (graduated,) = terms_of("Graduated").prices
    tiers = (Tier(100 * M, 2 * M), Tier(1000 * M, 1_500_000), Tier(None, M))
    assert graduated == Price(OUTPUT, Graduated(tiers))
    (volume,) = terms_of("Volume").prices
    assert volume == Price(OUTPUT, Volume((Tier(100 * M, 2 * M), Tier(None, 1_500_000))))


def test_package_and_request() -> None:
    """A package has a size and a price; a request has a price of its own."""
    assert terms_of("Package").prices == (Price(INPUT, Package(1000, 10**10)),)
    assert terms_of("Per request").prices[0] == Price(Unit.REQUESTS, PerUnit(2 * 10**9))


def test_subscription_minimum_and_discounts() -> None:
    """Fees are exact; 12.5 percent is one in eight."""
    team = terms_of("Subscription with included units")
    assert (team.subscription_pico, team.prices[0].included) == (20 * 10**12, 10 * M)
    least = terms_of("Minimum and discounts")
    assert least.minimum_pico == 500 * 10**12
    assert least.discounts == (PercentOff(1, 8), AmountOff(10 * 10**12))


def test_every_example_of_the_document_is_tested() -> None:
    """No example is left out: each of the seven kinds has one."""
    assert len(EXAMPLES) == DOCUMENT.count("```toml") == 7
    assert len({terms_of(heading).sha256 for heading in EXAMPLES}) == 7


def test_the_same_terms_have_the_same_hash() -> None:
    """The spelling and order of numbers do not change the hash of a plan; the terms themselves do."""
    one = 'currency = "USD"\n[[price]]\nunit = "requests"\neach = "1"'
    same = 'currency = "USD"\n[[price]]\neach = "1.00"\nunit = "requests"'
    other = one.replace('"1"', '"1.000001"')
    hashes = [read_plan(text, "p").terms.sha256 for text in (one, same, other)]
    assert hashes[0] == hashes[1] != hashes[2]


TIERS_OUT_OF_ORDER = """
currency = "USD"
[[price]]
unit = "requests"
volume = [{up_to = 2, each = "1"}, {up_to = 2, each = "1"}, {each = "1"}]
"""

BROKEN = {
    "not TOML": ("currency = ", "Invalid"),
    "no currency": ('name = "x"', "currency"),
    "unknown field": ('currency = "USD"\nprise = 1', "prise"),
    "unknown unit": ('currency = "USD"\n[[price]]\nunit = "tokens"\neach = "1"', "tokens"),
    "no unit of sale": (
        'currency = "USD"\n[[price]]\nunit = "minutes"\neach = "1"',
        "cannot be sold",
    ),
    "float": ('currency = "USD"\n[[price]]\nunit = "requests"\neach = 0.1', "str"),
    "no price": ('currency = "USD"\n[[price]]\nunit = "requests"', "give one of"),
    "two prices": (
        'currency = "USD"\n[[price]]\nunit = "requests"\neach = "1"\npackage = {size = 1, price = "1"}',
        "give one of",
    ),
    "price twice": (
        'currency = "USD"\n' + 2 * '[[price]]\nunit = "requests"\neach = "1"\n',
        "two prices for requests of any model",
    ),
    "too fine": (
        'currency = "USD"\n[[price]]\nunit = "requests"\nper_million = "0.0000001"',
        "six decimals",
    ),
    "negative": ('currency = "USD"\n[[price]]\nunit = "requests"\neach = "-1"', "negative"),
    "negative fee": ('currency = "USD"\nsubscription = "-1"', "negative"),
    "empty package": (
        'currency = "USD"\n[[price]]\nunit = "requests"\npackage = {size = 0, price = "1"}',
        "at least one",
    ),
    "no last tier": (
        'currency = "USD"\n[[price]]\nunit = "requests"\nvolume = [{up_to = 1, each = "1"}]',
        "last tier",
    ),
    "tiers out of order": (
        TIERS_OUT_OF_ORDER,
        "above the one before",
    ),
    "all and more off": ('currency = "USD"\n[[discount]]\npercent = "101"', "between 0 and 100"),
    "discount of what": ('currency = "USD"\n[[discount]]', "either percent or amount"),
    "date in quotes": ('currency = "USD"\neffective = "2026-12-01"', "without quotes"),
}


@pytest.mark.parametrize(("text", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_mistake_is_one_clear_line(text: str, reason: str) -> None:
    """A file that cannot be a plan is refused by name, with the reason, on one line."""
    with pytest.raises(UserError, match=reason) as caught:
        read_plan(text, "plan.toml")
    assert str(caught.value).startswith("plan.toml: ")
    assert "\n" not in str(caught.value)


@given(text=st.text(max_size=200))
def test_any_text_is_a_plan_or_a_user_error(text: str) -> None:
    """No file makes the reader fail in any other way."""
    with contextlib.suppress(UserError):
        read_plan(text, "plan.toml")
