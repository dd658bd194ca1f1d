"""The books of a configuration: their stores, opened when asked for, and the operator's own rules."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from inferworks.books.accruals.expected_bills import Expected
from inferworks.books.allocation.departments import read_departments
from inferworks.books.deliveries.canonical import normal
from inferworks.books.workspace.settings import EngineName, Settings
from inferworks.books.workspace.workspace import Workspace
from inferworks.choices import path_of
from inferworks.clock import SystemClock
from inferworks.config import Config, Supplier, load
from inferworks.errors import DataFolderError, UserError
from inferworks.folder import DataFolder
from inferworks.meter.lakes.detect import lake_at
from inferworks.wiring.accounts import accounts_reader, change_accounts
from inferworks.wiring.billing import billing_table
from inferworks.wiring.usage_reports import record_usage


def open_books(
    folder: str | Path,
    config: str | Path | None = None,
    note: Callable[[str], object] = lambda _: None,
) -> Workspace:
    """Open the accounting service of a data folder: imports, statements, explanations, closes, exports.

    `config` is a file of settings; without one, `inferworks.toml` of the working directory and the
    environment are read. `note` is called with sentences that qualify a result. Stores are opened for each
    question and closed after it. UserError when a setting or the folder cannot be used. A folder that
    holds no books yet is begun by the first import; until then, a question raises DataFolderError.

    >>> books = open_books("inferworks-data")
    >>> october = books.query("2025-10")
    >>> statement = books.statement(october)
    >>> format_pico(statement.revenue_pico), format_pico(statement.cost_of_revenue_pico)
    ('60738.277615354839', '9885.3512654')
    >>> books.verify()
    Verified(findings=[], closes=2)
    """
    if not str(folder).strip():
        raise DataFolderError(
            "the name of the data folder is empty; name one, as in inferworks-data"
        )
    if config is not None and not str(config).strip():
        raise UserError("the name of the configuration file is empty; name one, or leave it out")
    place = path_of("folder", folder)
    read = load(None if config is None else path_of("config", config), os.environ)
    data = msgspec.structs.replace(read.data, folder=str(place))
    return Workspace(book_settings(msgspec.structs.replace(read, data=data)), note)


def book_settings(config: Config) -> Settings:
    """Return the settings of the books that `config` names. ConfigError for one that means nothing."""
    folder, books = DataFolder(Path(config.data.folder)), config.books
    suppliers = {}  # whose bills every month must have; the last of each name counts
    for one in books.suppliers:
        supplier = Supplier(name=one) if isinstance(one, str) else one
        name = normal(supplier.name)
        suppliers[name.casefold()] = Expected(
            name, supplier.accrue, supplier.since, supplier.department, supplier.until
        )
    return Settings(
        folder=folder,
        lake=lambda: lake_at(config.lake.url or str(folder.lake)),
        accounts=accounts_reader(config),
        shares_accounts=bool(config.store.url),
        change_accounts=lambda: change_accounts(config, os.environ),
        object_store=lake_at,
        record_usage=lambda reports: record_usage(reports, folder),
        clock=SystemClock(),
        currency=books.currency,
        policy=books.policy,
        departments=read_departments(books.departments, books.department_tags),
        recoverable_taxes=books.recoverable_taxes,
        billing=billing_table(config),
        suppliers=tuple(suppliers[name] for name in sorted(suppliers)),
        chart=Path(books.chart) if books.chart else None,
        engine=EngineName(books.engine),
        memory_bytes=int(books.memory_gb * 2**30),
        threads=books.threads,
        spark_master=books.spark_master,
    )
