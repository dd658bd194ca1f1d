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

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

from inferworks.books.allocation.departments import SHIPPED, Departments, tags_of
from inferworks.books.bills.base import (
    BillFile,
    Conversion,
    Problem,
    Progress,
    as_ours,
    header_of,
    misshapen,
    origins_of,
    refuse,
    require_columns,
)
from inferworks.books.bills.block import Block, missing
from inferworks.books.bills.tables import Batch, Table, open_table, worked
from inferworks.books.bills.workers import ROWS_ALONE, Read, read_in_order
from inferworks.books.charge import Charge, ChargeId, NaturalClass
from inferworks.books.currency import NO_RATES, Rates
from inferworks.books.deliveries.arriving import ArrivingLine, arriving_line
from inferworks.books.deliveries.canonical import (
    ACCOUNT,
    FOCUS,
    PERIOD,
    billing_day,
    focus_delivery,
    numbered,
)

_REQUIRED = (
    "BilledCost",
    "BillingCurrency",
    "ChargePeriodStart",
    "ChargePeriodEnd",
)
_OURS = frozenset({"x_RevenueItem", "x_ChargeId"})
"""Columns that only a bill of our own has: what is no formula there is read back (`formula`)."""
_DEPARTMENT = "x_Department"
_UNNAMED = ChargeId("")
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
        return numbered(self.kind, tuple(line.charge for line in lines))

    def lines(
        self,
        bill: BillFile,
        currency: str,
        progress: Progress,
        rates: Rates = NO_RATES,
        workers: int = 0,
        rows_alone: int = ROWS_ALONE,
    ) -> Generator[ArrivingLine]:
        """The lines of `bill`, one by one; BillError with every bad cell after the last. To be closed.

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
                yield from read.lines
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
        table = as_ours(self.table._replace(batches=iter(given.pop, None)), self.bill)

        def read(batch: Batch) -> Read:
            given.append(batch)
            ours = next(table.batches)
            problems: list[Problem] = []
            block = Block(self.bill.name, table, ours, problems)
            if self.is_ours:
                block = block.restored()
            conversion = Conversion("BillingCurrency", self.currency, self.rates)
            charges = map(conversion.of, _charges(self.bill, block, self.departments))
            lines = [
                arriving_line(
                    focus_delivery(
                        charge.issuer, account or "", period or "", charge.period_start_ns
                    ),
                    charge,
                    columns,
                )
                for charge, account, period, columns in zip(
                    charges,
                    block.optional(ACCOUNT),
                    block.optional(PERIOD),
                    block.columns(_READ),
                    strict=True,
                )
                if charge is not None
            ]
            bad_rows = tuple(misshapen(self.bill.name, table, ours))
            rows = len(ours.numbers) + len(ours.misshapen)
            return Read(rows, lines, bad_rows, problems, conversion.problems, conversion.unrated)

        return read


def _charges(bill: BillFile, block: Block, departments: Departments) -> Iterator[Charge]:
    starts_ns, ends_ns = block.period_ns("ChargePeriodStart", "ChargePeriodEnd")
    issuers, amounts = block.first(*_ISSUERS), block.money("BilledCost")
    block.note_where(missing(issuers), _ISSUERS[0], "must not be empty: it says whom we owe")
    optional = block.optional
    columns = (
        block.numbers,
        issuers,
        _invoices(block, starts_ns),
        block.first(*_LINE_NAMES),
        block.first(*_PROVIDERS),
        optional("ServiceCategory"),
        optional("ServiceName"),
        optional("ResourceId"),
        optional("ResourceType"),
        optional("ChargeDescription"),
        _natural_classes(block),
        optional("ChargeCategory"),
        optional("ChargeClass"),
        starts_ns,
        ends_ns,
        amounts,
        block.optional_money_pico("EffectiveCost"),
        block.text("BillingCurrency"),
        optional("ConsumedQuantity"),
        optional("ConsumedUnit"),
        block.unread(_READ),
        optional("RegionId"),
        _named_departments(block, departments),
    )
    for (
        number, issuer, invoice, line, provider, category, service, resource, resource_type, description,
        natural_class, charge_category, charge_class, start_ns, end_ns, amount, effective_pico, currency,
        quantity, unit, other, region, department,
    ) in zip(*columns, strict=True):  # fmt: skip
        yield Charge(
            id=_UNNAMED,
            issuer=issuer or "",
            invoice=invoice,
            line=line or "",
            file=bill.name,
            file_sha256=bill.sha256,
            row=number,
            provider=provider or "",
            service_category=category or "Other",
            service_name=service or "",
            resource_id=resource,
            resource_type=resource_type,
            description=description or "",
            natural_class=natural_class,
            charge_category=charge_category or "Usage",
            charge_class=charge_class,
            period_start_ns=start_ns,
            period_end_ns=end_ns,
            amount_pico=amount.pico,
            effective_pico=effective_pico,
            currency=currency,
            quantity=quantity,
            unit=unit,
            other=other,
            region_id=region,
            department=department,
            exact=amount.exact,
        )


def _named_departments(block: Block, departments: Departments) -> list[str | None]:
    """The departments in the bill's own column. One that a tag names stays there, and is only looked at."""

    def tagged(text: str) -> str | None:
        tags = tags_of(text)
        return next((tags[key] for key in departments.tags if tags.get(key)), None)

    named = block.optional(_DEPARTMENT)
    by_tag = block.each("Tags", tagged) if departments.tags else []
    for column, names in (("Tags", by_tag), (_DEPARTMENT, named)):
        for at, name in enumerate(names) if any(names) else ():
            if name is not None and departments.find(name) is None:
                block.note(at, column, departments.unknown(name))
    return named


def _invoices(block: Block, starts_ns: Sequence[int]) -> list[str]:
    """The invoices' ids; before one is issued, the account and the month it will be for."""

    def invoice(told: tuple[str | None, str | None, str | None, int]) -> str:
        number, account, period, start_ns = told
        return number or f"{account or ''}/{billing_day(period or '', start_ns)}"

    told = map(block.optional, ("InvoiceId", "BillingAccountId", "BillingPeriodStart"))
    return worked(list(zip(*told, starts_ns, strict=True)), invoice)


def _natural_classes(block: Block) -> list[NaturalClass]:
    usual = [
        _NATURAL_CLASS.get(category or "Other", NaturalClass.PURCHASED_COMPUTE)
        for category in block.optional("ServiceCategory")
    ]
    return block.choice("x_NaturalClass", NaturalClass, usual)
