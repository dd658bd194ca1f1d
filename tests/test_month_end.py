"""The month-end of a made-up company: what docs/month-end.md says is printed, and the ledgers agree."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import invoke

ROOT = Path(__file__).parent.parent
MONTHS = ("2025-09", "2025-10")

pytestmark = pytest.mark.slow


def test_the_month_end_of_the_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step of run.sh ends as it must and prints what the page says; months are those of hledger."""
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    folder = tmp_path / "new" / "larkspur"
    command = [sys.executable, str(ROOT / "tools" / "month_end.py"), "--check", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, f"run tools/month_end.py for:\n{done.stdout}{done.stderr}"
    monkeypatch.chdir(folder)
    if shutil.which("hledger") is None:
        pytest.skip("there is no hledger to compare the income statements with")
    for month in MONTHS:
        ours = by_us(month)
        assert ours["cost-of-revenue"]
        assert by_hledger(month) == ours


def by_hledger(month: str) -> dict[str, int]:
    """Income and expenses of a month in the exact journal, by account two levels down."""
    wanted = ("--file", "books.journal", "--period", month, "--output-format", "csv")
    command = ["hledger", "balance", "Income", "Expenses", *wanted, "--flat", "--no-total"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    sums: dict[str, int] = defaultdict(int)
    for row in csv.DictReader(printed.splitlines()):
        account, (amount, _) = row["account"], row["balance"].split()
        name = account.split(":")[1].lower() if account.startswith("Expenses") else "revenue"
        sums[name] -= int(amount) if name == "revenue" else -int(amount)
    return {name: pico for name, pico in sums.items() if pico}


def by_us(month: str) -> dict[str, int]:
    """The same of the statement, in picounits."""
    done = invoke("books", "statement", "--period", month, "--json")
    told: dict[str, Any] = json.loads(done.stdout)
    amounts = {**told["functions"], "revenue": told["statement"]["revenue"]}
    exact = {name: pico(amount) for name, amount in amounts.items()}
    return {name: amount for name, amount in exact.items() if amount}


def pico(amount: str) -> int:
    """An exact decimal in picounits."""
    whole, _, decimals = amount.partition(".")
    return int(whole + decimals.ljust(12, "0"))
