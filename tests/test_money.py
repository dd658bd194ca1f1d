"""Theorems 1 and 2: money is exact, and dividing it loses nothing."""

from __future__ import annotations

import operator
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.errors import MoneyError
from inferworks.money import (
    PICO,
    Money,
    Rate,
    entered_pico,
    format_pico,
    parse_pico,
    round_pico,
    rounded_pico,
    split,
    total,
)

amounts = st.integers(-(10**30), 10**30)
weights = st.dictionaries(
    st.text(max_size=3), st.integers(0, 10**20), min_size=1, max_size=12
).filter(lambda w: sum(w.values()) > 0)
prices = st.integers(0, 10**12).map(lambda n: f"{n // 10**6}.{n % 10**6:06d}")


@given(prices, st.integers(0, 10**15))
def test_a_price_with_six_decimals_times_tokens_never_rounds(price: str, tokens: int) -> None:
    """Theorem 1: the rated amount equals the exact rational product."""
    amount = Rate.per_million(price, "USD").times(tokens)
    assert Fraction(amount.pico, PICO) == Fraction(price) * tokens / 10**6


@given(amounts)
def test_writing_an_amount_and_reading_it_changes_nothing(pico: int) -> None:
    """The decimal text of an amount is exact."""
    if abs(pico) < 10**38:
        assert parse_pico(format_pico(pico)) == pico


@given(amounts, weights)
def test_the_parts_of_a_split_sum_to_the_whole(whole: int, shares: dict[str, int]) -> None:
    """Theorem 2: nothing is lost, and each part is within one unit of its exact share."""
    parts = split(whole, shares)
    assert sum(parts.values()) == whole
    for key, part in parts.items():
        assert abs(part - Fraction(whole * shares[key], sum(shares.values()))) < 1


@given(amounts, weights, st.randoms(use_true_random=False))
def test_a_split_does_not_depend_on_the_order_of_its_input(
    whole: int, shares: dict[str, int], random: object
) -> None:
    """Theorem 2: ties are settled by key, never by position."""
    backwards = dict(reversed(list(shares.items())))
    assert split(whole, shares) == split(whole, backwards)


@given(amounts, weights)
def test_a_credit_is_split_by_the_ratios_of_a_charge(whole: int, shares: dict[str, int]) -> None:
    """Theorem 2: the parts of a negative amount are the negated parts of the positive one."""
    assert split(-whole, shares) == {key: -part for key, part in split(whole, shares).items()}


@pytest.mark.parametrize("shares", [{}, {"a": 0}, {"a": 3, "b": -1}])
def test_weights_that_cannot_divide_are_refused(shares: dict[str, int]) -> None:
    """A driver of zero is the caller's to place; it is never guessed."""
    with pytest.raises(MoneyError):
        split(10, shares)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "1,000.00",
        "nan",
        "inf",
        "0.0000000000001",
        "1e40",
        "1" * 65,
        "1 2",
        "--1",
        "١",
        "1.٥",
    ],
)
def test_what_is_no_exact_amount_is_refused(text: str) -> None:
    """A bill's cell is either an exact amount or an error."""
    with pytest.raises(MoneyError):
        parse_pico(text)


@pytest.mark.parametrize(
    ("text", "pico"),
    [
        ("1", PICO),
        ("-0.5", -PICO // 2),
        ("1.50E-5", 15_000_000),
        (".25", PICO // 4),
        ("2.", 2 * PICO),
    ],
)
def test_the_ways_to_write_an_amount(text: str, pico: int) -> None:
    """Plain decimals, with an exponent where a bill has one."""
    assert parse_pico(text) == pico


def test_a_price_finer_than_six_decimals_is_refused() -> None:
    """A finer price could not be multiplied without rounding."""
    with pytest.raises(MoneyError, match="six decimals"):
        Rate.per_million("0.0000001", "USD")


def test_currencies_are_never_added() -> None:
    """A sum across currencies needs a dated rate, which addition does not have."""
    with pytest.raises(MoneyError, match="EUR"):
        total([Money(1, "USD"), Money(1, "EUR")], "USD")


def test_rounding_is_for_people_and_half_goes_to_even() -> None:
    """Rounded text is shown, never summed."""
    assert round_pico(parse_pico("0.125"), places=2) == "0.12"
    assert round_pico(parse_pico("-0.135"), places=2) == "-0.14"


@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge])
def test_only_amounts_of_one_currency_have_an_order(
    compare: Callable[[Money, Money], bool],
) -> None:
    """A dollar is neither more nor less than two euros without a dated rate."""
    one, two = Money.parse("1", "USD"), Money.parse("2", "USD")
    assert compare(one, two) == compare(1, 2)  # type: ignore[arg-type]
    assert compare(two, two) == compare(2, 2)  # type: ignore[arg-type]
    with pytest.raises(MoneyError, match="cannot compare EUR with USD"):
        compare(one, Money.parse("2", "EUR"))


@pytest.mark.parametrize("currency", ["usd", "DOLLARS", "US", "", "US$", "ÄÖÜ", "USD\n"])
def test_a_currency_is_three_capital_letters(currency: str) -> None:
    """A code that is none would be another currency than the one it means."""
    with pytest.raises(MoneyError, match="three capital letters"):
        Money.parse("1", currency)
    with pytest.raises(MoneyError, match="three capital letters"):
        Rate.per_million("1", currency)


def test_a_difference_across_currencies_says_what_was_asked() -> None:
    """A subtraction is not called an addition."""
    with pytest.raises(MoneyError, match="cannot subtract EUR from USD"):
        Money(1, "USD") - Money(1, "EUR")


@pytest.mark.parametrize("shares", [{"a": 1.5, "b": 1}, {"a": 1.0}, {"a": Decimal(1)}])
def test_weights_that_are_no_integers_are_refused(shares: dict[str, Any]) -> None:
    """Parts that are floats would lose money."""
    with pytest.raises(MoneyError, match="integers"):
        split(10, shares)
    with pytest.raises(MoneyError, match="integers"):
        split(10.0, {"a": 1})  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [1.5, "1", None, True, Decimal(1), [1], "x" * 100_000])
def test_what_is_no_integer_is_no_amount(number: Any) -> None:
    """Amounts, rates, units and what is written are integers; all else is refused in a short line."""
    rate = Rate(1, "USD")
    refused: list[Callable[[], object]] = [
        lambda: Money(number, "USD"),
        lambda: Rate(number, "USD"),
        lambda: rate.times(number),
        lambda: format_pico(number),
        lambda: Money(1, number),
        lambda: Money(1, "USD") + number,
        lambda: Money(1, "USD") < number,
        lambda: split(100, number),
    ]
    for refuse in refused:
        with pytest.raises(MoneyError) as caught:
            refuse()
        assert len(str(caught.value)) < 200


def test_what_people_enter_is_digits_and_a_point() -> None:
    """Up to 10^18 units; a number as programs write it is more probably a slip."""
    assert entered_pico("-12.5") == -12_500_000_000_000
    assert entered_pico("1" + "0" * 18) == 10**30
    for text in ("1e3", " 1 ", "+5", "1.", ".5", "", "NaN", "1" * 5_000, "1" + "0" * 18 + ".01"):
        with pytest.raises(MoneyError):
            entered_pico(text)


@pytest.mark.parametrize("places", [1.5, -1, 13, None])
def test_places_are_those_of_a_picounit(places: Any) -> None:
    """More decimals than a picounit has are refused, as is half a decimal."""
    with pytest.raises(MoneyError, match="is no integer from 0 to 12"):
        format_pico(1, places=places)


@pytest.mark.parametrize("read", [parse_pico, rounded_pico])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "not a decimal number as text: None"),
        (1.5, "not a decimal number as text: 1.5"),
        (b"1", "not a decimal number as text: b'1'"),
        ("1" * 5_000, "a number of 5000 characters; at most 64 are read"),
        ("ten", "not a plain decimal number: 'ten'"),
    ],
)
def test_what_is_read_is_a_number_as_text(
    read: Callable[[Any], object], text: Any, words: str
) -> None:
    """A value that is no text, is too long or is no number is refused for what it is."""
    with pytest.raises(MoneyError) as caught:
        read(text)
    assert str(caught.value) == words
