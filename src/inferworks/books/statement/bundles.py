"""Bundles: bill lines that no figure of a statement tells apart, as one charge with all their amounts.

Problem. A cloud's bill has a million lines, each an hour of a machine or a day of a bucket. A statement
distinguishes few of them: by driver, natural class, bearer and time. Held as a charge each, with its
splits, its entries and its parts, a line takes seven kilobytes.

Decision. Lines are read one at a time, and lines that are alike in every column a statement reads become
a *bundle*: one charge, whose amount is their sum, with the amounts of all of them. It is divided once;
each split divides every amount on its own (`amounts.py`) and keeps the sums, so that a bundle gives the
same figures as its lines, to the picounit. All later stages only add up: entries, lines, parts,
validations and notes of a bundle are the sums of those of its lines, by account and day too.

Columns that were not compared are blank in a bundle's charge, so that no later stage can read them by
mistake; its id is that of its first line. Lines for calls that state the same sale are alike whatever
their words (`billed_usage.py`), and the words of the first are kept.

A line stays single where its sum is not enough: if it reaches over the edge of the span or of a month
(its part is rounded), is for staff or an asset, is an estimate or an accrual and no line of a bill,
supports other pools, or exceeds 64 bits.

Lines come in the order of their ids, so the same lines give the same bundles, and a closed period can be
recomputed when it is verified. `Rules.bundles` tells if a period was computed in bundles; one that was
sealed line by line is always recomputed line by line.

Exports with a row for each line, and explanations, have lines divided alone, one after the other, by the
same weights (`single_lines.py`).

Rejected. Summing lines in SQL before they are divided (the remainder of a sum is not the sum of
remainders); a table of sums beside the lines (it would have to be kept right through every revision).
"""

from __future__ import annotations

import re
from array import array
from collections.abc import (
    Callable,
    Collection,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from inferworks.books.accounting.basis import COMMITMENT, commitment_of
from inferworks.books.accounting.tax import TAX, TAX_NAME, recoverable
from inferworks.books.allocation.billed_usage import COLUMNS as OF_SALES
from inferworks.books.allocation.billed_usage import model_text, sale_of
from inferworks.books.allocation.pools import DriverKind, behaviour_of, pool_of
from inferworks.books.amounts import LARGEST, Amounts
from inferworks.books.calendar.months import DAY_NS, day_of, month_of
from inferworks.books.calendar.span import Span
from inferworks.books.charge import NO_BILLS, VOUCHERS, Charge, ChargeId, NaturalClass
from inferworks.books.lines import Charges, Glance, Lines
from inferworks.books.statement.computation import Rules
from inferworks.catalog.billing import billing_of
from inferworks.meter.facts import Facts
from inferworks.units import Unit

_SINGLE: Final = frozenset({NaturalClass.DEPRECIATION, NaturalClass.EMPLOYEE_COMPENSATION})
_LOOKED_AT: Final = frozenset({"ChargeFrequency", "CommitmentDiscountStatus", "PricingCategory"})
"""Columns that say how a line is divided, or what is expected after it."""
_MOST_LINES: Final = 1_024
"""Lines of a bundle that is divided: so many times as many parts are held at once."""
_MOST_KNOWN: Final = 50_000


class Bundle(Charge, frozen=True, kw_only=True):
    """Bill lines as one charge: `amount_pico` is their sum, its id that of the first."""

    members: Amounts
    """Amounts of the lines, in picounits."""
    effective: Amounts | None = None
    """Effective cost of each line of a commitment, in picounits."""

    @property
    def amounts(self) -> Amounts:
        """Return the amount of each line, in picounits."""
        return self.members

    @property
    def lines(self) -> int:
        """Return the number of lines."""
        return len(self.members)

    @property
    def named(self) -> str:
        """The first of them, and how many more they are."""
        return f"{self.id} and {self.lines - 1} more"

    @property
    def title(self) -> str:
        """Return the number of lines and their service."""
        return f"{self.lines} lines of {self.service_name or self.issuer}"

    def effectively(self) -> Charge:
        """Return the bundle with the effective cost as amount, line by line."""
        if self.effective is None or self.effective_pico is None:
            return self
        return msgspec.structs.replace(
            self, amount_pico=self.effective_pico, members=self.effective
        )


class Things(NamedTuple):
    """Nodes and buckets that the meter knows, by the names that bills have for them."""

    nodes: Collection[str]
    buckets: Collection[str]

    @classmethod
    def of(cls, facts: Facts) -> Things:
        """Return the nodes and buckets of `facts`."""
        used = facts.activities
        return cls(
            {row.node for row in facts.capacity}
            | {one.resource for one in used if one.unit is Unit.NODE_NS},
            {one.resource for one in used if one.unit is Unit.BYTE_SECONDS},
        )


class _Distinction(Enum):
    """Properties that tell lines of one sort apart, beside their month."""

    NOTHING = 0
    """The whole line goes to one place; its entries stand on the day on which it ends."""
    TIME = 1
    TIME_AND_THING = 2
    SALE = 3
    """Everything by which a line for calls says what was sold."""
    TAX = 4
    """The name of a recoverable tax, which is no cost."""


class _Builder:
    """A bundle in the making."""

    def __init__(self, blank: Charge, limit: int | None) -> None:
        self.blank, self.limit = blank, limit
        self.end_ns = 0
        """End of the last of its lines."""
        self.first: Charge | None = None
        self.amounts, self.effective = array("q"), array("q")

    def done(self) -> list[Charge]:
        """Return the bundle of lines added since the last call; one line as it is, None without any."""
        first, self.first = self.first, None
        if first is None or len(self.amounts) == 1:
            self.amounts, self.effective = array("q"), array("q")
            return [] if first is None else [first]
        members = Amounts(self.amounts)
        effective = Amounts(self.effective) if self.effective else None
        self.amounts, self.effective = array("q"), array("q")
        columns: dict[str, Any] = {
            name: getattr(self.blank, name) for name in Charge.__struct_fields__
        }
        columns |= {
            "id": first.id,
            "file": first.file,
            "file_sha256": first.file_sha256,
            "row": first.row,
        }
        columns["period_end_ns"], columns["amount_pico"] = self.end_ns, int(members)
        columns["effective_pico"] = None if effective is None else int(effective)
        return [Bundle(members=members, effective=effective, **columns)]


class _Sort:
    """Lines of one pool that are distinguished by the same columns."""

    def __init__(self, distinction: _Distinction, compared: _Compared | None) -> None:
        """`compared`: the columns of a line that are compared beside its time."""
        self.distinction, self.compared = distinction, compared
        self.known: dict[tuple[object, ...], _Builder | None] = {}
        self.sales: dict[tuple[object, ...], object] = {}


_Compared: TypeAlias = Callable[[_Sort, Glance, bytes], object]
_decode = msgspec.json.Decoder(Charge).decode


def in_bundles(charges: Charges, rules: Rules, span: Span, things: Things) -> Sequence[Charge]:
    """`charges` as they are where they are held; in bundles where they are to be read."""
    if not isinstance(charges, Lines):
        return charges
    how = rules, span, things
    return charges.bundled(how, Bundler(rules, span, things).charges)


class Bundler:
    """Puts the lines of `span` into bundles, under `rules`, by what the meter knows."""

    def __init__(self, rules: Rules, span: Span, things: Things) -> None:
        self._rules, self._span, self._things = rules, span, things
        self._billing = billing_of(rules.billing)
        tags = ("Tags",) if rules.departments.tags else ()
        self._kept = frozenset({*_LOOKED_AT, COMMITMENT, *tags})
        self._kept_pairs = _pairs(self._kept)
        self._sale_pairs = _pairs({*OF_SALES, TAX_NAME})
        self._sorts: dict[tuple[object, ...], _Sort | None] = {}
        self._taxes: dict[tuple[object, ...], str | None] = {}
        self._builders: dict[tuple[Charge, object], _Builder] = {}
        self._compared: dict[_Distinction, _Compared] = {
            _Distinction.TIME_AND_THING: lambda _, line, __: line.resource_id,
            _Distinction.TAX: lambda _, line, __: (line.description, *self._sale_pairs(line.other)),
            _Distinction.SALE: self._sale,
        }

    def charges(self, lines: Iterable[tuple[bytes, Glance]]) -> list[Charge]:
        """`lines`, as JSON and at a glance, in bundles where they can be. BooksError as of single ones."""
        charges: list[Charge] = []
        for body, line in lines:
            builder = self._bundle_of(line, body)
            if builder is None:
                charges.append(_decode(body))
                continue
            if builder.first is None:
                builder.first = _decode(body)
            builder.amounts.append(line.amount_pico)
            builder.end_ns = max(builder.end_ns, line.period_end_ns)
            if builder.blank.effective_pico is not None:
                builder.effective.append(line.effective_pico or 0)
            if len(builder.amounts) == builder.limit:
                charges += builder.done()
        for builder in self._builders.values():
            charges += builder.done()
        return charges

    def within(
        self, lines: Iterable[tuple[bytes, Glance]], bundles: Mapping[str, Container[int]]
    ) -> Iterator[bytes]:
        """Yield the bodies of the lines at given places in `bundles`, which bear their first lines' ids."""
        first: dict[_Builder, tuple[str, int]] = {}
        for body, line in lines:
            builder = self._bundle_of(line, body)
            if builder is None:
                continue
            name, count = first.get(builder, (line.id, 0))
            first[builder] = name, count + 1
            if count + 1 == builder.limit:
                del first[builder]
            if count in bundles.get(name, ()):
                yield body

    def _bundle_of(self, line: Glance, body: bytes) -> _Builder | None:
        """The bundle that `line` goes into; None where it stays single."""
        nodes, buckets = self._things
        amount, effective, thing = line.amount_pico, line.effective_pico, line.resource_id
        sign = 0 if not amount else -1 if amount < 0 else 1
        tax: str | None = None
        if line.charge_category == TAX:  # one that does not come back is a cost like any other
            words = line.description, *self._sale_pairs(line.other)
            if words not in self._taxes:
                if len(self._taxes) > _MOST_KNOWN:
                    self._taxes.clear()
                found = recoverable(_decode(body), self._rules.recoverable_taxes)
                self._taxes[words] = None if found is None else found.name
            tax = self._taxes[words]
        alike = (
            line.issuer, line.provider, line.service_category, line.service_name,
            line.resource_type, line.natural_class, line.charge_category, line.charge_class,
            line.currency, line.department, line.file in NO_BILLS, sign,
            None if effective is None else _sign(effective), thing in nodes, thing in buckets,
            tax,
            *self._kept_pairs(line.other),
        )  # fmt: skip
        if alike not in self._sorts:
            distinction = self._distinction(self._rules.departments.placed(_decode(body)))
            self._sorts[alike] = (
                None if distinction is None else _Sort(distinction, self._compared.get(distinction))
            )
        sort = self._sorts[alike]
        if sort is None or abs(amount) >= LARGEST or abs(effective or 0) >= LARGEST:
            return None
        compared = sort.compared and sort.compared(sort, line, body)
        key = line.period_start_ns, line.period_end_ns, compared
        if key not in sort.known:
            if len(sort.known) > _MOST_KNOWN:
                sort.known.clear()
            sort.known[key] = self._builder_of(sort.distinction, compared, body)
        return sort.known[key]

    def _distinction(self, charge: Charge) -> _Distinction | None:
        if charge.issuer == VOUCHERS or charge.file in NO_BILLS or charge.natural_class in _SINGLE:
            return None
        if recoverable(charge, self._rules.recoverable_taxes):
            return _Distinction.TAX
        nodes, buckets = self._things
        match pool_of(charge, self._rules.pools, nodes, self._billing).driver:
            case DriverKind.POOLS | DriverKind.REPAIR_TIME:
                return None
            case DriverKind.PROVIDER_TOKENS:
                return _Distinction.SALE
            case DriverKind.CALL_BYTES:
                return _Distinction.TIME
            case DriverKind.NODE_TIME:
                return _Distinction.TIME_AND_THING
            case DriverKind.STORED_BYTES if charge.resource_id in buckets:
                return _Distinction.TIME_AND_THING
            case _:
                return _Distinction.NOTHING

    def _sale(self, sort: _Sort, line: Glance, body: bytes) -> object:
        """Return the sale that `line` states in any words, with the model as written where that counts."""
        words = line.resource_id, line.description, line.unit, *self._sale_pairs(line.other)
        if words not in sort.sales:
            if len(sort.sales) > _MOST_KNOWN:
                sort.sales.clear()
            charge = _decode(body)
            sale = sale_of(charge, self._billing)
            sort.sales[words] = sale, model_text(charge) if sale.certain else ""
        return sort.sales[words]

    def _builder_of(
        self, distinction: _Distinction, compared: object, body: bytes
    ) -> _Builder | None:
        """The bundle for lines that are alike `body`, which may be there already."""
        charge = self._rules.departments.placed(_decode(body))
        period = Span(charge.period_start_ns, charge.period_end_ns)
        inside = self._span.meet(*month_of(period.start_ns))
        if inside.meet(*period) != period or not period.length_ns:
            return None
        alike = self._blank(charge, distinction, inside)
        blank = alike
        if distinction is _Distinction.SALE:
            # the first one's words stand for all that say the same
            columns = {*self._kept, *OF_SALES}
            blank = msgspec.structs.replace(
                alike,
                resource_id=charge.resource_id,
                description=charge.description,
                unit=charge.unit,
                other=_of(charge, columns),
            )
        if self._looked_at(blank) != self._looked_at(charge):
            return None
        limit = None if distinction in (_Distinction.NOTHING, _Distinction.TAX) else _MOST_LINES
        return self._builders.setdefault((alike, compared), _Builder(blank, limit))

    def _blank(self, charge: Charge, distinction: _Distinction, month: Span) -> Charge:
        """`charge` with nothing but what is looked at, less the words that say what was sold."""
        is_timed = distinction not in (_Distinction.NOTHING, _Distinction.TAX)
        day_end_ns = min(day_of(charge.period_end_ns - 1) + DAY_NS, month.end_ns)
        return msgspec.structs.replace(
            charge,
            id=ChargeId(""),
            invoice="",
            line="",
            file="",
            file_sha256="",
            row=0,
            resource_id=charge.resource_id if distinction is _Distinction.TIME_AND_THING else None,
            description=charge.description if distinction is _Distinction.TAX else "",
            period_start_ns=charge.period_start_ns if is_timed else month.start_ns,
            period_end_ns=charge.period_end_ns if is_timed else day_end_ns,
            amount_pico=_sign(charge.amount_pico),
            effective_pico=None
            if commitment_of(charge) is None
            else _sign(charge.effective_pico or 0),
            quantity=None,
            unit=None,
            other=_of(
                charge, {*self._kept, TAX_NAME} if distinction is _Distinction.TAX else self._kept
            ),
            region_id=None,
            foreign=None,
            exact=None,
        )

    def _looked_at(self, charge: Charge) -> tuple[object, ...]:
        """Return the properties of `charge` that blanking must not change."""
        pool = pool_of(charge, self._rules.pools, self._things.nodes, self._billing)
        is_sale = pool.driver is DriverKind.PROVIDER_TOKENS
        tax = recoverable(charge, self._rules.recoverable_taxes)
        return (
            pool.name,
            behaviour_of(charge, pool),
            self._rules.departments.placed(charge).department,
            commitment_of(charge),
            None if tax is None else tax.name,
            sale_of(charge, self._billing) if is_sale else None,
        )


def _of(charge: Charge, columns: Collection[str]) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in charge.other if pair[0] in columns)


def _sign(amount_pico: int) -> int:
    """Return the sign: credits are bundled apart, for support amounts follow positive charges."""
    return (amount_pico > 0) - (amount_pico < 0)


def _pairs(names: Iterable[str]) -> Callable[[msgspec.Raw], list[bytes]]:
    """Finds the pairs of these `names` among the columns of a line, as they are written.

    A quotation mark within a text is escaped, so `["` begins a pair and nothing else.
    """
    any_of = "|".join(map(re.escape, sorted(names))).encode()
    return re.compile(rb'\["(?:' + any_of + rb')","(?:[^"\\]|\\.)*"\]').findall
