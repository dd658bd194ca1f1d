"""Inferworks: an inference ecosystem as one program that knows what every answer cost.

The names in `__all__` are promised: they change only with a version that says so. Everything else may
change at any time. The package loads none of them before they are asked for, so importing it is instant.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inferworks.accounts.stores.base import Accounts
    from inferworks.books.bills.base import BillReader
    from inferworks.books.exports.base import Exporter
    from inferworks.books.statement.statement import Dimension
    from inferworks.books.workspace.import_options import ImportOptions
    from inferworks.books.workspace.workspace import Workspace
    from inferworks.clock import Clock
    from inferworks.cloud.backends.base import Backend
    from inferworks.cloud.providers.base import Provider
    from inferworks.errors import (
        BillError,
        BooksError,
        CallError,
        DataFolderError,
        InferworksError,
        JournalError,
        LakeError,
        MoneyError,
        UpstreamError,
        UserError,
    )
    from inferworks.hardware.engines.base import Engine
    from inferworks.meter.lakes.base import LakeStore
    from inferworks.meter.stores.base import JournalStore
    from inferworks.metering import metered
    from inferworks.money import Money, Rate, format_pico, parse_pico, split
    from inferworks.purpose import Purpose
    from inferworks.wiring.books import open_books

__version__ = "0.2.0"
__all__ = [
    "Accounts",
    "Backend",
    "BillError",
    "BillReader",
    "BooksError",
    "CallError",
    "Clock",
    "DataFolderError",
    "Dimension",
    "Engine",
    "Exporter",
    "ImportOptions",
    "InferworksError",
    "JournalError",
    "JournalStore",
    "LakeError",
    "LakeStore",
    "Money",
    "MoneyError",
    "Provider",
    "Purpose",
    "Rate",
    "UpstreamError",
    "UserError",
    "Workspace",
    "__version__",
    "format_pico",
    "metered",
    "open_books",
    "parse_pico",
    "split",
]

_PLACES = {
    "metering": ("metered",),
    "money": ("Money", "Rate", "format_pico", "parse_pico", "split"),
    "purpose": ("Purpose",),
    "errors": (
        "BillError",
        "BooksError",
        "CallError",
        "DataFolderError",
        "InferworksError",
        "JournalError",
        "LakeError",
        "MoneyError",
        "UpstreamError",
        "UserError",
    ),
    "clock": ("Clock",),
    "accounts.stores.base": ("Accounts",),
    "books.bills.base": ("BillReader",),
    "books.exports.base": ("Exporter",),
    "books.statement.statement": ("Dimension",),
    "books.workspace.import_options": ("ImportOptions",),
    "books.workspace.workspace": ("Workspace",),
    "cloud.backends.base": ("Backend",),
    "cloud.providers.base": ("Provider",),
    "hardware.engines.base": ("Engine",),
    "meter.lakes.base": ("LakeStore",),
    "meter.stores.base": ("JournalStore",),
    "wiring.books": ("open_books",),
}
"""The module that each public name is defined in."""


def __getattr__(name: str) -> Any:
    """Return a public name, loaded when it is first asked for."""
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"inferworks.{module}"), name)
    raise AttributeError(
        f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__]
    )


def __dir__() -> list[str]:
    return sorted(__all__)
