"""Options of an import: answers to what the files themselves leave open."""

from __future__ import annotations

import zoneinfo
from pathlib import Path

import msgspec

from inferworks.books.bills.spelling import Order, Told
from inferworks.books.deliveries.decide import Answer
from inferworks.errors import UserError


class ImportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Answers to what the files of an import leave open. UserError for a value that means nothing.

    >>> options = ImportOptions(overlap="replace", decimal_mark=",", dates="DMY")
    >>> open_books("inferworks-data").import_bills("payroll.csv", options).refused
    ('cannot read payroll.csv: No such file or directory',)
    """

    mapping: Path | None = None
    """File that maps columns, for files of unknown form."""
    overlap: str = ""
    """`part` counts a file beside the one that it overlaps, `replace` in its place; empty refuses it."""
    decimal_mark: str = ""
    """Decimal mark of numbers such as 1,234: `.` or `,`; empty where the file decides."""
    dates: str = ""
    """Order of dates such as 11/1/2026: `MDY`, `DMY` or `YMD`; empty where the file decides."""
    zone: str = ""
    """Time zone of moments that name none, such as Europe/Berlin; empty is UTC."""

    def __post_init__(self) -> None:
        known = {"overlap": Answer, "decimal_mark": (".", ","), "dates": Order}
        for name, values in known.items():
            value = getattr(self, name)
            if value and value not in list(values):
                raise UserError(f"{name}: {value!r} is none of {', '.join(values)}")
        if self.zone and not is_zone(self.zone):
            raise UserError(f"zone: {self.zone!r} is no time zone, such as Europe/Berlin")

    @property
    def answer(self) -> Answer | None:
        """The answer about files that overlap others."""
        return Answer(self.overlap) if self.overlap else None

    @property
    def spelling(self) -> Told:
        """The formats of numbers and moments, as readers of files take them."""
        return Told(self.decimal_mark, Order(self.dates) if self.dates else None, self.zone)


def is_zone(name: str) -> bool:
    """Return True if `name` is that of a time zone."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
