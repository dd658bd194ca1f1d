"""Pins of price books: dated, only added, and checked by their hash."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from inferworks.catalog.genai import installed_book
from inferworks.catalog.pins import list_prices, pin, pins
from inferworks.catalog.prices import (
    DatedRates,
    Is,
    ListedModel,
    ListedProvider,
    ListRate,
    PriceBook,
)
from inferworks.errors import UserError
from inferworks.units import Unit

INPUT, OUTPUT = Unit.INPUT_TOKENS, Unit.OUTPUT_TOKENS


@pytest.mark.slow
def test_a_newer_list_is_not_used_until_it_is_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upgrading the package changes no price by itself; a pin does, from its date on."""
    pin(tmp_path, installed_book(), 100)
    rates = DatedRates({INPUT: ListRate("7", 10**6)})
    seller = ListedProvider("openai", (ListedModel("gpt-4o", Is("gpt-4o"), (rates,)),))
    newer = PriceBook("genai-prices 9", (seller,))
    monkeypatch.setattr("inferworks.catalog.pins.installed_book", lambda: newer)
    at = [price_at(tmp_path, moment) for moment in (0, 100, 1000)]
    assert at == [at[0]] * 3 != [7 * 10**6] * 3
    pin(tmp_path, newer, 1000)
    assert [price_at(tmp_path, moment) for moment in (0, 999, 1000)] == [at[0], at[0], 7 * 10**6]


def price_at(folder: Path, at_ns: int) -> Fraction | None:
    """Picounits of an input token of gpt-4o at `at_ns`."""
    price = list_prices(folder).list_price("openai", "gpt-4o", at_ns)
    return None if price is None else price.pico_per_unit(INPUT, 0)


def test_an_unknown_list_without_a_pin_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed list that nobody pinned and we do not know is one clear error."""
    monkeypatch.setattr("inferworks.catalog.pins.installed_book", lambda: PriceBook("x 2", ()))
    with pytest.raises(UserError, match="inferworks prices pin"):
        list_prices(tmp_path)


def test_pins_are_only_added_after_the_last(tmp_path: Path) -> None:
    """The same book twice is one pin; a pin in the past is refused; nothing half-written stays."""
    first = pin(tmp_path, installed_book(), 100)
    assert pin(tmp_path, installed_book(), 200) == first
    with pytest.raises(UserError, match="only added"):
        pin(tmp_path, PriceBook("x 2", ()), 100)
    assert pins(tmp_path) == [first]
    assert {path.name for path in tmp_path.iterdir()} == {"pins.json", f"{first.sha256}.json"}


@pytest.mark.slow
def test_an_altered_book_is_refused(tmp_path: Path) -> None:
    """A pinned book must still have the hash it was pinned by, and must be there."""
    made = pin(tmp_path, installed_book(), 1)
    path = tmp_path / f"{made.sha256}.json"
    path.write_bytes(path.read_bytes().replace(b'"price":"2"', b'"price":"1"', 1))
    with pytest.raises(UserError, match="was altered"):
        list_prices(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        list_prices(tmp_path)


@pytest.mark.slow
def test_the_book_that_ships_is_read_from_its_package_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second start finds it in the folder, by its hash; an altered file is not believed."""
    folder, reads = tmp_path / "price-books", []
    read = installed_book

    def counted() -> PriceBook:
        reads.append(1)
        return read()

    monkeypatch.setattr("inferworks.catalog.pins.installed_book", counted)
    found = [price_at(folder, 1) for _ in range(2)]
    assert len(reads) == 1
    [path] = folder.iterdir()
    path.write_bytes(path.read_bytes().replace(b'"price":"2"', b'"price":"1"', 1))
    found += [price_at(folder, 1) for _ in range(2)]
    assert len(reads) == 2
    assert len({*found}) == 1
    assert found[0] is not None
    assert pins(folder) == []


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    """Prices are read all the same; no data folder is made for them."""
    assert price_at(tmp_path / "data" / "price-books", 1) is not None
    assert list(tmp_path.iterdir()) == []
