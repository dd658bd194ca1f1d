"""List prices for routes: read when the pins change, and never in between."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inferworks.catalog.prices import ListPrice, ListRate
from inferworks.cloud.offer import Rates
from inferworks.errors import UserError
from inferworks.units import Unit
from inferworks.wiring import rates
from inferworks.wiring.rates import ListRates

PER = 1_000_000
BOTH = {Unit.INPUT_TOKENS: ListRate("0.25", PER), Unit.OUTPUT_TOKENS: ListRate("2", PER)}


class Prices:
    """List prices of one model of `acme`."""

    def __init__(self, listed: dict[Unit, ListRate]) -> None:
        self.listed = listed

    def list_price(self, seller: str, model: str, _at_ns: int) -> ListPrice | None:
        """The price of `m` at `acme`."""
        known = (seller, model) == ("acme", "m")
        return ListPrice(seller, model, self.listed, "") if known else None


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were read, in order; each has the prices `BOTH`."""
    found: list[Path] = []

    def read(folder: Path) -> Prices:
        found.append(folder)
        return Prices(BOTH)

    monkeypatch.setattr(rates, "list_prices", read)
    return found


def test_prices_are_per_token_in_picounits(tmp_path: Path, reads: list[Path]) -> None:
    """A quarter of a dollar for a million is 250,000 picounits for each; what is not listed has none."""
    rates_of = ListRates(tmp_path).now()
    assert rates_of("acme", "m") == Rates(250_000, 2_000_000)
    assert rates_of("acme", "other") is None
    assert rates_of("other", "m") is None
    assert reads == [tmp_path]


@pytest.mark.parametrize("missing", [Unit.INPUT_TOKENS, Unit.OUTPUT_TOKENS])
def test_a_price_of_one_side_is_no_price(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: Unit
) -> None:
    """Unknown is not free: an offer with half a price would win every comparison."""
    listed = {unit: rate for unit, rate in BOTH.items() if unit is not missing}
    monkeypatch.setattr(rates, "list_prices", lambda _: Prices(listed))
    assert ListRates(tmp_path).now()("acme", "m") is None


def test_a_fraction_of_a_picounit_is_rounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rates are compared, not charged: half a picounit does not matter."""
    listed = {**BOTH, Unit.INPUT_TOKENS: ListRate("0.0000026", PER)}
    monkeypatch.setattr(rates, "list_prices", lambda _: Prices(listed))
    assert ListRates(tmp_path).now()("acme", "m") == Rates(3, 2_000_000)


def test_prices_are_read_anew_when_pins_change(tmp_path: Path, reads: list[Path]) -> None:
    """A folder that was not there, is there, and has changed: three readings, however often asked."""
    folder = tmp_path / "price-books"
    listed = ListRates(folder)
    assert listed.newest is None
    for expected in (1, 1):
        listed.now()
        assert len(reads) == expected
    before = listed.newest
    folder.mkdir()
    for expected in (2, 2):
        listed.now()
        assert len(reads) == expected
    assert listed.newest is not before
    os.utime(folder, ns=(1, 1))
    for expected in (3, 3):
        listed.now()
        assert len(reads) == expected


def test_a_list_that_nobody_pinned_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Routes go on without prices, and the reason is in the log."""

    def refuse(_: Path) -> Prices:
        raise UserError("pin it")

    monkeypatch.setattr(rates, "list_prices", refuse)
    listed = ListRates(tmp_path)
    for _ in range(3):
        assert listed.now()("acme", "m") is None
    assert listed.newest is None
    assert [record.getMessage() for record in caplog.records] == ["routes know no prices: pin it"]
