"""Settings of the books: the stores that they read, and the company's own rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path

import msgspec

from inferworks.accounts.stores.base import Accounts
from inferworks.books.accruals.expected_bills import Expected
from inferworks.books.allocation.departments import SHIPPED, Departments
from inferworks.catalog.billing import BillingTable, shipped_table
from inferworks.clock import Clock, SystemClock
from inferworks.folder import DataFolder
from inferworks.meter.activity import Received
from inferworks.meter.events import Reported
from inferworks.meter.lakes.base import LakeStore


class EngineName(StrEnum):
    """Name of an engine that computes statements. All give the same figures."""

    AUTO = "auto"
    """The definition for few facts, DuckDB for many."""
    REFERENCE = "reference"
    """The definition: every call in memory; what explains figures."""
    DUCKDB = "duckdb"
    """Relations on this machine, within the memory that is set."""
    SPARK = "spark"
    """The same relations on a Spark session or cluster."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Stores and rules of the books of one data folder, as plain values and openers."""

    folder: DataFolder
    lake: Callable[[], LakeStore]
    """Opens the lake of the folder."""
    accounts: Callable[[], AbstractContextManager[Accounts]]
    """Opens the accounts of the folder for reading, where there are any."""
    change_accounts: Callable[[], AbstractContextManager[Accounts]]
    """Opens the accounts of the folder for changes."""
    object_store: Callable[[str], LakeStore]
    """Opens the object store at a URL that bills are imported from."""
    record_usage: Callable[[Sequence[Reported]], Received]
    """Records imported usage with the meter of the folder, each report once."""
    shares_accounts: bool = False
    """True if the accounts are those of several gateways, which a folder loads when they are first read."""
    clock: Clock = msgspec.field(default_factory=SystemClock)
    currency: str = "USD"
    """Currency of the books that are yet to be begun."""
    policy: str = "gaap"
    """Policy of a statement for which none is named."""
    departments: Departments = SHIPPED
    recoverable_taxes: tuple[str, ...] = ()
    billing: BillingTable = msgspec.field(default_factory=shipped_table)
    suppliers: tuple[Expected, ...] = ()
    """Suppliers whose bills every month must have."""
    chart: Path | None = None
    """Chart of accounts of exported journals."""
    engine: EngineName = EngineName.AUTO
    memory_bytes: int = 5 * 2**29
    """Memory that an engine may take; beyond, it uses the disk."""
    threads: int = 2
    spark_master: str = "local[2]"

    @property
    def has_accounts(self) -> bool:
        """True if there are accounts to be read."""
        return self.shares_accounts or self.folder.accounts.exists()
