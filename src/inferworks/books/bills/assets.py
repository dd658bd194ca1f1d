"""Assets: depreciation month by month, with later changes of estimate and disposals.

Problem. A register of assets is exported anew each month. Most rows are unchanged; now and then a life is
longer than was thought, a machine moves, another is sold. Read as new lines, the asset would be
depreciated twice; applied to all its months, reported figures would change.

Decision. An asset is identified by its number, or without one by its name, its place and its first day;
of assets alike in these each row is one. A row equal to the books changes nothing. Any other is a *change
of estimate* (ASC 250-10-45-17, IAS 8.36): the cost not yet written off is spread over the remaining life,
from the first month that begins in an open period (or on the day that the row gives), and posted as the
difference to the posted lines, month by month. A *disposal* ends the depreciation on its day, and the
remaining value less the proceeds is its loss, or its gain (ASC 360-10-40-5).

An asset in another currency is carried at the rate of the day it was taken in (ASC 830-10-45-18); sums of
months are converted, and not months, so that they come to its cost exactly. Proceeds are worth the rate of
their own day.

Rejected. Lines replaced in place (posted lines could not be told from later changes); a change that
reaches back over all open and closed months (that is for errors, not for estimates).
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import count
from typing import NamedTuple, TypeAlias

import msgspec

from inferworks.books.calendar.months import DAY_NS
from inferworks.books.charge import Charge, Foreign
from inferworks.books.currency import RateRow, converted_pico
from inferworks.errors import BillError
from inferworks.money import format_pico, split

FIXED_ASSETS = "fixed assets"
"""The issuer of every line of depreciation."""
_TOLD = ("cost", "life_months", "method", "salvage", "disposed", "proceeds")
"""Names under which a charge keeps the terms of its asset."""
_DISPOSAL, _CHANGE = "disposal", ", change "
_EPOCH = dt.date(1970, 1, 1)

Place: TypeAlias = tuple[str | None, str | None]
"""The resource that an asset is, and the department that has it."""


class Method(StrEnum):
    """Method by which the cost of an asset is spread over its life."""

    STRAIGHT_LINE = "straight-line"
    DECLINING = "declining"


class Terms(NamedTuple):
    """Terms of an asset in a register, in the currency that it was bought in."""

    cost_pico: int
    salvage_pico: int
    months: int
    method: Method
    disposed_ns: int | None = None
    """The day on which it was sold or scrapped."""
    proceeds_pico: int = 0

    def told(self) -> tuple[tuple[str, str], ...]:
        """The terms as text, as a charge keeps them."""
        kept = (
            format_pico(self.cost_pico),
            str(self.months),
            self.method.value,
            format_pico(self.salvage_pico),
        )
        gone = self.disposed_ns
        sold = () if gone is None else (day_text(gone), format_pico(self.proceeds_pico))
        return tuple(zip(_TOLD, (*kept, *sold), strict=False))


class Asset(NamedTuple):
    """A row of a register."""

    line: Charge
    """Fields common to all lines of the asset; its period begins with the first day of service."""
    name: str
    number: str | None
    terms: Terms
    rate: RateRow | None
    """Rate at which it is carried; None in the currency of the books."""
    proceeds_rate: RateRow | None
    changed_ns: int | None
    """Moment from which a change of estimate acts, if the row gives it."""

    @property
    def identity(self) -> tuple[str, str | None, int]:
        """Return the key of the asset without a number: name, resource, first day."""
        return self.name, self.line.resource_id, self.line.period_start_ns

    @property
    def place(self) -> Place:
        """Return its present location: resource and department."""
        return self.line.resource_id, self.line.department


class Amount(NamedTuple):
    """An amount in the currency that the asset was bought in, and in that of the books."""

    billed_pico: int = 0
    pico: int = 0

    def plus(self, other: Amount, times: int = 1) -> Amount:
        """The sum with `times` the other."""
        return Amount(self.billed_pico + times * other.billed_pico, self.pico + times * other.pico)


class Booked(NamedTuple):
    """An asset as it is in the books."""

    invoice: str
    lines: tuple[Charge, ...]

    @property
    def start_ns(self) -> int:
        """Its first day of service."""
        return min(line.period_start_ns for line in self.lines)

    @property
    def latest(self) -> Charge:
        """A line of what was known of it last."""
        return max(self.lines, key=lambda line: (_change_of(line), line.period_start_ns))

    @property
    def identity(self) -> tuple[str, str | None, int]:
        """Return the key of the asset without a number: name, resource, first day."""
        first = min(self.lines, key=lambda line: (_change_of(line), line.period_start_ns))
        name = dict(first.other).get("asset", self.invoice)
        return name, first.resource_id, self.start_ns

    @property
    def number(self) -> str | None:
        """Its number, if a row ever gave one."""
        return next((n for line in self.lines if (n := dict(line.other).get("number"))), None)


class Planned(NamedTuple):
    """The lines of an asset, posted ones included, and the note on a change."""

    lines: tuple[Charge, ...]
    note: str = ""


def booked_assets(charges: Iterable[Charge]) -> list[Booked]:
    """The assets in the books, by name."""
    grouped: dict[str, list[Charge]] = defaultdict(list)
    for charge in charges:
        if charge.issuer == FIXED_ASSETS:
            grouped[charge.invoice].append(charge)
    return [Booked(invoice, tuple(grouped[invoice])) for invoice in sorted(grouped)]


def matched(
    assets: Sequence[Asset], booked: Iterable[Booked]
) -> Iterator[tuple[Asset, str, Booked | None]]:
    """Each asset with its name among invoices, and as it is booked; None when it is new."""
    left = list(booked)
    taken = {one.invoice for one in left}
    found: dict[int, Booked] = {}
    tests: tuple[Callable[[Asset, Booked], bool], ...] = (
        lambda asset, one: asset.number is not None and asset.number == one.number,
        lambda asset, one: _may_be(asset, one) and unchanged(asset, one),
        _may_be,
    )
    for is_one in tests:
        for at, asset in enumerate(assets):
            twin = next((one for one in left if is_one(asset, one)), None)
            if at not in found and twin is not None:
                found[at] = twin
                left.remove(twin)
    for at, asset in enumerate(assets):
        if at in found:
            yield asset, found[at].invoice, found[at]
        else:
            invoice = f"#{asset.number}"
            if asset.number is None:
                name, resource, start_ns = asset.identity
                whole = ", ".join(filter(None, (name, resource, day_text(start_ns))))
                names = (whole if n == 1 else f"{whole} #{n}" for n in count(1))
                invoice = next(one for one in names if one not in taken)
            taken.add(invoice)
            yield asset, invoice, None


def _may_be(asset: Asset, booked: Booked) -> bool:
    """Return True if the two may be one by name, place and day: not where both have numbers."""
    numbered = asset.number is not None and booked.number is not None
    return not numbered and asset.identity == booked.identity


def unchanged(asset: Asset, booked: Booked) -> bool:
    """Return True if the books agree with the row."""
    latest = booked.latest
    if (latest.resource_id, latest.department) != asset.place:
        return False
    told = dict(latest.other)
    if "life_months" in told:
        return {name: told[name] for name in _TOLD if name in told} == dict(asset.terms.told())
    starts = month_starts(booked.start_ns, asset.terms.months)
    sums = _by_month(booked, starts)
    amounts = [sum(part.billed_pico for part in month.values()) for month in sums]
    return asset.terms.disposed_ns is None and amounts == [*schedule(asset.terms), 0]


def planned(asset: Asset, invoice: str, booked: Booked | None, open_ns: int | None) -> Planned:
    """The lines of `asset`: its schedule, or what is booked and what changes it from `open_ns` on.

    BillError, which says why, where the change cannot be meant.
    """
    if booked is None:
        return Planned(tuple(_fresh(asset, invoice)))
    if asset.line.period_start_ns != booked.start_ns:
        raise BillError(
            f"is in service since {day_text(booked.start_ns)} in the books; dispose of it and enter the "
            "other under a number of its own"
        )
    latest = booked.latest
    bought = latest.currency if latest.foreign is None else latest.foreign.currency
    now = asset.line.currency if asset.rate is None else asset.rate.from_currency
    if bought != now:
        raise BillError(f"was bought in {bought} by the books, not in {now}")
    if unchanged(asset, booked):
        return Planned(booked.lines)
    from_ns = max(asset.changed_ns or booked.start_ns, open_ns or booked.start_ns)
    end_ns = max(line.period_end_ns for line in booked.lines if not line.line.startswith(_DISPOSAL))
    # the longest life that the row or the books know
    longest = next(n for n in count(asset.terms.months) if _month_ns(booked.start_ns, n) >= end_ns)
    starts = month_starts(booked.start_ns, longest)
    before = _by_month(booked, starts)
    first = next((at for at, start_ns in enumerate(starts) if start_ns >= from_ns), longest)
    wanted = _wanted(asset, before, first, starts)
    number = _change_of(booked.latest) + 1
    lines = tuple(_differences(asset, invoice, before, wanted, starts, number))
    return Planned((*booked.lines, *lines), _note(asset, before, wanted, starts))


def schedule(terms: Terms) -> list[int]:
    """Return the depreciation of each month of a life, in order; sums to cost less salvage."""
    if terms.method is Method.DECLINING:
        return declining(terms.cost_pico, terms.salvage_pico, terms.months)
    return straight_line(terms.cost_pico - terms.salvage_pico, terms.months)


def straight_line(depreciable_pico: int, months: int) -> list[int]:
    """`depreciable_pico` in equal monthly parts that sum to it."""
    parts = split(depreciable_pico, dict.fromkeys(range(months), 1))
    return [parts[month] for month in range(months)]


def declining(cost_pico: int, salvage_pico: int, months: int) -> list[int]:
    """The double-declining balance of an asset, month by month; the parts sum to cost less salvage."""
    left_pico, parts = cost_pico - salvage_pico, []
    for to_come in range(months, 0, -1):
        accelerated_pico = 2 * (left_pico + salvage_pico) // months
        equal_pico = -(-left_pico // to_come)
        parts.append(min(left_pico, max(accelerated_pico, equal_pico)))
        left_pico -= parts[-1]
    return parts


def month_starts(start_ns: int, months: int) -> list[int]:
    """The moments at which the months of a life begin, and the one at which the last ends."""
    return [_month_ns(start_ns, month) for month in range(months + 1)]


def day_text(at_ns: int) -> str:
    """The day (UTC) that `at_ns` lies in, as ISO 8601."""
    return (_EPOCH + dt.timedelta(days=at_ns // DAY_NS)).isoformat()


def _month_ns(start_ns: int, months: int) -> int:
    """The moment `months` months after the day that begins at `start_ns`."""
    day = _EPOCH + dt.timedelta(days=start_ns // DAY_NS)
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return (dt.date(year, month + 1, min(day.day, last)) - _EPOCH).days * DAY_NS


_Months: TypeAlias = list[dict[Place, Amount]]
"""Amounts of each month by place, followed by that of the disposal."""


def _fresh(asset: Asset, invoice: str) -> Iterator[Charge]:
    """The lines of an asset that is not in the books."""
    months = asset.terms.months
    starts = month_starts(asset.line.period_start_ns, months)
    wanted = _wanted(asset, [{} for _ in starts], 0, starts)
    disposed_ns = asset.terms.disposed_ns
    for at, amounts in enumerate(wanted):
        for place, amount in amounts.items():
            if at == months:
                yield _disposal(asset, invoice, _DISPOSAL, place, amount)
                continue
            end_ns = starts[at + 1] if disposed_ns is None else min(disposed_ns, starts[at + 1])
            name = f"month {at + 1} of {months}"
            yield _line(asset, invoice, name, (starts[at], end_ns), place, amount)


def _wanted(asset: Asset, before: _Months, first: int, starts: Sequence[int]) -> _Months:
    """Return the amounts of each month by present knowledge: up to `first`, those already booked."""
    terms = asset.terms
    kept = [_sum(month) for month in before[:first]]
    done = Amount()
    for amount in kept:
        done = done.plus(amount)
    parts = _left(asset, done.billed_pico, first, starts)
    wanted: _Months = [dict(month) for month in before[:first]]
    for billed_pico in parts:
        after = done.billed_pico + billed_pico
        pico = _carried(asset, after) - _carried(asset, done.billed_pico)
        wanted.append({asset.place: Amount(billed_pico, pico)})
        done = done.plus(Amount(billed_pico, pico))
    wanted += [{} for _ in range(len(starts) - 1 - len(wanted))]
    if terms.disposed_ns is None:
        return [*wanted, {}]
    return _until(asset, wanted, starts, terms.disposed_ns)


def _left(asset: Asset, done_pico: int, first: int, starts: Sequence[int]) -> list[int]:
    """Return the cost not yet written off, spread over the remaining life. BillError if it cannot be."""
    terms = asset.terms
    left_pico, months = terms.cost_pico - terms.salvage_pico - done_pico, terms.months - first
    since = day_text(starts[first])
    if left_pico < 0 and terms.disposed_ns is None:
        raise BillError(
            f"{format_pico(done_pico)} is written off before {since}, which is more than the cost less "
            "the salvage value; give another cost, or the day it was disposed of"
        )
    if left_pico > 0 and months <= 0 and terms.disposed_ns is None:
        raise BillError(
            f"its life would be over before {since}, from which on it can change, and "
            f"{format_pico(left_pico)} is not written off; give a longer life, or the day it was "
            "disposed of"
        )
    if left_pico < 0 or months <= 0:
        return []
    rest = terms._replace(cost_pico=terms.cost_pico - done_pico, months=months)
    return schedule(rest)


def _until(asset: Asset, months: _Months, starts: Sequence[int], disposed_ns: int) -> _Months:
    """`months` up to the disposal, and what the disposal loses: what is left less the proceeds."""
    kept: _Months = []
    left = Amount(asset.terms.cost_pico, _carried(asset, asset.terms.cost_pico))
    for at, amounts in enumerate(months):
        length_ns = starts[at + 1] - starts[at]
        used_ns = min(max(disposed_ns - starts[at], 0), length_ns)
        weights = {0: used_ns, 1: length_ns - used_ns}
        used = {
            place: Amount(split(amount.billed_pico, weights)[0], split(amount.pico, weights)[0])
            for place, amount in amounts.items()
        }
        kept.append({place: amount for place, amount in used.items() if any(amount)})
        left = left.plus(_sum(used), -1)
    proceeds_pico = asset.terms.proceeds_pico
    local_pico = proceeds_pico
    if asset.proceeds_rate is not None:
        local_pico = converted_pico(proceeds_pico, asset.proceeds_rate)
    lost = left.plus(Amount(proceeds_pico, local_pico), -1)
    return [*kept, {asset.place: lost} if any(lost) else {}]


def _carried(asset: Asset, billed_pico: int) -> int:
    """`billed_pico` in the currency of the books, at the rate that the asset is carried at."""
    return billed_pico if asset.rate is None else converted_pico(billed_pico, asset.rate)


def _sum(amounts: Mapping[Place, Amount]) -> Amount:
    whole = Amount()
    for amount in amounts.values():
        whole = whole.plus(amount)
    return whole


def _by_month(booked: Booked, starts: Sequence[int]) -> _Months:
    """Return the booked amounts of each month by place, followed by that of the disposal."""
    months: _Months = [{} for _ in starts]
    for line in booked.lines:
        at = len(starts) - 1
        if not line.line.startswith(_DISPOSAL):
            at = max(at for at, start_ns in enumerate(starts) if start_ns <= line.period_start_ns)
        place = line.resource_id, line.department
        billed = line.amount_pico if line.foreign is None else line.foreign.amount_pico
        months[at][place] = months[at].get(place, Amount()).plus(Amount(billed, line.amount_pico))
    return months


def _differences(
    asset: Asset,
    invoice: str,
    before: _Months,
    wanted: _Months,
    starts: Sequence[int],
    number: int,
) -> Iterator[Charge]:
    """Return the lines of the differences between the wanted and the posted amounts."""
    disposed_ns = asset.terms.disposed_ns
    for at, (old, new) in enumerate(zip(before, wanted, strict=True)):
        for place in sorted({**old, **new}, key=lambda place: tuple(text or "" for text in place)):
            change = new.get(place, Amount()).plus(old.get(place, Amount()), -1)
            if not any(change):
                continue
            if at == len(starts) - 1:
                name = f"{_DISPOSAL}{_CHANGE}{number}"
                yield _disposal(asset, invoice, name, place, change)
                continue
            start_ns, end_ns = starts[at], starts[at + 1]
            if disposed_ns is not None and start_ns < disposed_ns < end_ns and change.pico < 0:
                start_ns = disposed_ns
            where = "" if len({**old, **new}) == 1 else f", {place[0] or place[1]}"
            name = f"month {at + 1}{where}{_CHANGE}{number}"
            yield _line(asset, invoice, name, (start_ns, end_ns), place, change)


def _disposal(asset: Asset, invoice: str, name: str, place: Place, lost: Amount) -> Charge:
    at_ns = asset.terms.disposed_ns
    if at_ns is None:
        raise BillError("it was disposed of in the books; enter it anew instead")
    line = _line(asset, invoice, name, (at_ns, at_ns + DAY_NS), place, lost)
    what = "loss" if lost.pico > 0 else "gain"
    return msgspec.structs.replace(line, description=f"{asset.name}, {what} on disposal")


def _line(
    asset: Asset, invoice: str, name: str, period: tuple[int, int], place: Place, amount: Amount
) -> Charge:
    foreign = None
    if asset.rate is not None:
        foreign = Foreign(
            currency=asset.rate.from_currency,
            amount_pico=amount.billed_pico,
            effective_pico=None,
            rate=asset.rate.rate,
            rate_day=asset.rate.day,
            rate_source=asset.rate.source,
        )
    number = () if asset.number is None else (("number", asset.number),)
    other = dict((("asset", asset.name), *number, *asset.terms.told(), *asset.line.other))
    return msgspec.structs.replace(
        asset.line,
        invoice=invoice,
        line=name,
        period_start_ns=period[0],
        period_end_ns=period[1],
        amount_pico=amount.pico,
        resource_id=place[0],
        department=place[1],
        foreign=foreign,
        other=tuple(sorted(other.items())),
    )


def _change_of(line: Charge) -> int:
    """Return the number of the change of estimate that a line belongs to; zero for the first schedule."""
    return int(line.line.rpartition(_CHANGE)[2]) if _CHANGE in line.line else 0


def _note(asset: Asset, before: _Months, wanted: _Months, starts: Sequence[int]) -> str:
    """Return the note on a change: its first month before and after, or the disposal."""
    if asset.terms.disposed_ns is not None:
        lost_pico = _sum(wanted[-1]).pico
        what = f"a loss of {format_pico(lost_pico)}"
        what = what if lost_pico >= 0 else f"a gain of {format_pico(-lost_pico)}"
        return f"{asset.name} is disposed of on {day_text(asset.terms.disposed_ns)}, at {what}"
    for start_ns, old, new in zip(starts, before, wanted, strict=True):
        if old != new:
            was, is_now = format_pico(_sum(old).pico), format_pico(_sum(new).pico)
            return f"{asset.name} depreciates by {is_now} in the month from {day_text(start_ns)}, not {was}"
    return ""
