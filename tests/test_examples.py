"""The examples, as a reader starts them: into a folder that is not there yet."""

from __future__ import annotations

import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
EXAMPLE = EXAMPLES / "month-end"
STOPS = 3


def test_the_month_end_begins_in_a_new_folder(tmp_path: Path) -> None:
    """The papers lie in the folder, and the first command runs there; that one says where and stops."""
    script = shutil.copytree(EXAMPLE, tmp_path / "examples" / "month-end") / "run.sh"
    command = tmp_path / ".venv" / "bin" / "inferworks"
    command.parent.mkdir(parents=True)
    command.write_text(f"#!/bin/sh\npwd\nexit {STOPS}\n", "utf-8")
    command.chmod(0o755)
    new = tmp_path / "new" / "larkspur"
    done = subprocess.run(["bash", script, new], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (STOPS, [str(new)]), done.stderr
    assert (new / "raw" / "2025-09" / "vouchers.csv").exists()


def run(example: str, *arguments: str) -> list[str]:
    """Run an example to its end, and return the lines that it prints."""
    command = [sys.executable, str(EXAMPLES / example), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_the_gateway_goes_on_without_a_provider(tmp_path: Path) -> None:
    """The cheaper provider answers, then the other one; both calls are in the log with their price."""
    first, second, *logged = run("gateway/run.py", str(tmp_path / "new"))
    assert first.startswith("Good morning.  (openai, 0.0000")
    assert second.startswith("Still here.  (anthropic, 0.0000")
    assert [" 200 " in line and " acme assistant" in line for line in logged] == [True, True]


@pytest.mark.slow
def test_a_training_job_is_on_record(tmp_path: Path) -> None:
    """The line is found, and one activity of the trainer is recorded."""
    fitted, head, *rows = run("training-job/run.py", str(tmp_path / "new"))
    assert fitted == "y = 3.00 x + 1.00"
    assert head.split() == ["ID", "KIND", "CUSTOMER", "START", "RETRACTED"]
    assert [row.split()[1] for row in rows if row.startswith("act_")] == ["activity"]


@pytest.mark.slow
def test_the_shares_of_an_invoice_sum_to_it() -> None:
    """A third, a third, a third and nothing of 100.00, exactly."""
    shares = dict(line.split() for line in run("library/share.py"))
    assert sum(map(Decimal, shares.values())) == Decimal("100.00")
    assert shares["search"].startswith("33.3333333333")
    assert Decimal(shares["archive"]) == 0


@pytest.mark.slow
def test_a_bill_is_divided_and_explained(tmp_path: Path) -> None:
    """The shares of the customers and of the evaluation sum to the bill; a call is found behind it."""
    calls, bill, *lines = run("library/books.py", str(tmp_path / "new"))
    assert (calls, bill) == ("calls.csv: 3 new, 0.00 USD", "bill.csv: 1 new, 4.20 USD")
    figures = dict(line.rsplit(" ", 1) for line in lines[:4])
    assert sum(map(Decimal, list(figures.values())[:2])) == Decimal("4.20")
    assert Decimal(figures["acme:"]) + Decimal(figures["burns:"]) == Decimal(
        figures["cost of revenue"]
    )
    assert lines[-1].split()[1:] == ["call", "gateway-b/1", "Input"]
    assert "800000 of 1484000 tokens" in lines[-2]


def test_every_example_is_listed() -> None:
    """`examples/README.md` has a line for each folder, and each names a file that is there."""
    text = (EXAMPLES / "README.md").read_text("utf-8")
    for folder in EXAMPLES.iterdir():
        if folder.is_dir():
            assert f"({folder.name}/" in text, folder.name
