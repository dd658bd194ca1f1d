"""A charge: one bill line, and the two labels that money carries.

The *natural class* is the kind of thing bought and never changes. The *function* is the use of the cost
and is decided last, by policy (theorem 9).
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NewType

import msgspec

if TYPE_CHECKING:  # numpy takes its time to load
    from inferworks.books.amounts import Amounts

ChargeId = NewType("ChargeId", str)

STAFF_TIME = "Staff time"
"""The service name of a time sheet line."""
STAFF_ON_NODE, STAFF_ON_ACTIVITY = "Node", "Activity"
"""The resource type of a time sheet line: what its minutes went to."""
VOUCHERS = "vouchers"
"""The issuer of every voucher; its supplier is the provider."""

LIST_PRICES = "(list prices)"
"""The file that a provisional charge names in place of a bill; its hash is the price book's."""
TOLD_COSTS = "(told by the provider)"
"""File of a provisional charge whose cost the provider reported with each call."""

ACCRUED = "(accrued, no bill yet)"
"""The file that a charge names which stands for a bill that is expected (`expected_bills.py`)."""
NO_BILLS = frozenset({LIST_PRICES, TOLD_COSTS, ACCRUED})
"""The files of what is no line of a bill."""


class NaturalClass(StrEnum):
    """Natural class: the kind of thing bought (ASC 220-40 asks for expenses by nature; these are finer)."""

    EMPLOYEE_COMPENSATION = "employee-compensation"
    DEPRECIATION = "depreciation"
    PURCHASED_COMPUTE = "purchased-compute"
    POWER = "power"
    COLOCATION = "colocation"
    NETWORK = "network"
    LICENCES = "licences"
    OTHER = "other"


class Function(StrEnum):
    """Function: the use of a cost (the captions of Regulation S-X 5-03)."""

    COST_OF_REVENUE = "cost-of-revenue"
    COMMITTED = "committed"
    """Cost of revenue that no customer's leaving avoids: a line of its own in a marginal view."""
    UNUSED_CAPACITY = "unused-capacity"
    """A line of its own under cost of revenue."""
    RESEARCH_AND_DEVELOPMENT = "research-and-development"
    SALES_AND_MARKETING = "sales-and-marketing"
    GENERAL_AND_ADMINISTRATIVE = "general-and-administrative"


COST_OF_REVENUE = (Function.COST_OF_REVENUE, Function.COMMITTED, Function.UNUSED_CAPACITY)
"""Committed cost and unused capacity are lines of cost of revenue."""


class Foreign(msgspec.Struct, frozen=True):
    """Amounts of a bill in another currency, and the dated rate of their conversion."""

    currency: str
    amount_pico: int
    effective_pico: int | None
    rate: str
    """Units of the books' currency for one of `currency`, as it was quoted; `1/1.10` the other way."""
    rate_day: str
    rate_source: str


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a bill, in FOCUS terms where FOCUS has one.

    The period is from `period_start_ns` up to, not including, `period_end_ns`. `amount_pico` is FOCUS's
    BilledCost in picounits of `currency`, the books'; a credit is negative. Where the bill itself is in
    another currency, `foreign` says what it says.
    """

    id: ChargeId
    issuer: str
    invoice: str
    line: str
    """Name of the line on its bill; else a short name of its contents."""
    file: str
    file_sha256: str
    row: int
    """The line of `file` on which it ends, counting from 1."""
    provider: str
    service_category: str
    service_name: str
    resource_id: str | None
    resource_type: str | None
    description: str
    natural_class: NaturalClass
    charge_category: str
    charge_class: str | None
    period_start_ns: int
    period_end_ns: int
    amount_pico: int
    effective_pico: int | None
    """FOCUS's EffectiveCost: the amount with prepayments spread; what a line of a commitment costs
    on the accrual basis (`basis.py`)."""
    currency: str
    quantity: str | None
    """Consumed quantity as the bill writes it; minutes on a time sheet."""
    unit: str | None
    other: tuple[tuple[str, str], ...] = ()
    """Columns we have no field for, by name, as the bill writes them."""
    region_id: str | None = None
    foreign: Foreign | None = None
    department: str | None = None
    """Department that bears the cost, as the file names it; in a computation one of `Department`."""
    exact: str | None = None
    """The amount as the bill writes it, where that is finer than 10^-12; `amount_pico` is rounded once."""

    @property
    def amounts(self) -> int | Amounts:
        """Return the amount to divide; of a bundle (`bundles.py`) those of its lines, each alone."""
        return self.amount_pico

    @property
    def lines(self) -> int:
        """Return the number of bill lines that it stands for: 1; of a bundle all of them."""
        return 1

    @property
    def named(self) -> str:
        """Return its name in entries."""
        return self.id

    @property
    def title(self) -> str:
        """Return its name for people."""
        return self.description

    def effectively(self) -> Charge:
        """Return the charge with its effective cost as amount, where its bill has one."""
        if self.effective_pico is None:
            return self
        return msgspec.structs.replace(self, amount_pico=self.effective_pico)


def charge_id(issuer: str, invoice: str, line: str) -> ChargeId:
    """The id of a charge that no bill brought, by what names it.

    Each part is hashed with its length, so that no two different triples run into one.
    """
    digest = hashlib.sha256()
    for part in (issuer, invoice, line):
        raw = part.encode()
        digest.update(f"{len(raw)}:".encode() + raw)
    return ChargeId(f"chg_{digest.hexdigest()[:24]}")


REVERSAL: Final = "reversal"
"""The kind of line that takes another one back exactly."""


def successor_id(charge: Charge, kind: str) -> ChargeId:
    """The id of the line that takes back or corrects `charge`."""
    return charge_id(charge.issuer, kind, charge.id)


def is_provisional(charge: Charge) -> bool:
    """Return True if `charge` is an estimate, or the reversal of one, and no line of a bill."""
    return charge.file in (LIST_PRICES, TOLD_COSTS)


def is_accrual(charge: Charge) -> bool:
    """Return True if `charge` stands for a bill that has not come, or reverses such a charge."""
    return charge.file == ACCRUED
