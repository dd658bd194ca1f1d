"""Reconciliation: the totals of bills beside the suppliers' invoices, and the missing bills.

Theorem 17: the sum of deliveries by issuer and month equals the supplier's invoices, or the difference is
listed. An invoice is in cents and a bill is finer, so a bill agrees when its exact total, rounded to the
places of the invoice, is the invoice's.

An amount owed to a supplier was billed in a file, or entered as a voucher that names the supplier; its
invoice is compared with both, tax included. Pay is owed to staff and depreciation to nobody: they are not
in accounts payable, and no invoice is compared with them. An expected bill must come in a file: until it
does, an accrual stands for it, also beside a voucher. A supplier is not expected because of a voucher of
last month.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from enum import StrEnum
from typing import NamedTuple

from inferworks.books.accounting.entries import PAYABLE, credited
from inferworks.books.charge import VOUCHERS, Charge
from inferworks.books.currency import as_billed
from inferworks.books.deliveries.canonical import FOCUS, delivery_of, normal
from inferworks.books.deliveries.record import Import, State
from inferworks.money import EXACT

_WIDE = Context(prec=EXACT.prec)
"""Decimal context that allows rounding, which `EXACT` does not."""


class Invoice(NamedTuple):
    """Total of a supplier's invoice, or of all its invoices for a month."""

    issuer: str
    invoice: str
    """Its number; empty where `month` is given."""
    month: str
    currency: str
    total: str
    """Total as written on the invoice."""


class Finding(StrEnum):
    """Result of comparing a supplier's bill with its invoice."""

    AGREES = "agrees"
    DIFFERS = "differs"
    NO_BILL = "no bill"
    NO_INVOICE = "no invoice"
    EXPECTED = "expected"
    """Bill missing of a supplier in the configuration, or of one that billed the month before."""


class Check(NamedTuple):
    """One line of the checklist."""

    issuer: str
    what: str
    """An invoice's number, or a month."""
    currency: str
    billed: Decimal | None
    """The exact total of the lines in the books; None without any."""
    invoiced: Decimal | None
    finding: Finding

    @property
    def difference(self) -> Decimal | None:
        """Billed less invoiced."""
        if self.billed is None or self.invoiced is None:
            return None
        return EXACT.subtract(self.billed, self.invoiced)


Totals = Mapping[tuple[str, str, str], Decimal]
"""Exact totals by issuer, by invoice or month, and by currency."""


def checklist(
    charges: Iterable[Charge],
    invoices: Sequence[Invoice],
    expected: Iterable[tuple[str, str]],
    month: str | None = None,
) -> list[Check]:
    """Every invoice beside its lines, what no invoice is for, and the bills `expected`, by their month.

    `charges` are the lines of bills, and payable vouchers. With a `month` it is about that one: bills of
    others that no invoice is for are left out.
    """
    by_invoice, by_month = _totals(charges)
    checks: list[Check] = []
    for invoice in invoices:
        what, total = invoice.invoice or invoice.month, Decimal(invoice.total)
        sums = by_invoice if invoice.invoice else by_month
        billed, finding = sums.get((invoice.issuer, what, invoice.currency)), Finding.NO_BILL
        if billed is not None:
            exponent = total.as_tuple().exponent
            places = Decimal((0, (1,), exponent if isinstance(exponent, int) else 0))
            either_way = (ROUND_HALF_EVEN, ROUND_HALF_UP)
            agrees = any(billed.quantize(places, half, _WIDE) == total for half in either_way)
            finding = Finding.AGREES if agrees else Finding.DIFFERS
        checks.append(Check(invoice.issuer, what, invoice.currency, billed, total, finding))
    numbered = {issuer for issuer, number, *_ in invoices if number}
    monthly = {(bill.issuer, bill.month, bill.currency) for bill in invoices if bill.month}
    if invoices:
        checks += [
            Check(*key, total, None, Finding.NO_INVOICE)
            for key, total in by_month.items()
            if total and key not in monthly and key[0] not in numbered and month in (None, key[1])
        ]
    absent = {(check.issuer, check.what) for check in checks if check.finding is Finding.NO_BILL}
    checks += [
        Check(*bill, "", None, None, Finding.EXPECTED) for bill in expected if bill not in absent
    ]
    return sorted(checks, key=lambda check: (check.issuer, check.what, check.currency))


def missing(
    imports: Iterable[Import], suppliers: Iterable[str], month: str
) -> Iterator[tuple[str, str]]:
    """Yield the `suppliers` without a bill in force for `month`, each with the month."""
    here = billed_by(imports, month)
    for supplier in sorted(set(map(normal, suppliers))):
        if supplier.casefold() not in {issuer.casefold() for issuer in here}:
            yield supplier, month


def billed_by(imports: Iterable[Import], month: str) -> set[str]:
    """Return the issuers whose bills for `month` are in force."""
    return {
        one.delivery.issuer
        for one in imports
        if one.state is State.IN_FORCE
        and one.delivery.kind == FOCUS
        and one.delivery.period.startswith(month)
    }


def is_payable(voucher: Charge) -> bool:
    """Return True if `voucher` is one, and is payable to a supplier that it names."""
    named = voucher.issuer == VOUCHERS != voucher.provider
    return named and credited(voucher).startswith(f"{PAYABLE}:")


def _totals(charges: Iterable[Charge]) -> tuple[Totals, Totals]:
    by_invoice: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    by_month: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    for charge in charges:
        if charge.service_name == "Rounding":
            continue  # the exact amounts are summed
        billed = as_billed(charge)
        amount = (
            Decimal(charge.exact)
            if charge.exact
            else EXACT.scaleb(Decimal(billed.amount_pico), -12)
        )
        month = delivery_of(FOCUS, charge).period[:7]
        issuer, number = charge.issuer, charge.invoice
        if issuer == VOUCHERS:  # each is an invoice of its own
            issuer, number = charge.provider, charge.line.removesuffix("/tax")
        for sums, key in ((by_invoice, number), (by_month, month)):
            place = issuer, key, billed.currency
            sums[place] = EXACT.add(sums[place], amount)
    return by_invoice, by_month
