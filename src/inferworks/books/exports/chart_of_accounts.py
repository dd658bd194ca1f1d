"""The chart of accounts: a map from the accounts of the books to those of a general ledger.

A chart is a TOML file one can read and copy (`chart.toml` is the one that ships). It must be *total*,
like a policy: when it is loaded, an account name of every kind is tried, and one that no row takes is
refused by name, unless the file states a default. So no journal fails half way, and no account is mapped
by accident. A pattern that can never match after an earlier one is refused too.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cached_property
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from inferworks.books.accounting.entries import BALANCE_SHEET
from inferworks.books.charge import Function, NaturalClass
from inferworks.books.revenue.rating import Item
from inferworks.errors import ConfigError
from inferworks.files import text_of
from inferworks.misfit import form, misfit

ROUNDING: Final = "Expenses:Rounding"
"""Account of rounding differences; no entry of the books has it."""
_ROOTS: Final = ("Assets", "Liabilities", "Equity", "Income", "Expenses", "Costs")
_ANY: Final = "(any)"
"""Placeholder for a pool, a customer or a supplier when a chart is tried."""
_LISTED: Final = 5
_MOST_PATTERNS: Final = 2_000
_LARGEST_BYTES: Final = 2**20

Text = Annotated[str, Meta(min_length=1, max_length=100)]
Number = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9]+([.-][A-Za-z0-9]+)*$",
        max_length=20,
        extra=form("letters and digits, with single dots or dashes between, such as 4000-10"),
    ),
]


class Account(NamedTuple):
    """An account as a journal names it."""

    name: str
    number: str = ""
    """Number in a chart; empty for an account of the books."""
    root: str = ""
    """`Assets`, `Liabilities`, `Equity`, `Income` or `Expenses`: what kind of account of a chart it is."""
    tax_rate: str = ""


class _Default(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: Number
    name: Text
    tax_rate: str = ""


class _Row(_Default, frozen=True, forbid_unknown_fields=True, kw_only=True):
    takes: Annotated[tuple[Text, ...], Meta(min_length=1)]


class Chart(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """A total function from the accounts of the books to those of a ledger. Made by `read_chart`."""

    account: tuple[_Row, ...]
    default: _Default | None = None
    """Account for names that no row takes."""
    tax_rate: Text = "Tax Exempt (0%)"
    netsuite_account: Literal["number", "name"] = "number"
    netsuite_subsidiary: str = ""

    def account_of(self, name: str) -> Account | None:
        """Return the ledger account for the account `name` of the books; None if no row takes it."""
        if name not in self._known:
            row = next((row for parts, row in self._patterns if _fits(parts, name)), self.default)
            account = None
            if row is not None:
                root = name.partition(":")[0].replace("Costs", "Expenses")
                tax_rate = row.tax_rate or self.tax_rate
                account = Account(row.name, row.number, root, tax_rate)
            self._known[name] = account
        return self._known[name]

    @cached_property
    def _known(self) -> dict[str, Account | None]:
        """Cache of accounts by name: a journal asks for few accounts, many times."""
        return {}

    @cached_property
    def _patterns(self) -> tuple[tuple[list[str], _Row], ...]:
        return tuple((text.split("*"), row) for row in self.account for text in row.takes)


def read_chart(text: str, name: str) -> Chart:
    """The chart in the TOML `text` of the file `name`; ConfigError where it is wrong or not total."""
    try:
        tables = tomllib.loads(text)
        chart = msgspec.convert(tables, Chart)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"chart of accounts {name}: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"chart of accounts {name}: {misfit(error, tables, Chart)}") from error
    for fault in _faults(chart):
        raise ConfigError(f"chart of accounts {name}: {fault}")
    missing = [account for account in accounts() if chart.account_of(account) is None]
    if missing:
        more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        raise ConfigError(
            f"chart of accounts {name} has no row for {', '.join(missing[:_LISTED])}{more}; add rows "
            "that match them, or a default"
        )
    return chart


def load_chart(path: Path | None = None) -> Chart:
    """The chart in the file at `path`, else the one that ships. ConfigError when it cannot be used."""
    if path is None:
        return read_chart(shipped_chart(), "chart.toml")
    return read_chart(text_of(path, "chart of accounts", ConfigError, _LARGEST_BYTES), path.name)


def shipped_chart() -> str:
    """The text of the chart that ships."""
    return resources.files("inferworks.books.exports").joinpath("chart.toml").read_text("utf-8")


def accounts() -> Iterator[str]:
    """An account of every kind that the books can have; what only a name can tell apart is `(any)`."""
    yield from (f"{prefix}:{_ANY}" for prefix in BALANCE_SHEET)
    yield from (f"Income:{item.title()}:{_ANY}" for item in Item)
    for function, natural_class in product(Function, NaturalClass):
        yield f"Expenses:{function}:{natural_class}:{_ANY}"
    yield from (f"Costs:{_ANY}:{natural_class}" for natural_class in NaturalClass)
    yield ROUNDING


def _fits(parts: list[str], name: str) -> bool:
    """Return True if `name` is `parts` in order with any text between them, in time linear in both."""
    first, *middle = parts
    if not middle:
        return name == first
    last, at = middle.pop(), len(first)
    for part in middle:
        start = name.find(part, at)
        if start < 0:
            return False
        at = start + len(part)
    return name.startswith(first) and name.endswith(last) and len(name) - at >= len(last)


def _faults(chart: Chart) -> Iterator[str]:
    """Yield the faults of the rows of `chart`: patterns that are too many, impossible or superfluous."""
    patterns = [(text, row.number) for row in chart.account for text in row.takes]
    if len(patterns) > _MOST_PATTERNS:
        yield f"it has {len(patterns)} patterns, more than {_MOST_PATTERNS}"
    for text, _ in patterns:
        if text.partition(":")[0] not in _ROOTS and not text.startswith("*"):
            yield f"{text!r} is no account of the books: they begin with {', '.join(_ROOTS)}"
    names: dict[str, tuple[str, str, str]] = {}
    for row in [*chart.account, *([chart.default] if chart.default else [])]:
        account = (row.number, row.name, row.tax_rate)
        known = names.setdefault(row.number.replace(".", "-").casefold(), account)
        if known != account:  # or they would look alike in a journal
            yield f"number {row.number} is {row.name!r}, and {known[0]} is {known[1]!r} already"
    seen: list[tuple[list[str], str]] = []
    for text, number in patterns:
        earlier = next((other for parts, other in seen if _fits(parts, text)), None)
        if earlier is not None:
            yield f"{text!r} (number {number}) never applies: {earlier!r} before it takes all of it"
        seen.append((text.split("*"), text))
