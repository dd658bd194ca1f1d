"""Corrections of a closed period: posted in the open one, so that sealed figures never change.

Sealed figures stay. The period is recomputed with the late records, by the rules and the prices that were
sealed with it, and compared with the posted figures. Every row that differs is *reversed* exactly as it
was posted, and posted *anew*; both rows stand in the open period and name the period they correct. So the
sealed statement and its corrections always sum to the figures that the period would have had, had
everything been known in time. (Theorem 12; FOCUS: ChargeClass = Correction, the original ChargePeriod, a
later BillingPeriod.)
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, Protocol, TypeVar

import msgspec

from inferworks.books.accounting.entries import Entry, Posting
from inferworks.books.accruals.expected_bills import TrueUp
from inferworks.books.charge import REVERSAL, Charge, successor_id
from inferworks.books.period import Period
from inferworks.books.revenue.rating import Rated
from inferworks.books.statement.computation import Line, line_order
from inferworks.books.statement.revenue_by_location import LocationRevenue, placed_change

CORRECTION: Final = "Correction"
"""FOCUS's ChargeClass of lines that correct a closed period."""

R = TypeVar("R", Line, Rated)

_QUANTITIES: Final = ("amount_pico", "quantity", "tokens")
"""The fields of a row that a reversal negates."""


class Figures(Protocol):
    """Posted figures of a period: those of a statement, or of one that was restated."""

    @property
    def billed_pico(self) -> int:
        """The sum of its charges."""
        ...

    @property
    def lines(self) -> tuple[Line, ...]:
        """Its cost."""
        ...

    @property
    def revenue_rows(self) -> tuple[Rated, ...]:
        """Its revenue."""
        ...

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Its double entry."""
        ...

    @property
    def placed(self) -> tuple[LocationRevenue, ...]:
        """Its revenue by where the calls were served."""
        ...

    @property
    def prepaid_pico(self) -> int | None:
        """Change of the prepaid balance; None on the cash basis."""
        ...

    @property
    def accrued_pico(self) -> int | None:
        """Change of accruals; None without any."""
        ...


class Correction(msgspec.Struct, frozen=True):
    """Rows posted in an open period for a closed one: reversals, and their replacements."""

    period: Period
    """The original: FOCUS's ChargePeriod of every row here."""
    causes: tuple[str, ...]
    """Late records: `charge chg_...`, `call call_...`, `activity source/id`."""
    billed_pico: int
    """Change of the billed amount of the period."""
    lines: tuple[Line, ...]
    revenue_rows: tuple[Rated, ...]
    entries: tuple[Entry, ...]
    placed: tuple[LocationRevenue, ...] = ()
    """By how much the revenue of each place changed; what is not in it was served nowhere or is a fee."""
    prepaid_pico: int | None = None
    """Change of the prepaid balance; None on the cash basis."""
    accrued_pico: int | None = None
    """Change of accruals for bills that have not come; None without any."""
    true_ups: tuple[TrueUp, ...] = ()
    """The accruals that bills took back, beside those bills."""

    @property
    def revenue_pico(self) -> int:
        """Return the change of revenue of the period."""
        return sum(row.amount_pico for row in self.revenue_rows)

    @property
    def empty(self) -> bool:
        """Return True if no figure changed."""
        return not (self.lines or self.revenue_rows or self.entries)


def corrected(
    period: Period,
    booked: Figures,
    restated: Figures,
    causes: Sequence[str],
    booked_ns: int,
    told: tuple[TrueUp, ...] = (),
) -> Correction:
    """Return the correction from `booked` to `restated` figures of `period`, posted at `booked_ns`.

    Pure. The rows sum to the difference, each kind to its own, exactly.
    """
    entries: list[Entry] = []  # reversals of those that changed, and those that replace them
    before, after = _by_text(booked.entries), _by_text(restated.entries)
    for text in sorted(before.keys() | after.keys()):
        if before[text] == after[text]:
            continue
        for postings in before[text]:
            negated = tuple(
                msgspec.structs.replace(posting, amount_pico=-posting.amount_pico)
                for posting in postings
            )
            entries.append(Entry(booked_ns, f"reversal of {text} ({period.name})", negated))
        name = f"correction of {text} ({period.name})"
        entries += [Entry(booked_ns, name, postings) for postings in after[text]]
    return Correction(
        period=period,
        causes=tuple(causes),
        billed_pico=restated.billed_pico - booked.billed_pico,
        lines=tuple(sorted(_replaced(booked.lines, restated.lines), key=line_order)),
        revenue_rows=tuple(_replaced(booked.revenue_rows, restated.revenue_rows)),
        entries=tuple(entries),
        placed=placed_change(booked.placed, restated.placed),
        prepaid_pico=_change(booked.prepaid_pico, restated.prepaid_pico),
        accrued_pico=_change(booked.accrued_pico, restated.accrued_pico),
        true_ups=told,
    )


def _change(before: int | None, after: int | None) -> int | None:
    return None if after is None else after - (before or 0)


def reversal(charge: Charge) -> Charge:
    """The exact reversal of `charge`: a line of its own, with the same period and the amount negated."""
    foreign, effective_pico = charge.foreign, charge.effective_pico
    if foreign is not None:
        effective = foreign.effective_pico
        foreign = msgspec.structs.replace(
            foreign,
            amount_pico=-foreign.amount_pico,
            effective_pico=None if effective is None else -effective,
        )
    return msgspec.structs.replace(
        _successor(charge, REVERSAL, -charge.amount_pico),
        effective_pico=None if effective_pico is None else -effective_pico,
        foreign=foreign,
    )


def replacement(charge: Charge, amount_pico: int) -> Charge:
    """Return the line that replaces `charge` after its reversal: the same with another amount."""
    return _successor(charge, "correction", amount_pico)


def _successor(charge: Charge, kind: str, amount_pico: int) -> Charge:
    return msgspec.structs.replace(
        charge,
        id=successor_id(charge, kind),
        line=f"{charge.line}/{kind}",
        charge_class=CORRECTION,
        description=f"{kind} of {charge.id}: {charge.description}",
        amount_pico=amount_pico,
        effective_pico=None,
        exact=None,
    )


def _replaced(booked: Iterable[R], restated: Iterable[R]) -> list[R]:
    """The rows of `booked` that do not stand in `restated`, reversed; then those that are new in it."""
    before: Counter[R] = Counter(booked)
    after: Counter[R] = Counter(restated)
    rows: list[R] = list(map(reversed_row, _in_order(before - after)))
    rows += _in_order(after - before)
    return rows


def _in_order(rows: Counter[R]) -> list[R]:
    """The rows, each as often as it is counted, in an order that depends on nothing else."""
    return sorted(rows.elements(), key=msgspec.json.encode)


def reversed_row(row: R) -> R:
    """`row` with its amounts and its quantity negated."""
    names = [name for name in _QUANTITIES if name in row.__struct_fields__]
    negated: dict[str, object] = {name: -getattr(row, name) for name in names}
    owed = getattr(row, "owed", None)
    if owed is not None:
        negated["owed"] = msgspec.structs.replace(owed, amount_pico=-owed.amount_pico)
    return msgspec.structs.replace(row, **negated)


def _by_text(entries: Iterable[Entry]) -> defaultdict[str, list[tuple[Posting, ...]]]:
    grouped: defaultdict[str, list[tuple[Posting, ...]]] = defaultdict(list)
    for entry in entries:
        grouped[entry.text].append(entry.postings)
    return grouped
