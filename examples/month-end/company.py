"""Shared parts of Larkspur's files: customers, models, and the writing of tables."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

SEED = 20251101
MONTHS = (dt.date(2025, 9, 1), dt.date(2025, 10, 1))
CUSTOMERS = {"acme": 9, "burns": 4, "corvid": 6, "dune": 2}
"""Calls a week by customer."""
GPU, POD = "i-0f3a9c2d11e8b7a60", "pod-7xk2"
"""The machine that AWS bills and the pod that RunPod does."""


class Model(NamedTuple):
    """Model that Larkspur resells; prices in micro-dollars per million tokens."""

    provider: str
    name: str
    input: int
    output: int


MODELS = (
    Model("openai", "gpt-5-mini", 250_000, 2_000_000),
    Model("anthropic", "claude-sonnet-4-5", 3_000_000, 15_000_000),
    Model("openrouter", "gpt-oss-120b", 50_000, 250_000),
)


class Call(NamedTuple):
    """One call that the proxy served."""

    id: str
    at: dt.datetime
    customer: str
    model: Model
    input: int
    output: int

    @property
    def pico(self) -> int:
        """Price that its provider charges for it, in picounits."""
        return self.input * self.model.input + self.output * self.model.output


def table(path: Path, rows: Iterable[Mapping[str, Any]], amount: str = "") -> Decimal:
    """Write a CSV file of `rows`; return the sum of their column `amount`."""
    found = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    return sum((Decimal(row[amount]) for row in found), Decimal(0)) if amount else Decimal(0)


def money(pico: int, places: int) -> str:
    """Picounits as a decimal text of at most so many `places`."""
    return f"{round(Decimal(pico) / 10**12, places):f}"


def days_of(first: dt.date) -> list[dt.date]:
    """The days of the month that begins with `first`."""
    return [first + dt.timedelta(n) for n in range((next_month(first) - first).days)]


def next_month(day: dt.date) -> dt.date:
    """The first day of the month after that of `day`."""
    return (day.replace(day=1) + dt.timedelta(32)).replace(day=1)
