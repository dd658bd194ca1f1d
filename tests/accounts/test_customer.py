"""Names, currencies and ids of customers: what is taken, and what is refused with which words."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from inferworks.accounts.customer import (
    CustomerFact,
    currency_at,
    currency_code,
    customer_id,
    written_name,
)
from inferworks.errors import UserError
from inferworks.ids import CustomerId

ACME, OTHER = CustomerId("acme"), CustomerId("other")


def fact(effective_ns: int, currency: str | None, customer: CustomerId = ACME) -> CustomerFact:
    """A fact about the currency of `customer`."""
    return CustomerFact(
        customer=customer, effective_ns=effective_ns, recorded_ns=1, by="ada", currency=currency
    )


@pytest.mark.parametrize("text", ["a", "7", "acme-2.eu_west", "total", "a" * 63])
def test_a_short_lower_case_name_is_an_id(text: str) -> None:
    """An id is the text itself."""
    assert customer_id(text) == text


@pytest.mark.parametrize(
    "text", ["", "a" * 64, "Acme", "-acme", ".acme", "_acme", "a b", "a/b", "acme\n", "é"]
)
def test_other_text_is_no_id(text: str) -> None:
    """A refusal shows the text, at most 80 characters of it, and what is allowed."""
    with pytest.raises(UserError) as refused:
        customer_id(text)
    assert str(refused.value) == (
        f"customer name {text!r} is not usable: use up to 63 of a-z 0-9 . _ -, "
        "starting with a letter or digit"
    )


def test_a_long_refused_text_is_cut() -> None:
    """A page pasted by mistake does not fill the terminal."""
    with pytest.raises(UserError) as refused:
        customer_id("A" * 81)
    assert f"'{'A' * 80}'" in str(refused.value)
    with pytest.raises(UserError) as refused:
        currency_code("E" * 21)
    assert f"'{'E' * 20}'" in str(refused.value)


def test_a_currency_is_three_capital_letters() -> None:
    """Form alone is checked: any code of ISO 4217 may be a currency of the books."""
    assert currency_code("EUR") == "EUR"
    for text in ("", "EU", "EURO", "eur", "EU1", "€", "EUR\n", "ÄÖÜ"):
        with pytest.raises(UserError) as refused:
            currency_code(text)
        assert str(refused.value) == (
            f"currency {text!r} is not usable: write three capital letters, like EUR"
        )


def test_the_newest_currency_in_force_counts() -> None:
    """A fact holds from its moment on, that moment included, in whatever order the facts come."""
    facts = [fact(10, "EUR"), fact(20, "CHF"), fact(0, "GBP", OTHER)]
    for order in itertools.permutations(facts):
        told = {at: currency_at(order, ACME, at, "USD") for at in (9, 10, 19, 20, 10**18)}
        assert told == {9: "USD", 10: "EUR", 19: "EUR", 20: "CHF", 10**18: "CHF"}
        assert currency_at(order, OTHER, 5, "USD") == "GBP"


def test_a_fact_about_something_else_leaves_the_currency() -> None:
    """A later change of the name alone does not bring the usual currency back."""
    named = CustomerFact(customer=ACME, effective_ns=9, recorded_ns=9, by="ada", display_name="A")
    assert currency_at([fact(1, "EUR"), named, fact(9, "")], ACME, 9, "USD") == "EUR"
    assert currency_at([named], ACME, 9, "USD") == "USD"
    assert currency_at([], ACME, 9, "USD") == "USD"


def test_of_two_facts_of_one_moment_the_first_counts() -> None:
    """Facts with the same moment are told apart by their order."""
    assert currency_at([fact(1, "EUR"), fact(1, "CHF")], ACME, 1, "USD") == "EUR"


def test_an_unsaid_field_is_not_kept() -> None:
    """A fact is written without the fields that it leaves as they are."""
    assert msgspec.to_builtins(fact(5, "EUR")) == {
        "customer": "acme",
        "effective_ns": 5,
        "recorded_ns": 1,
        "by": "ada",
        "currency": "EUR",
    }


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", ""),
        ("  Acme \t Ltd.\n", "Acme Ltd."),
        ("Cafe\u0301", "Caf\u00e9"),
        ("日本電気", "日本電気"),
        ("Totally", "Totally"),
        ("a (b)", "a (b)"),
        ("x" * 100, "x" * 100),
        ("e\u0301" * 100, "\u00e9" * 100),
    ],
)
def test_a_name_is_written_in_one_way(text: str, name: str) -> None:
    """One blank between words, letters composed; and a written name is written the same again."""
    assert written_name(text) == name
    assert written_name(name) == name


@pytest.mark.parametrize("text", ["x" * 101, "a\x07b", "a\u200bb", "a\u202eb", "a\ue000b"])
def test_a_name_that_no_table_can_show_is_refused(text: str) -> None:
    """Control characters, invisible ones and more than 100 characters are shown escaped, and cut."""
    with pytest.raises(UserError) as refused:
        written_name(text)
    assert str(refused.value) == (
        f"name {text[:80]!a} is not usable: use up to 100 printed characters"
    )


@pytest.mark.parametrize("text", ["(unattributed)", "( x", "total", "TOTAL", " Total "])
def test_a_name_of_a_row_of_statements_is_refused(text: str) -> None:
    """No customer can pass for a sum, or for nobody."""
    with pytest.raises(UserError, match="is not usable: statements have a row of their own"):
        written_name(text)
