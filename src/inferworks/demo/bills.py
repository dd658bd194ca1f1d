"""The bills of the demo: SYNTHETIC, made for exactly the span that was measured.

Nobody bills thirty seconds. So one second of the run is billed as one minute of business, at usual prices,
and the figures become readable: dollars and not millionths. The files are real files, of the kinds that
the books import (FOCUS CSV and a time sheet CSV), and are imported like any other bills.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from inferworks.books.calendar.span import Span
from inferworks.money import format_pico, parse_pico
from inferworks.units import NS_PER_SECOND

NODE = "local"
DATASETS, LOGS = "datasets", "logs"
"""Volumes: files held to train, and files held to serve."""
CURRENCY = "USD"
SUPPLIER = "Synthetic Cloud"
LABEL = "SYNTHETIC: made up for this demo"
SCALE = "one second of the run is billed as one minute"

_EXPECTED_EXTRA_S = 8
"""Seconds of a run beside its traffic: starting, finishing, stopping."""


class Priced(msgspec.Struct, frozen=True):
    """Something that is billed by time."""

    line: str
    description: str
    category: str
    """FOCUS's ServiceCategory."""
    resource: str
    per_minute: str
    """Price of one billed minute."""


class Shift(msgspec.Struct, frozen=True):
    """A person's work on a node or on an activity: a share of the billed minutes, at a rate."""

    person: str
    node: str
    activity: str
    percent: int
    """Share of the billed minutes that this person worked, in percent."""
    per_minute: str


PRICES = (
    Priced("machine", "Machine with accelerators", "Compute", NODE, "0.50"),
    Priced("volume-datasets", "Volume for datasets", "Storage", DATASETS, "0.06"),
    Priced("volume-logs", "Volume for journal and logs", "Storage", LOGS, "0.03"),
    Priced("web-server", "Web servers and load balancer", "Web", "web-1", "0.10"),
)
SHIFTS = (
    Shift("ann", NODE, "", 20, "1.20"),
    Shift("bob", "", "support", 10, "0.90"),
)
"""Ann swaps failed parts on the machine; Bob keeps the service running."""


def billed_minutes(span: Span) -> int:
    """The minutes of business that `span` stands for."""
    return max(1, span.length_ns // NS_PER_SECOND)


def expected_bill_pico(seconds: int) -> int:
    """Estimate the bill of a run with `seconds` of traffic, in picounits."""
    minutes = seconds + _EXPECTED_EXTRA_S
    per_minute = sum(parse_pico(price.per_minute) for price in PRICES)
    return per_minute * minutes + sum(_pay_pico(shift, minutes) for shift in SHIFTS)


def price_lines() -> Iterator[tuple[str, str]]:
    """Yield the billed items with their prices, for people."""
    for price in PRICES:
        yield price.description, f"{format_pico(parse_pico(price.per_minute))} a minute"
    for shift in SHIFTS:
        about = f"node {shift.node}" if shift.node else shift.activity
        pay = format_pico(parse_pico(shift.per_minute))
        yield f"{shift.person.capitalize()}, {about}", f"{pay} a minute worked"


def write_bills(folder: Path, span: Span) -> tuple[Path, Path]:
    """Write the bills of `span`, which begins and ends on whole seconds; returns their paths."""
    focus, timesheet = folder / "synthetic-focus.csv", folder / "synthetic-timesheet.csv"
    focus.write_text(_csv([_focus_row(price, span) for price in PRICES]), encoding="utf-8")
    minutes = billed_minutes(span)
    shifts = [
        {
            "person": shift.person,
            "start": _moment(span.start_ns),
            "end": _moment(span.end_ns),
            "minutes": str(_worked(shift, minutes)),
            "node": shift.node,
            "activity": shift.activity,
            "pay": format_pico(_pay_pico(shift, minutes)),
            "currency": CURRENCY,
            "sheet": f"SYNTHETIC-{span.start_ns // NS_PER_SECOND}",
        }
        for shift in SHIFTS
    ]
    timesheet.write_text(_csv(shifts), encoding="utf-8")
    return focus, timesheet


def _focus_row(price: Priced, span: Span) -> Mapping[str, str]:
    minutes = billed_minutes(span)
    cost = format_pico(parse_pico(price.per_minute) * minutes)
    start, end = _moment(span.start_ns), _moment(span.end_ns)
    return {
        "BillingAccountId": "demo",
        "BillingCurrency": CURRENCY,
        "BillingPeriodStart": start,
        "BillingPeriodEnd": end,
        "ChargePeriodStart": start,
        "ChargePeriodEnd": end,
        "BilledCost": cost,
        "EffectiveCost": cost,
        "ListCost": cost,
        "ContractedCost": cost,
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ChargeDescription": f"{price.description} ({LABEL}; {SCALE})",
        "InvoiceId": f"SYNTHETIC-{span.start_ns // NS_PER_SECOND}",
        "InvoiceIssuerName": SUPPLIER,
        "ProviderName": SUPPLIER,
        "PublisherName": SUPPLIER,
        "ServiceCategory": price.category,
        "ServiceName": price.description,
        "ResourceId": price.resource,
        "ConsumedQuantity": str(minutes),
        "ConsumedUnit": "Minutes",
        "x_LineId": price.line,
    }


def _worked(shift: Shift, minutes: int) -> int:
    return max(1, minutes * shift.percent // 100)


def _pay_pico(shift: Shift, minutes: int) -> int:
    return parse_pico(shift.per_minute) * _worked(shift, minutes)


def _moment(at_ns: int) -> str:
    moment = dt.datetime.fromtimestamp(at_ns // NS_PER_SECOND, dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _csv(rows: Sequence[Mapping[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
