"""A data folder of version 0.1 opens: closed months verify, and say what they said.

`tests/golden/folders/0.1.tar.gz` is the folder of examples/month-end as that version left it, with the
first days of October in the lake, two closed months, and the statement that each of them printed as JSON.
Modules, classes and texts have had other names since; the names on the disk are formats and stay.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import run
from tests.support.old_folder import unpack_old_folder

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Unpack the folder and work in it."""
    monkeypatch.chdir(unpack_old_folder(tmp_path))
    return tmp_path


def printed(*arguments: str) -> str:
    """Run a command that must work; its output."""
    return run(*arguments).stdout


def missing(before: Any, now: Any, place: str = "") -> list[str]:
    """List what `before` says and `now` does not; keys that are new may stand beside."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            found
            for name, value in before.items()
            for found in missing(value, now.get(name), f"{place}.{name}")
        ]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [
            found
            for number, pair in enumerate(zip(before, now, strict=True))
            for found in missing(*pair, f"{place}[{number}]")
        ]
    return [] if before == now else [f"{place}: {before!r} was, {now!r} is"]


def test_closed_months_verify(folder: Path) -> None:
    """Each close comes out of its inputs as it was sealed, by today's code."""
    assert "Closes checked: 2" in printed("books", "verify")
    assert "everything is as it was sealed" in printed("lake", "verify")


@pytest.mark.parametrize("month", ["2025-09", "2025-10"])
def test_a_closed_month_says_what_it_said(folder: Path, month: str) -> None:
    """Every figure and name of the statement by customer is as version 0.1 printed it."""
    before = json.loads((folder / "statements" / f"{month}.json").read_text("utf-8"))
    now = json.loads(printed("books", "statement", "--period", month, "--by", "customer", "--json"))
    assert missing(before, now) == []


def test_work_goes_on_in_it(folder: Path) -> None:
    """The open month has its statement, a bill comes in, and the month is closed on the old chain."""
    before = json.loads(printed("books", "statement", "--period", "2025-11", "--json"))
    (folder / "bill.csv").write_text(
        "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceCategory\n"
        "12.50,USD,2025-11-01T00:00:00Z,2025-12-01T00:00:00Z,Paper and Pens Ltd,Other\n"
    )
    printed("books", "import", "bill.csv")
    after = json.loads(printed("books", "statement", "--period", "2025-11", "--json"))
    assert Decimal(after["billed"]) - Decimal(before["billed"]) == Decimal("12.50")
    printed("books", "close", "2025-11", "--json")
    assert "Closes checked: 3" in printed("books", "verify")
