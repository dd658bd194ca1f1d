"""A bill reader that returns given charges. For tests and examples."""

from __future__ import annotations

from collections.abc import Sequence

from inferworks.books.bills.base import BillFile, Progress
from inferworks.books.charge import Charge
from inferworks.books.currency import NO_RATES, Rates


class StubBillReader:
    """Recognises a file whose first column is `stub` and answers with `charges`."""

    kind = "stub"

    def __init__(self, charges: Sequence[Charge] = ()) -> None:
        self._charges = tuple(charges)

    def recognises(self, header: Sequence[str]) -> bool:
        """Return True if the file is for this reader."""
        return list(header[:1]) == ["stub"]

    def read(
        self, bill: BillFile, currency: str, progress: Progress, rates: Rates = NO_RATES
    ) -> tuple[Charge, ...]:
        """The charges given at the start."""
        progress(len(self._charges))
        return self._charges
