"""`inferworks demo` from end to end: its JSON contract, its exactness, and how it ends when stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from inferworks.demo.processes import running_platform
from inferworks.errors import UserError
from inferworks.folder import DataFolder
from inferworks.meter.reader import JournalReader

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "inferworks", "demo"]
TRACE = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
    f"2023-11-16 18:{15 + n // 60:02d}:{n % 60:02d}.0000000,{100 + 90 * n},{10 + n}\n"
    for n in range(90)
)
QUESTION_POOLS = ["machines", "machines", "storage", "web", "people"]


def environment(temporary: Path) -> Mapping[str, str]:
    """Ours, with throw-away folders made under `temporary`, where they can be seen."""
    temporary.mkdir(exist_ok=True)
    return {**os.environ, "TMPDIR": str(temporary)}


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the demo in `folder` to its end."""
    return subprocess.run(
        [*COMMAND, *options], capture_output=True, text=True, timeout=120, cwd=folder, check=False,
        env=environment(folder / "tmp"),
    )  # fmt: skip


def data_folders(folder: Path) -> list[Path]:
    """The data folders that runs in `folder` have left."""
    return list((folder / "tmp").glob("inferworks-demo-*"))


class Shown(NamedTuple):
    """JSON that a run printed, and the folder it was run in."""

    figures: dict[str, Any]
    folder: Path


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """A short run whose data folder is kept."""
    folder = tmp_path_factory.mktemp("demo")
    done = run(folder, "--seconds", "3", "--calls", "40", "--json", "--keep")
    assert done.returncode == 0, done.stderr
    return Shown(json.loads(done.stdout), folder)


def money(text: str) -> Decimal:
    """An amount, which must be written as a decimal string."""
    assert isinstance(text, str)
    return Decimal(text)


def test_every_call_is_counted_once(shown: Shown) -> None:
    """Calls sent, and records in the journal, are the same number; the plan's, a sample, rollouts."""
    figures = shown.figures
    assert figures["calls_sent"] == figures["usage_records"] == 40 + 1 + 32
    assert 60 < figures["calls_answered"] < figures["calls_sent"]
    assert figures["tokens"]["input"] > 500
    assert figures["tokens"]["output"] > 500
    [data] = data_folders(shown.folder)
    with JournalReader(DataFolder(data).journal) as journal:
        usages = list(journal.usages(0, 2**63 - 1))
        assert list(journal.opened_unclosed()) == []
    assert len({usage.call_id for usage in usages}) == figures["usage_records"]
    assert sum(usage.tokens.output for usage in usages) == figures["tokens"]["output"]


def test_every_picounit_is_allocated(shown: Shown) -> None:
    """Billed equals allocated; the customers' rows sum to the statement."""
    figures = shown.figures
    statement = figures["statement"]
    assert money(figures["billed"]) == money(figures["allocated"]) > 0
    for column in ("revenue", "cost_of_revenue", "gross_margin"):
        rows = sum(money(row[column]) for row in figures["customers"])
        assert rows == money(statement[column])
    spent = money(statement["cost_of_revenue"]) + money(statement["research_and_development"])
    assert spent == money(figures["billed"])
    assert 0 < money(statement["unused_capacity"]) < money(statement["cost_of_revenue"])
    assert (statement["policy"], statement["currency"]) == ("gaap", "USD")


def test_customers_have_the_margins_they_are_there_to_show(shown: Shown) -> None:
    """Acme earns, bargain loses although it pays, the free tier only costs."""
    rows = {row["customer"]: row for row in shown.figures["customers"]}
    assert money(rows["acme"]["gross_margin"]) > 0
    assert money(rows["bargain"]["gross_margin"]) < 0 < money(rows["bargain"]["revenue"])
    assert money(rows["free-tier"]["gross_margin"]) < 0 == money(rows["free-tier"]["revenue"])


def test_the_five_questions_have_amounts(shown: Shown) -> None:
    """Each has its pool and a cost above zero, and the parts do not exceed it."""
    questions = shown.figures["questions"]
    assert [q["number"] for q in questions] == [1, 2, 3, 4, 5]
    assert [q["pool"] for q in questions] == QUESTION_POOLS
    for question in questions:
        parts = money(question["cost_of_revenue"]) + money(question["research_and_development"])
        assert 0 < parts == money(question["amount"])
    assert money(questions[1]["cost_of_revenue"]) == 0


def test_the_loss_of_the_trainer_falls(shown: Shown) -> None:
    """The gradient descent beside the traffic was real."""
    trained = shown.figures["training"]
    assert trained["end_loss"] < trained["start_loss"] / 2
    assert trained["steps"] >= 100


def test_the_report_is_written(shown: Shown) -> None:
    """The report says that its bills are synthetic, and states the amount billed to the picounit."""
    page = Path(shown.figures["report"]).read_text(encoding="utf-8")
    assert Path(shown.figures["report"]).parent == shown.folder
    assert "SYNTHETIC" in page
    assert f"Billed {shown.figures['billed']} USD" in page


def test_a_trace_is_replayed_and_printed(tmp_path: Path) -> None:
    """Tables of 80 columns, without colour; the trace's sample stated; nothing left behind."""
    trace = tmp_path / "trace.csv"
    trace.write_text(TRACE, encoding="utf-8")
    done = run(tmp_path, "--seconds", "2", "--trace", str(trace), "--report", "mine.html")
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "40 of the 90 requests of trace.csv, a uniform sample (seed 1)" in words
    assert "What is gross margin?" in words
    assert "\x1b" not in done.stdout
    tables, _, report = done.stdout.rpartition("Report: ")
    assert max(map(len, tables.splitlines())) <= 80
    assert Path(report.strip()) == tmp_path / "mine.html"
    assert data_folders(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--trace", "none.csv"), "none.csv: cannot be read"),
        (("--report", "no/such/folder/r.html"), "cannot be written; choose another place"),
    ],
)
def test_what_cannot_work_is_one_line(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    """Found before anything is started; nothing is left."""
    done = run(tmp_path, *options)
    assert done.returncode != 0
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert said in line
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]
    assert data_folders(tmp_path) == []


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    """In the middle of the traffic: a quick end, no process and no folder left."""
    process = subprocess.Popen(
        [*COMMAND, "--seconds", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=tmp_path, env=environment(tmp_path / "tmp"),
    )  # fmt: skip
    try:
        assert process.stderr is not None
        for line in process.stderr:  # it tells its stages
            if line.startswith("Calling"):
                break
        [data] = data_folders(tmp_path)
        platform = DataFolder(data).instance()
    finally:
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in "".join(rest)
    assert platform is not None
    assert not _alive(platform.pid)
    assert data_folders(tmp_path) == []


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_platform_that_cannot_start_is_shown(tmp_path: Path) -> None:
    """The error repeats the output of the platform; here, that its folder is in use."""
    folder = DataFolder(tmp_path)

    async def start() -> None:
        async with running_platform(folder):
            pytest.fail("it must not start")

    with (
        folder.hold(),
        pytest.raises(UserError, match=r"did not start; its output ends:\n.*is in use by"),
    ):
        asyncio.run(start())
