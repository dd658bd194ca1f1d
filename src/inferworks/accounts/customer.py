"""A customer: the party charged for calls, or on whose account calls are free.

Calls are metered under the customer's id, which never changes. Everything else (names, mergers, time zone)
is a *fact* that holds from a moment on, with its author, its time and its reason; facts are only ever
added. `directory.py` derives the state at a moment from them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import msgspec

from inferworks.errors import UserError
from inferworks.ids import CustomerId

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_LONGEST = 100
_RESERVED = frozenset({"total"})
"""Names of tables' own rows; the row of nobody is in brackets."""


class Customer(msgspec.Struct, frozen=True):
    """One customer. `id` is its short name, as its calls were metered."""

    id: CustomerId
    created_ns: int


class CustomerFact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Changes to `customer` from `effective_ns` on; None leaves a field as it is."""

    customer: CustomerId
    effective_ns: int
    recorded_ns: int
    by: str
    reason: str = ""
    display_name: str | None = None
    """Name in statements; empty for its id again."""
    legal_name: str | None = None
    """Name in contracts; empty for none."""
    merged_into: CustomerId | None = None
    """Customer as which it counts; itself when it stands on its own again."""
    zone: str | None = None
    """Time zone by IANA's name; the customer is charged by the months and days of that clock."""
    currency: str | None = None
    """Currency of its prices, by ISO 4217's code."""


def customer_id(text: str) -> CustomerId:
    """`text` as a customer's id; refused unless it is a short lower-case name."""
    if not _NAME.fullmatch(text):
        raise UserError(
            f"customer name {text[:80]!r} is not usable: use up to 63 of a-z 0-9 . _ -, "
            "starting with a letter or digit"
        )
    return CustomerId(text)


def currency_code(text: str) -> str:
    """`text` as a currency; refused unless it is three capital letters (ISO 4217)."""
    if not _CURRENCY.fullmatch(text):
        raise UserError(
            f"currency {text[:20]!r} is not usable: write three capital letters, like EUR"
        )
    return text


def currency_at(facts: Iterable[CustomerFact], customer: CustomerId, at_ns: int, usual: str) -> str:
    """Return the currency of the prices of `customer` that begin at `at_ns`; `usual` without a fact."""
    said = [
        fact
        for fact in facts
        if fact.customer == customer and fact.currency and fact.effective_ns <= at_ns
    ]
    return max(said, key=lambda fact: fact.effective_ns).currency or usual if said else usual


def written_name(text: str) -> str:
    """`text` as a name for people; refused where a table could not show it, or has such a row itself."""
    name = unicodedata.normalize("NFC", " ".join(text.split()))
    odd = any(unicodedata.category(letter).startswith("C") for letter in name)
    if odd or len(name) > _LONGEST:
        raise UserError(
            f"name {text[:80]!a} is not usable: use up to {_LONGEST} printed characters"
        )
    if name.startswith("(") or name.casefold() in _RESERVED:
        raise UserError(
            f"name {name!r} is not usable: statements have a row of their own called so, as they have "
            "for everything in brackets"
        )
    return name
