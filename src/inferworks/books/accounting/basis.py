"""The basis of accounting: in which period a cost is a cost.

Problem. A year of machines that is paid upfront is no cost of the month of its bill, and users of the
machines would bear nothing, for the lines of use are billed at zero.

Decision. On the *accrual* basis a cost belongs to the time of use. FOCUS states it as EffectiveCost,
beside BilledCost, on the lines of a commitment (CommitmentDiscountId): the purchase has an EffectiveCost
of zero, and each line that it covers, used or not, has its share. So the cost of a commitment's line is
its EffectiveCost. Its BilledCost goes into an asset, prepaid, from which every cost of it is taken. Over
the life of a commitment both are the same; in between, the balance is what has been paid ahead, or, below
zero, what has been used and will be billed (theorem 18):

    billed = cost of the period + change of prepaid,

less the change of what no bill has come for yet (`expected_bills.py`), plus that of what is capitalised:
all of it is in `balances.py`.

A line that no use drew on (CommitmentDiscountStatus `Unused`) is unused capacity. Lines without an
EffectiveCost are spread evenly over their charge period, as is every charge that reaches beyond a period.
On the *cash* basis the cost of every line is its BilledCost.

Rejected. EffectiveCost for all lines: issuers write 0 there for what they give away and bill nevertheless
(620 of the 1,000 lines of the FOCUS sample), and those lines belong to no commitment that would hold the
difference. Spreading purchases by ourselves where the issuer amortises: who used what is known to the
issuer alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from enum import StrEnum

from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge
from inferworks.money import format_pico

COMMITMENT = "CommitmentDiscountId"
"""FOCUS's column for the commitment that a line buys, draws on or leaves unused."""


class Basis(StrEnum):
    """Basis of accounting: the moment at which a cost is a cost."""

    CASH = "cash"
    """Cost when billed."""
    ACCRUAL = "accrual"
    """Cost when used."""


def commitment_of(charge: Charge) -> str | None:
    """The commitment that `charge` buys, draws on or leaves unused, if it has an effective cost."""
    if charge.effective_pico is None:
        return None
    return dict(charge.other).get(COMMITMENT) or None


def is_prepaid(charge: Charge, basis: Basis) -> bool:
    """Return True if `charge` is prepaid by a commitment."""
    return basis is Basis.ACCRUAL and commitment_of(charge) is not None


def on_basis(charge: Charge, basis: Basis) -> Charge:
    """Return `charge` with its cost on this basis."""
    if not is_prepaid(charge, basis):
        return charge
    return charge.effectively()


def change_pico(committed: Iterable[Charge], span: Span) -> int:
    """Return the change of the prepaid balance within `span` by the billed lines of commitments."""
    change = 0
    for charge in committed:
        period = charge.period_start_ns, charge.period_end_ns
        change += charge.amount_pico if span.holds(charge.period_start_ns) else 0
        change -= span.part_of(charge.effective_pico or 0, *period)
    return change


def basis_notes(committed: Iterable[Charge], span: Span) -> Iterator[str]:
    """Yield a note for each commitment: the amount billed ahead and the amount used."""
    billed: dict[str, int] = defaultdict(int)
    used: dict[str, int] = defaultdict(int)
    for charge in committed:
        name = commitment_of(charge) or ""
        period = charge.period_start_ns, charge.period_end_ns
        billed[name] += charge.amount_pico if span.holds(charge.period_start_ns) else 0
        used[name] += span.part_of(charge.effective_pico or 0, *period)
    for name in sorted(billed):
        yield (
            f"Commitment {name}: {format_pico(billed[name])} was billed and {format_pico(used[name])} "
            f"is the cost of the period; {format_pico(billed[name] - used[name])} stands in "
            "Assets:Prepaid."
        )
