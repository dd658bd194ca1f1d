"""Providers' list prices per token, for routes that compare offers by cost."""

from __future__ import annotations

import logging
from pathlib import Path

from inferworks.catalog.pins import ListPrices, list_prices
from inferworks.clock import SystemClock
from inferworks.cloud.offer import Rates
from inferworks.errors import UserError
from inferworks.units import Unit
from inferworks.wiring.plan import RatesOf

_log = logging.getLogger("inferworks.prices")


class ListRates:
    """List prices by the pins in `folder`, read anew only when the pins change: reading takes 0.1 s."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: tuple[int, ListPrices | None] | None = None

    def now(self) -> RatesOf:
        """Prices as they are now; none at all where the installed price list was not pinned."""
        stamp = self._folder.stat().st_mtime_ns if self._folder.exists() else 0
        if self._read is None or self._read[0] != stamp:
            try:
                self._read = stamp, list_prices(self._folder)
            except UserError as error:
                _log.warning("routes know no prices: %s", error)
                self._read = stamp, None
        prices = self._read[1]
        if prices is None:
            return lambda _seller, _model: None
        at_ns = SystemClock().now_ns()
        return lambda seller, model: _rates(prices, seller, model, at_ns)

    @property
    def newest(self) -> ListPrices | None:
        """The list prices that were read last, when the plan in force was made; None without any."""
        return self._read[1] if self._read else None


def _rates(prices: ListPrices, seller: str, model: str, at_ns: int) -> Rates | None:
    """The price of a token of a small request; None when the list does not know both sides."""
    price = prices.list_price(seller, model, at_ns)
    if price is None:
        return None
    input_pico = price.pico_per_unit(Unit.INPUT_TOKENS, 0)
    output_pico = price.pico_per_unit(Unit.OUTPUT_TOKENS, 0)
    if input_pico is None or output_pico is None:
        return None
    return Rates(round(input_pico), round(output_pico))
