"""Options of an import: answers to what the files themselves leave open."""

from __future__ import annotations

import zoneinfo
from pathlib import Path

import msgspec

from inferworks.books.bills.spelling import GivenSpelling, Order
from inferworks.books.deliveries.decide import Answer
from inferworks.choices import one_of, path_of
from inferworks.errors import UserError
from inferworks.visible import quoted


class ImportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Answers to what the files of an import leave open. UserError for a value that means nothing.

    `mapping` is a file that maps columns, for files of unknown form. `overlap` counts a file that overlaps
    another beside it (`part`) or in its place (`replace`); empty refuses it. `decimal_mark` (`.` or `,`)
    and the order of `dates` (`MDY`, `DMY` or `YMD`) settle numbers such as 1,234 and days such as
    11/1/2026; empty leaves that to the file. `zone` is the time zone of moments that name none, such as
    Europe/Berlin; empty is UTC.

    >>> options = ImportOptions(overlap="replace", decimal_mark=",", dates="DMY")
    >>> open_books("inferworks-data").import_bills("payroll.csv", options).refused
    ('cannot read payroll.csv: No such file or directory',)
    """

    mapping: str | Path | None = None
    overlap: str = ""
    decimal_mark: str = ""
    dates: str = ""
    zone: str = ""

    def __post_init__(self) -> None:
        known = {"overlap": Answer, "decimal_mark": (".", ","), "dates": Order}
        for name, values in known.items():
            value = getattr(self, name)
            if value != "":
                one_of(name, value, values)
        if self.mapping is not None:
            path_of("mapping", self.mapping)
        if not isinstance(self.zone, str) or (self.zone and not is_zone(self.zone)):
            raise UserError(f"zone: {quoted(self.zone)} is no time zone, such as Europe/Berlin")

    @property
    def answer(self) -> Answer | None:
        """The answer about files that overlap others."""
        return Answer(self.overlap) if self.overlap else None

    @property
    def spelling(self) -> GivenSpelling:
        """The formats of numbers and moments, as readers of files take them."""
        return GivenSpelling(
            self.decimal_mark, Order(self.dates) if self.dates else None, self.zone
        )


def is_zone(name: str) -> bool:
    """Return True if `name` is that of a time zone."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
