"""`inferworks prices`: list prices of other people's APIs, and the pinned lists."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import click

from inferworks.catalog.genai import installed_book
from inferworks.catalog.pins import list_prices
from inferworks.catalog.pins import pin as keep_pin
from inferworks.catalog.prices import ListRate
from inferworks.cli.books.dates import moments
from inferworks.cli.options import config_option, data_folder, data_option, json_option
from inferworks.cli.show import print_json, print_table, say
from inferworks.clock import SystemClock
from inferworks.errors import UserError

_MILLION = 10**6


@click.group()
def prices() -> None:
    """List prices of providers: show them, pin them."""


@prices.command()
@click.argument("model")
@click.option("--provider", metavar="NAME", help="One provider.  [default: all that list it]")
@click.option("--at", "at_text", metavar="DATE", help="A day or moment (UTC).  [default: now]")
@config_option
@data_option
@json_option
def show(
    model: str,
    provider: str | None,
    at_text: str | None,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Show what a model costs at its providers, in US dollars: tokens per million, the rest as listed.

    \b
    Examples:
      inferworks prices show gpt-5-mini
      inferworks prices show claude-sonnet-4-5 --provider anthropic --at 2026-01-01 --json
    """
    given_ns, _ = moments(at_text, None)
    at_ns = SystemClock().now_ns() if given_ns is None else given_ns
    book = list_prices(data_folder(config_path, data_path).price_books).at(at_ns)
    sellers = [provider] if provider else book.sellers(model)
    found = [price for name in sellers if (price := book.list_price(name, model, at_ns))]
    if not found:
        where = f" at {provider}" if provider else ""
        raise UserError(f"no list price of {model!r}{where} in {book.book.source}")
    if as_json:
        print_json(
            [
                {
                    "provider": price.provider,
                    "model": price.model,
                    "currency": "USD",
                    "book_sha256": price.book_sha256,
                    "rates": [
                        {"unit": unit, "price_per_million": text, "above_input_tokens": above}
                        for unit, rate in price.rates.items()
                        for above, text in _steps(rate, _MILLION)
                    ],
                }
                for price in found
            ]
        )
        return
    rows = []
    for price in found:
        for unit, rate in price.rates.items():
            per = _MILLION if unit.endswith("_tokens") else rate.per
            for above, text in _steps(rate, per):
                start = "-" if above is None else f"{above + 1:,}"
                rows.append((price.provider, price.model, unit.value, text, f"{per:,}", start))
    columns = ("PROVIDER", "MODEL", "UNIT", "PRICE", "PER", "FROM INPUT")
    print_table(columns, rows, right="PRICE PER")
    say("", f"{book.book.source}, {book.sha256[:12]}")


@prices.command()
@click.option("--from", "from_text", metavar="DATE", help="Start of its validity.  [default: now]")
@config_option
@data_option
@json_option
def pin(
    from_text: str | None, config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """Use the installed price list from now on, and keep a copy in the data folder.

    Prices never change by themselves: after an upgrade of the package genai-prices the old list holds
    until the new one is pinned. Estimates in closed periods stay.

    \b
    Examples:
      inferworks prices pin
      inferworks prices pin --from 2026-12-01
    """
    folder = data_folder(config_path, data_path)
    folder.create()
    given_ns, _ = moments(from_text, None)
    from_ns = SystemClock().now_ns() if given_ns is None else given_ns
    made = keep_pin(folder.price_books, installed_book(), from_ns)
    if as_json:
        print_json(made)
    else:
        say(f"{made.source} is pinned: {made.sha256}")


def _steps(rate: ListRate, per: int) -> list[tuple[int | None, str]]:
    """The prices of `per` units, each with the input tokens above which it applies; exact.

    What the list's own prices are for divides a million, and `per` is that or a million.
    """
    steps = [(None, rate.price), *((tier.above, tier.price) for tier in rate.tiers)]
    times = per // rate.per
    return [(above, text if times == 1 else f"{Decimal(text) * times:f}") for above, text in steps]
