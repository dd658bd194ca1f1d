"""The canonical line: the delivery of a bill line, and the equality of two lines.

Problem. The same bill comes as CSV and as Parquet, with its moments spelled `2026-11-01` or
`2026-11-01T00:00:00Z`, its amounts as 1.0, 1.00 or 1E0, before the invoice has a number and after, and
again with the columns of a newer FOCUS version. A line whose name contained any of that would be counted
twice.

Decision. A *delivery* is an issuer's charges for an account and a billing period in one kind of file. A
line is identified within it by its subject (*about*) and its values, in one form: moments are UTC
nanoseconds, amounts exact decimals, texts in NFC without outer space, a missing column like an empty one.
The subject are the columns of FOCUS 1.0 that name something; the values are amount, effective cost,
quantity and the end of its time. All other columns are *carried* (the invoice's number, tags, display
names, list prices, columns of newer versions or of one supplier): they may come later, and amend the
line.

Lines are a multiset. Of lines that are alike, the first has the name of its content as its id, the next
are distinguished by a number; so the ids of a delivery follow from its content, and not from the order,
the parts or the form in which it came.

Files of our own kinds name their subject: a person and a time, a voucher, an asset. Each of these is a
delivery of its own.

Rejected. InvoiceId in the name (null until the invoice is issued, as FOCUS prescribes); all columns in the
name (any column that is added later makes another line); the amount left out of it (a line that is restated
could not stand beside what replaces it, in a period that is closed).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from inferworks.books.calendar.moments import MOMENT, moment_text, parse_moment_ns
from inferworks.books.calendar.months import DAY_NS
from inferworks.books.charge import Charge, ChargeId
from inferworks.money import format_pico

FOCUS: Final = "focus"
"""The kind of files whose deliveries are accounts and billing periods."""

PERIOD: Final = "BillingPeriodStart"
"""The column of the day on which a billing period begins."""
ACCOUNT: Final = "BillingAccountId"
"""The column of the account that is billed."""
ABOUT: Final = frozenset(
    {
        "AvailabilityZone",
        "ChargeFrequency",
        "CommitmentDiscountCategory",
        "CommitmentDiscountId",
        "CommitmentDiscountStatus",
        "CommitmentDiscountType",
        "PricingCategory",
        "PricingUnit",
        "SkuId",
        "SkuPriceId",
        "SubAccountId",
    }
)
"""Columns without a field of their own that tell what a line is about."""
NOT_CARRIED: Final = ABOUT | {ACCOUNT, PERIOD}
"""Columns of `ABOUT`, and those that identify the delivery."""
_UNNAMED: Final = ("about:", "")
"""Prefix of the line of a charge that its bill did not name."""
_DECIMAL = re.compile(r"[+-]?(?=\.?\d)(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d{1,3})?")
_SHORT = re.compile(r"(-?)((?:0|[1-9][0-9]*)\.)([0-9]*[1-9])")
"""A number with decimals and no needless zero, as nearly all are."""
_FIGURES = re.compile(r"([+-]?)(?=\.?[0-9])([0-9]*)\.?([0-9]*)")
_ID_DIGITS = 24
_encode = msgspec.json.Encoder().encode


class Delivery(NamedTuple):
    """Charges of one issuer for one account and one billing period, in one kind of file."""

    kind: str
    issuer: str
    account: str
    """A billing account; of our own kinds of file, their invoice: a sheet, a person's pay, an asset."""
    period: str
    """The first day of the billing period; of our own kinds of file, the line that it is."""

    def __str__(self) -> str:
        account = f", account {self.account}" if self.kind == FOCUS and self.account else ""
        if self.kind == FOCUS:
            month = self.period[:7] if self.period.endswith("-01") else self.period
            return f"{self.issuer}{account}, {month}"
        line = "" if self.period.startswith("about:") else f", {self.period}"
        return f"{self.kind} {self.account}{line}"


class Line(NamedTuple):
    """A line by its content."""

    name: ChargeId
    """Name of the content, equal for lines that are alike; the id of the first of them."""
    about: str
    """Hash of the subject, equal for lines about the same thing, whatever their values."""
    carried: str
    """Hash of the carried columns; changes with each amendment."""
    invoice: str
    """The number of its invoice; empty while there is none."""


@lru_cache(maxsize=2_048)
def canonical(text: str) -> str:
    """`text` as it is compared: a moment as nanoseconds, a number as its decimal, else NFC.

    A number that begins with a needless zero is text: the name of something.
    """
    if _SHORT.fullmatch(text) is not None:
        return decimal_text(text)
    text = normal.__wrapped__(text)
    if text[:1].isdigit() or text[:1] in ("+", "-", "."):
        if _DECIMAL.fullmatch(text):
            return decimal_text(text)
        if MOMENT.fullmatch(text):
            try:
                return f"{parse_moment_ns(text)} ns"
            except ValueError:
                return text
    return text


@lru_cache(maxsize=2_048)
def normal(text: str) -> str:
    """`text` in NFC, without outer space."""
    text = text.strip()
    return text if text.isascii() else unicodedata.normalize("NFC", text)


@lru_cache(maxsize=2_048)
def decimal_text(text: str) -> str:
    """The one way to write the number in `text`: 1.0, 1.00 and 1E0 are "1"."""
    if (short := _SHORT.fullmatch(text)) is not None:
        sign, whole, fraction = short.groups()
        return f"{sign}{(whole[:-1] + fraction).lstrip('0')}E-{len(fraction)}"
    plain = _FIGURES.fullmatch(text)
    if plain is not None:
        sign, whole, fraction = plain.groups()
        digits, exponent = whole + fraction, -len(fraction)
    else:
        try:
            negative, figures, scale = Decimal(text).as_tuple()
        except ArithmeticError:
            return text
        if not isinstance(scale, int):
            return text
        sign, digits, exponent = "-" * negative, "".join(map(str, figures)), scale
    number = digits.lstrip("0").rstrip("0")
    if not number:
        return "0"
    exponent += len(digits) - len(digits.rstrip("0"))
    return f"{'-' if sign == '-' else ''}{number}" + (f"E{exponent}" if exponent else "")


def delivery_of(kind: str, charge: Charge) -> Delivery:
    """The delivery that `charge`, of a file of this `kind`, belongs to."""
    if kind == FOCUS:
        told = dict(charge.other)
        day = billing_day(told.get(PERIOD, ""), charge.period_start_ns)
        return Delivery(FOCUS, charge.issuer, normal(told.get(ACCOUNT, "")), day)
    person = dict(charge.other).get("person", "")
    span = f"{moment_text(charge.period_start_ns)}/{moment_text(charge.period_end_ns)}"
    if kind == "timesheet":  # known by what it is about, however an older program named its line
        work = charge.resource_id or charge.department
        return Delivery(kind, charge.issuer, f"{charge.invoice}: {person}, {work}", span)
    if kind == "payroll" and charge.invoice == f"pay of {person}":  # a run is known by what it pays
        billed = charge if charge.foreign is None else charge.foreign
        paid = f"{format_pico(billed.amount_pico)} {billed.currency}"
        return Delivery(kind, charge.issuer, f"{charge.invoice}: {paid}", span)
    line = charge.line.partition("/")[0] if charge.line.startswith("about:") else charge.line
    return Delivery(kind, charge.issuer, charge.invoice, line)


@lru_cache(maxsize=65_536)
def billing_day(text: str, charged_ns: int) -> str:
    """The day on which a billing period begins; without one, the month in which the charge begins."""
    try:
        return moment_text(parse_moment_ns(text))
    except ValueError:
        return f"{moment_text(charged_ns // DAY_NS * DAY_NS)[:7]}-01"


def told_invoice(delivery: Delivery, charge: Charge) -> str:
    """The number of the invoice; empty before one is issued, when its account and month stand for it."""
    waiting = delivery.kind == FOCUS and is_waiting(charge.invoice, delivery.account)
    return "" if waiting else charge.invoice


@lru_cache(maxsize=65_536)
def is_waiting(invoice: str, account: str) -> bool:
    """Return True if `invoice` is no number, but the `account` and the month that it will be for."""
    prefix = f"{account}/"
    rest = invoice.removeprefix(prefix)
    return invoice.startswith(prefix) and (not rest or MOMENT.fullmatch(rest) is not None)


def line_of(delivery: Delivery, charge: Charge) -> Line:
    """Return the canonical line of `charge` in `delivery`."""
    billed = charge if charge.foreign is None else charge.foreign
    about = (
        delivery,
        about_line(charge.line),
        charge.period_start_ns,
        charge.charge_category,
        charge.charge_class,
        charge.description,
        charge.service_category,
        charge.service_name,
        charge.resource_id,
        charge.resource_type,
        charge.region_id,
        charge.unit,
        billed.currency,
        [(name, normal(text)) for name, text in charge.other if name in ABOUT],
    )
    said = (
        charge.period_end_ns,
        str(billed.amount_pico),
        decimal_text(charge.exact) if charge.exact else None,
        str(billed.effective_pico),
        decimal_text(charge.quantity) if charge.quantity else None,
    )
    invoice = told_invoice(delivery, charge)
    carried = (
        invoice,
        charge.provider,
        charge.natural_class,
        charge.department,
        [(name, canonical(text)) for name, text in charge.other if name not in NOT_CARRIED],
    )
    return line_of_json(_encode(about), _encode(said), _encode(carried), invoice)


def about_line(line: str) -> str:
    """The name of a line as it tells lines apart; empty for one that its bill did not name."""
    return "" if line.startswith(_UNNAMED[0]) else line


def is_unnamed(line: str) -> bool:
    """Return True if this is the name of a line that its bill did not name, before it is given one."""
    return line in _UNNAMED


def line_of_json(about: bytes, said: bytes, carried: bytes, invoice: str) -> Line:
    """The line whose subject, values and carried columns these are."""
    digest = hashlib.sha256(about)
    about_name = digest.hexdigest()[:16]
    digest.update(said)
    name = ChargeId(f"chg_{digest.hexdigest()[:_ID_DIGITS]}")
    return Line(name, about_name, hashlib.sha256(carried).hexdigest()[:16], invoice)


def id_of(name: ChargeId, ordinal: int) -> ChargeId:
    """The id of one among alike lines, counting from 1."""
    if ordinal == 1:
        return name
    digest = hashlib.sha256(f"{name}#{ordinal}".encode())
    return ChargeId(f"chg_{digest.hexdigest()[:_ID_DIGITS]}")


def with_id(charge: Charge, name: ChargeId, ordinal: int = 1) -> Charge:
    """`charge` with the id of that one among the lines called `name`."""
    line = f"about:{name[4:20]}" if is_unnamed(charge.line) else charge.line
    if ordinal > 1:
        line = f"{line}#{ordinal}"
    return msgspec.structs.replace(charge, id=id_of(name, ordinal), line=line)


def numbered(kind: str, charges: Sequence[Charge]) -> tuple[Charge, ...]:
    """`charges` with the ids that they have in books which hold nothing else."""
    seen: dict[ChargeId, int] = {}
    done = []
    for charge in charges:
        name = line_of(delivery_of(kind, charge), charge).name
        seen[name] = seen.get(name, 0) + 1
        done.append(with_id(charge, name, seen[name]))
    return tuple(done)


def amended(kept: Charge, told: Charge, invoice: str) -> Charge:
    """Return `kept` with the carried columns of the alike line `told`; an empty column removes nothing.

    `invoice` is the number that `told` gives its invoice, if it has one.
    """
    other = dict(kept.other) | dict(told.other)
    return msgspec.structs.replace(
        kept,
        invoice=invoice or kept.invoice,
        provider=told.provider or kept.provider,
        natural_class=told.natural_class,
        department=told.department or kept.department,
        other=tuple(sorted(other.items())),
    )
