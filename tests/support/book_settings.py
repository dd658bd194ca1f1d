"""Settings of the books of a folder, without a gateway and without a command line."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.books.bills.base import bill_file
from inferworks.books.charge import Charge
from inferworks.books.repository.store import BookStore
from inferworks.books.workspace.settings import Settings
from inferworks.clock import SimClock
from inferworks.folder import DataFolder
from inferworks.meter.lakes.detect import lake_at
from inferworks.meter.lakes.stub import MemoryLake
from inferworks.meter.record import Record
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.wiring.usage_reports import record_usage

NOVEMBER_NS, DECEMBER_NS = 1_793_491_200 * 10**9, 1_796_083_200 * 10**9
JANUARY_NS = 1_798_761_600 * 10**9
"""The first moments of November and December 2026, and of January 2027."""


def settings_of(folder: DataFolder, at_ns: int = JANUARY_NS, **changes: Any) -> Settings:
    """The settings of `folder` at a moment, but for `changes`; its lake is empty and in memory."""
    given: dict[str, Any] = {
        "folder": folder,
        "lake": MemoryLake,
        "accounts": lambda: closing(SqliteAccounts(folder.accounts, read_only=True)),
        "change_accounts": lambda: closing(SqliteAccounts(folder.accounts)),
        "object_store": lake_at,
        "record_usage": lambda reports: record_usage(reports, folder),
        "clock": SimClock(at_ns),
    }
    return Settings(**given | changes)


def a_folder(path: Path) -> DataFolder:
    """An empty data folder in `path`."""
    folder = DataFolder(path / "data")
    folder.create()
    return folder


def enter(folder: DataFolder, name: str, *charges: Charge) -> None:
    """Put `charges` into the books as those of a file of vouchers."""
    with BookStore(folder.books) as store:
        store.add(bill_file(f"{name}.csv", name.encode()), "voucher", charges, 1)


def record(folder: DataFolder, *records: Record) -> None:
    """Write `records` to the journal."""
    with closing(SqliteStore(folder.journal)) as store:
        store.open()
        store.write(records)
