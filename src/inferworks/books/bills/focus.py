"""Bills in FOCUS, CSV or Parquet, versions 1.0 to 1.4 (https://focus.finops.org).

Columns are found by name, so a version that lacks one leaves its field empty, and a column we have no
field for is kept under its own name (the AllocatedMethod* columns of 1.3 among them). Neither the version
nor the order of columns matters. Who issued the bill and who provided the service changed its name:
InvoiceIssuerName stayed; ProviderName and PublisherName of 1.0 became ServiceProviderName and
HostProviderName in 1.3.

Costs. A line has two: BilledCost, the invoiced amount, and EffectiveCost, the same with commitments
spread over their use. Both are kept; `books/accounting/basis.py` decides between them. A purchase whose
charge period is the whole term is spread over it, as any charge that is longer than a statement. Credits,
refunds and corrections are negative lines like any other; nothing is clamped.

FOCUS has no column that names a line. Where a bill adds one (`x_LineId`, or the `Id` of the published
sample) it is part of the line's subject. The equality of two lines: `deliveries/canonical.py`.

`x_Department` names the department of a line; so may a tag, by a key in `books.department_tags`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from itertools import repeat
from typing import NamedTuple

import msgspec

from inferworks.books.allocation.departments import SHIPPED, Departments, tags_of
from inferworks.books.bills.base import (
    BillFile,
    Conversion,
    Problem,
    Progress,
    as_ours,
    cell_text,
    header_of,
    misshapen,
    origins_of,
    refuse,
    require_columns,
)
from inferworks.books.bills.block import Block, Memory, missing
from inferworks.books.bills.tables import Batch, Table, open_table
from inferworks.books.bills.workers import ROWS_ALONE, Read, read_in_order
from inferworks.books.charge import Charge, NaturalClass
from inferworks.books.currency import NO_RATES, Rates
from inferworks.books.deliveries.arriving import COMMITMENT_STATUS, TAGS, ArrivingLines, Sort
from inferworks.books.deliveries.canonical import (
    ACCOUNT,
    FOCUS,
    PERIOD,
    Delivery,
    about_line,
    billing_day,
    decimal_text,
    is_unnamed,
    is_waiting,
    normal,
    numbered,
)
from inferworks.books.deliveries.columns import LineColumns, coded, lines_of

_encode = msgspec.json.Encoder().encode

_REQUIRED = (
    "BilledCost",
    "BillingCurrency",
    "ChargePeriodStart",
    "ChargePeriodEnd",
)
_OURS = frozenset({"x_RevenueItem", "x_ChargeId"})
"""Columns that only a bill of our own has: what is no formula there is read back (`formula`)."""
_DEPARTMENT = "x_Department"
_LINE_NAMES = ("x_LineId", "Id")
_ISSUERS = ("InvoiceIssuerName", "ServiceProviderName", "ProviderName")
_PROVIDERS = (
    "ServiceProviderName",
    "ProviderName",
    "PublisherName",
    "HostProviderName",
    "InvoiceIssuerName",
)
_READ = frozenset(
    {
        *_REQUIRED,
        "InvoiceId",
        "InvoiceIssuerName",
        "ServiceCategory",
        "ServiceName",
        "ResourceId",
        "ResourceType",
        "RegionId",
        "ChargeDescription",
        "ChargeCategory",
        "ChargeClass",
        "EffectiveCost",
        "ConsumedQuantity",
        "ConsumedUnit",
        "x_NaturalClass",
        _DEPARTMENT,
    }
)
_NATURAL_CLASS = {"Networking": NaturalClass.NETWORK, "Other": NaturalClass.OTHER}
"""Natural class of a service category that is no purchased compute; `x_NaturalClass` overrules it."""


class FocusBillReader:
    """Reads FOCUS, for a company with `departments`."""

    kind = FOCUS

    def __init__(self, departments: Departments = SHIPPED) -> None:
        self._departments = departments

    def recognises(self, header: Sequence[str]) -> bool:
        """Return True if the header has the columns that every FOCUS bill must have."""
        return {"BilledCost", "ChargePeriodStart"} <= set(header)

    def read(
        self, bill: BillFile, currency: str, progress: Progress, rates: Rates = NO_RATES
    ) -> tuple[Charge, ...]:
        """The charges of `bill`; BillError with every bad cell."""
        lines = self.lines(bill, currency, progress, rates)
        return numbered(self.kind, [one for some in lines for one in some.charges()])

    def lines(
        self,
        bill: BillFile,
        currency: str,
        progress: Progress,
        rates: Rates = NO_RATES,
        workers: int = 0,
        rows_alone: int = ROWS_ALONE,
    ) -> Generator[ArrivingLines]:
        """The lines of `bill`, some at a time; BillError with every bad cell after the last. To be closed.

        After `rows_alone` rows as many processes as there are `workers` read beside this one.
        """
        require_columns(bill, _REQUIRED)
        is_ours = bill.is_text and not _OURS.isdisjoint(header_of(bill))
        table = open_table(bill.name, bill.raw, bill.form)
        told = bill._replace(raw=b""), table._replace(batches=iter(())), is_ours
        job = _Job(*told, self._departments, currency, rates)
        origins, problems, rows = origins_of(bill), list[Problem](), 0
        unrated: dict[str, Problem] = {}
        with closing(read_in_order(job, table.batches, workers, rows_alone)) as batches:
            for read in batches:
                problems += read.misshapen
                problems += (one.traced(origins) if origins else one for one in read.noted)
                problems += read.unconverted
                unrated = {**read.unrated, **unrated}
                yield read.lines
                rows += read.rows
                progress(rows)
        refuse([*problems, *unrated.values()])


class _Job(NamedTuple):
    """Inputs for reading batches of a bill in any process."""

    bill: BillFile
    """The file without its content."""
    table: Table
    """The table without its rows."""
    is_ours: bool
    """True if this program wrote it."""
    departments: Departments
    currency: str
    rates: Rates

    @property
    def file(self) -> str:
        """The name of the file."""
        return self.bill.name

    def reader(self) -> Callable[[Batch], Read]:
        """Return a function that reads batches of the bill, each by itself."""
        given: list[Batch] = []
        memory = Memory()
        table = as_ours(self.table._replace(batches=iter(given.pop, None)), self.bill)

        def read(batch: Batch) -> Read:
            given.append(batch)
            ours = next(table.batches)
            problems: list[Problem] = []
            block = Block(self.bill.name, table, ours, problems, memory)
            if self.is_ours:
                block = block.restored()
            conversion = Conversion("BillingCurrency", self.currency, self.rates)
            columns = _columns(self.bill, block, self.departments)
            lines = lines_of(columns, self.currency, conversion.of)
            bad_rows = tuple(misshapen(self.bill.name, table, ours))
            rows = len(ours.numbers) + len(ours.misshapen)
            return Read(rows, lines, bad_rows, problems, conversion.problems, conversion.unrated)

        return read


class _Billed(NamedTuple):
    """Account, billing period and invoice of a line."""

    delivery: Delivery
    delivery_json: bytes
    issuer: bytes
    invoice: bytes
    told_invoice: str
    told_invoice_json: bytes


def _billed(told: tuple[str | None, str | None, str | None, str]) -> _Billed:
    """Before an invoice is issued, the account and the month that it will be for stand for its number."""
    issuer, account, number, day = told
    delivery = Delivery(FOCUS, issuer or "", normal(account or ""), day)
    invoice = number or f"{account or ''}/{day}"
    told_invoice = "" if is_waiting(invoice, delivery.account) else invoice
    return _Billed(
        delivery,
        _encode(delivery),
        _encode(delivery.issuer),
        _encode(invoice),
        told_invoice,
        _encode(told_invoice),
    )


def _line_json(line: str | None) -> bytes:
    return b"" if is_unnamed(line or "") else _encode(line)


def _about_line_json(line: str | None) -> bytes:
    return _encode(about_line(line or ""))


def _json_or(otherwise: str | None, cell: str) -> bytes:
    """The JSON of a cell; of `otherwise`, where it is empty."""
    return _encode(cell_text(cell) or otherwise)


_TEXT, _OPTIONAL = partial(_json_or, ""), partial(_json_or, None)
_CELLS = {
    "service_category": ("ServiceCategory", partial(_json_or, "Other")),
    "service_name": ("ServiceName", _TEXT),
    "resource_id": ("ResourceId", _OPTIONAL),
    "resource_type": ("ResourceType", _OPTIONAL),
    "description": ("ChargeDescription", _TEXT),
    "charge_category": ("ChargeCategory", partial(_json_or, "Usage")),
    "charge_class": ("ChargeClass", _OPTIONAL),
    "currency": ("BillingCurrency", _TEXT),
    "quantity": ("ConsumedQuantity", _OPTIONAL),
    "unit": ("ConsumedUnit", _OPTIONAL),
    "region_id": ("RegionId", _OPTIONAL),
}
"""The fields of a charge that are the text of a cell: its column, and what makes its JSON."""


def _quantity_json(cell: str) -> bytes:
    text = cell_text(cell)
    return _encode(decimal_text(text) if text else None)


def _columns(bill: BillFile, block: Block, departments: Departments) -> LineColumns:
    """The columns of all lines of `block`, also of those that have a problem, which refuse the file."""
    each = block.memory.each
    starts_ns, ends_ns = block.period_ns("ChargePeriodStart", "ChargePeriodEnd")
    issuers, amounts = block.first(*_ISSUERS), block.money("BilledCost")
    block.note_where(missing(issuers), _ISSUERS[0], "must not be empty: it says whom we owe")
    days = each(
        "",
        billing_day,
        list(zip(block.optional(PERIOD), starts_ns, strict=True)),
        lambda told: billing_day(told[0] or "", told[1]),
    )
    told = zip(issuers, block.optional(ACCOUNT), block.optional("InvoiceId"), days, strict=True)
    billed = each("", _billed, list(told))
    lines = block.first(*_LINE_NAMES)
    natural_classes = block.choice(
        "x_NaturalClass", NaturalClass, block.each("ServiceCategory", _usual_class)
    )
    effective = block.optional_money_pico("EffectiveCost")
    exacts = [amount.exact for amount in amounts]
    amounts_pico = [amount.pico for amount in amounts]
    currencies = block.text("BillingCurrency")
    providers = [one or "" for one in block.first(*_PROVIDERS)]
    named = _named_departments(block, departments)
    optional = block.optional
    sorts, sort_places = coded(
        list(
            zip(
                providers, issuers, optional("ServiceName"), optional("ServiceCategory"),
                optional("ChargeCategory"), optional("ResourceType"), named, natural_classes,
                optional(COMMITMENT_STATUS), optional(TAGS), strict=True,
            )
        )
    )  # fmt: skip
    fields: dict[str, Iterable[bytes | int]] = {
        "issuer": [one.issuer for one in billed],
        "invoice": [one.invoice for one in billed],
        "file": repeat(_encode(bill.name)),
        "file_sha256": repeat(_encode(bill.sha256)),
        "row": block.numbers,
        "provider": each("", _encode, providers),
        "natural_class": each("", _encode, natural_classes),
        "period_start_ns": starts_ns,
        "period_end_ns": ends_ns,
        "amount_pico": amounts_pico,
        "effective_pico": [b"null" if pico is None else b"%d" % pico for pico in effective],
        "other": [b"[%b]" % other for other in block.unread(_READ)],
        "foreign": repeat(b"null"),
        "department": each("", _encode, named),
        "exact": [_encode(exact) for exact in exacts] if any(exacts) else repeat(b"null"),
        **{field: block.each(column, json) for field, (column, json) in _CELLS.items()},
    }
    return LineColumns(
        file=bill.name,
        file_sha256=bill.sha256,
        deliveries=[one.delivery for one in billed],
        sorts=[
            Sort(provider, issuer or "", name or "", category or "Other", charge or "Usage", *rest)
            for provider, issuer, name, category, charge, *rest in sorts
        ],
        sort_places=sort_places,
        currencies=currencies,
        deliveries_json=[one.delivery_json for one in billed],
        fields=fields,
        lines=each("", _line_json, lines),
        about_lines=each("", _about_line_json, lines),
        starts_ns=starts_ns,
        ends_ns=ends_ns,
        amounts_pico=amounts_pico,
        exacts=exacts,
        exacts_json=(
            [_encode(exact and decimal_text(exact)) for exact in exacts]
            if any(exacts)
            else repeat(b"null")
        ),
        effective=[b"None" if pico is None else b"%d" % pico for pico in effective],
        quantities=block.each("ConsumedQuantity", _quantity_json),
        invoices=[one.told_invoice for one in billed],
        invoices_json=[one.told_invoice_json for one in billed],
        about=block.about(_READ),
        carried=block.carried(_READ),
    )


def _named_departments(block: Block, departments: Departments) -> list[str | None]:
    """The departments in the bill's own column. One that a tag names stays there, and is only looked at."""
    named = block.optional(_DEPARTMENT)
    by_tag: list[str | None] = []
    if departments.tags:
        tagged = partial(_tagged, departments)
        by_tag = block.memory.each("Tags", _tagged, block.cells("Tags"), tagged)
    for column, names in (("Tags", by_tag), (_DEPARTMENT, named)):
        for at, name in enumerate(names) if any(names) else ():
            if name is not None and departments.find(name) is None:
                block.note(at, column, departments.unknown(name))
    return named


def _tagged(departments: Departments, text: str) -> str | None:
    tags = tags_of(text)
    return next((tags[key] for key in departments.tags if tags.get(key)), None)


def _usual_class(category: str) -> NaturalClass:
    return _NATURAL_CLASS.get(cell_text(category) or "Other", NaturalClass.PURCHASED_COMPUTE)
