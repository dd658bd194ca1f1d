"""Batches read by several processes: the same lines and messages as by one, and no half of a file."""

from __future__ import annotations

import csv
import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from inferworks.books.bills import block, tables, workers
from inferworks.books.bills.base import BillFile, Problem, bill_file, no_progress
from inferworks.books.bills.detect import understood
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.bills.mapping import BillMapping, read_mapping
from inferworks.books.bills.spelling import SpelledOtherwiseError
from inferworks.books.bills.tables import Batch, RawRow
from inferworks.books.bills.workers import (
    Read,
    decoded,
    decoded_answer,
    encoded,
    encoded_answer,
    spare_workers,
)
from inferworks.books.charge import Charge
from inferworks.books.currency import RateRow, Rates
from inferworks.books.deliveries.arriving import ArrivingLines, arriving_lines
from inferworks.books.repository.store import BookStore
from inferworks.errors import BillError

Row = dict[str, str]
READER = FocusBillReader()
RATES = Rates([RateRow("2026-11-01", "EUR", "USD", "1.10", "a bank")])
LINES = 120
_GIVE_UP_S = 60.0


def rows(lines: int = LINES) -> list[Row]:
    """Lines of FOCUS with what there is in bills: fine amounts, credits, alike ones, another currency."""
    dice = random.Random(7)
    amounts = ("1.5", "-0.25", "6.65679E-09", "0.4838709677419368", "12")
    return [
        {
            "BilledCost": dice.choice(amounts),
            "BillingCurrency": dice.choice(("USD", "EUR")),
            "BillingAccountId": dice.choice(("a-1", "a-2")),
            "ChargePeriodStart": f"2026-11-0{dice.randint(1, 6)}T00:00:00Z",
            "ChargePeriodEnd": "2026-11-08T00:00:00Z",
            "InvoiceIssuerName": "A Cloud",
            "ResourceId": dice.choice(("", "vm-1", "vm-2")),
            "Tags": dice.choice(("", '{"team": "é"}', '{"team": "b"}')),
            "ListCost": dice.choice(("", "1.50", "007")),
            "x_Note": dice.choice(("", 'said "so"', "two\nlines")),
        }
        for _ in range(lines)
    ]


def as_csv(found: Sequence[Row]) -> bytes:
    """The rows as text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(found[0]))
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue().encode()


def as_parquet(found: Sequence[Row]) -> bytes:
    """The rows as Parquet."""
    sink = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(list(found)), sink)
    return sink.getvalue()


def as_mapped(found: Sequence[Row]) -> bytes:
    """The rows under names of another product, with decimal commas."""
    names = {"BilledCost": "cost", "ChargePeriodStart": "from", "ChargePeriodEnd": "to"}
    renamed = [
        {names.get(name, name): text for name, text in row.items()}
        | {"cost": row["BilledCost"].replace(".", ",")}
        for row in found
    ]
    return as_csv(renamed)


MAPPING: BillMapping = read_mapping(
    "test.toml",
    """\
title = "a test"
kind = "bill"
[columns]
BilledCost = "cost"
BillingCurrency = "BillingCurrency"
ChargePeriodStart = "from"
ChargePeriodEnd = "to"
InvoiceIssuerName = "InvoiceIssuerName"
[form]
decimal_mark = ","
""",
)
FORMS: dict[str, Callable[[Sequence[Row]], bytes]] = {
    "csv": as_csv,
    "parquet": as_parquet,
    "mapped": as_mapped,
}


def a_bill(form: str, found: Sequence[Row], *, assuming: bool = False) -> BillFile:
    """The rows as a bill in this form."""
    mapping = MAPPING if form == "mapped" else None
    bill = bill_file(f"bill.{form}", FORMS[form](found))
    return understood(bill, READER.recognises, given=mapping, assuming=assuming)


def read(bill: BillFile, others: int, rates: Rates = RATES) -> list[ArrivingLines]:
    """Lines read of the bill with so many workers."""
    lines = READER.lines(bill, "USD", no_progress, rates, others, 0)
    with closing(lines):
        return list(lines)


@pytest.fixture
def short_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file of a few lines have many batches."""
    monkeypatch.setattr(tables, "_BATCH_ROWS", 7)
    monkeypatch.setattr(tables, "_ARROW_ROWS", 7)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that are started."""
    found: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def noted(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
        found.append(popen(*arguments, **options))  # type: ignore[call-overload]
        return found[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("short_batches")
@pytest.mark.parametrize("others", [1, 2])
@pytest.mark.parametrize("form", FORMS)
def test_what_several_read_is_what_one_reads(
    form: str, others: int, started: list[subprocess.Popen[bytes]]
) -> None:
    """The same lines in the same order, with the same names, bodies and checksums."""
    bill = a_bill(form, rows())
    alone = read(bill, 0)
    assert sum(map(len, alone)) == LINES
    assert not started
    assert read(bill, others) == alone
    assert len(started) == others
    assert all(process.returncode is not None for process in started)


@pytest.mark.usefixtures("short_batches")
@pytest.mark.parametrize("most", [0, 1, 5])
def test_what_is_kept_of_former_batches_changes_nothing(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines and problems are the same however little is kept, and where nothing repeats itself."""
    found = rows()
    for at in (3, 40, 41, 90):
        found[at]["BilledCost"] = "much"
    bill, told = a_bill("csv", found), []
    for known in (1_000, most):
        monkeypatch.setattr(block, "_MOST_KNOWN", known)
        lines = READER.lines(bill, "USD", no_progress, RATES)
        met = list(islice(lines, 18))
        with pytest.raises(BillError) as error:
            list(lines)
        told.append((met, str(error.value)))
    assert told[0] == told[1]
    assert len(told[0][1].splitlines()) == 4


@pytest.mark.slow
@pytest.mark.usefixtures("short_batches")
@pytest.mark.parametrize("form", FORMS)
def test_problems_have_the_same_words(form: str) -> None:
    """Cells that are wrong, by the names that the file has, and currencies without a rate."""
    found = rows()
    for at in (3, 40, 41, 90):
        found[at]["BilledCost"] = "much"
    found[55]["ChargePeriodEnd"] = "never"
    found[70]["ChargePeriodEnd"] = "2026-10-01"
    found[100]["BillingCurrency"] = "CHF"
    found[101]["BillingCurrency"] = "JPY"
    bill = a_bill(form, found)
    told = []
    for others in (0, 2):
        with pytest.raises(BillError) as error:
            read(bill, others, Rates(()))
        told.append(str(error.value))
    assert told[0] == told[1]
    assert len(told[0].splitlines()) == 9


@pytest.mark.slow
@pytest.mark.usefixtures("short_batches")
def test_a_cell_that_is_written_otherwise_is_met() -> None:
    """The file is surveyed and begun again, as it is when one process reads it."""
    found = rows()
    found[80]["BilledCost"] = "1,50"
    bill = a_bill("csv", found, assuming=True)
    with pytest.raises(SpelledOtherwiseError):
        read(bill, 1)


@pytest.mark.slow
@pytest.mark.usefixtures("short_batches")
def test_nothing_is_read_here_after_such_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meet it in its turn, also where a batch before it is still with another process."""
    free = workers._free
    first = iter([True])
    monkeypatch.setattr(
        workers, "_free", lambda others: free(others) if next(first, False) else None
    )
    found = rows()
    found[10]["BilledCost"] = "1,50"
    with pytest.raises(SpelledOtherwiseError):
        read(a_bill("csv", found, assuming=True), 1)


@pytest.mark.slow
@pytest.mark.usefixtures("short_batches")
def test_a_damaged_file_is_refused_with_what_was_read_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lines before the damage are read first, and no process stays."""
    cut = tables._csv_batches

    def damaged(*given: object) -> Iterator[Batch]:
        for number, batch in enumerate(cut(*given)):  # type: ignore[arg-type]
            if number == 9:
                raise BillError("damaged")
            yield batch

    bill = a_bill("csv", rows())
    monkeypatch.setattr(tables, "_csv_batches", damaged)
    met = []
    lines = READER.lines(bill, "USD", no_progress, RATES, 1, 0)
    with pytest.raises(BillError, match="damaged"), closing(lines):  # noqa: PT012
        for some in lines:
            met += some.charges()
    assert len(met) == 9 * 7


def test_a_short_file_and_a_single_core_start_no_process(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process takes longer to start than a short file to read."""
    bill = a_bill("csv", rows())
    assert sum(map(len, READER.lines(bill, "USD", no_progress, RATES, 2))) == LINES
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert spare_workers() == 0
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert spare_workers() == workers._MOST_WORKERS
    assert not started


@pytest.mark.slow
@pytest.mark.usefixtures("short_batches")
def test_a_worker_that_is_killed_ends_the_import_and_nothing_lands(
    started: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """The import is refused in one line."""
    bill = a_bill("csv", rows(2_000))

    def killing(lines: Iterator[ArrivingLines]) -> Iterator[ArrivingLines]:
        for line in lines:
            if started:
                started[0].kill()
                started[0].wait()
            yield line

    with BookStore(tmp_path / "books.db") as store:
        lines = READER.lines(bill, "USD", no_progress, RATES, 2, 0)
        with closing(lines), pytest.raises(BillError) as error:
            store.stage_lines(killing(lines), ("", ""))
        assert str(error.value) == (
            "bill.csv: a process that read its lines has died (SIGKILL); nothing of the file was imported: "
            "see that there is memory enough, and import it again"
        )
        assert store.land() == []
        assert list(store.charges()) == []
    assert all(process.returncode is not None for process in started)


@pytest.mark.slow
@pytest.mark.usefixtures("short_batches")
def test_who_stops_reading_leaves_no_process(started: list[subprocess.Popen[bytes]]) -> None:
    """On Ctrl-C in the middle of a file, for one."""
    bill = a_bill("csv", rows(500))
    with closing(READER.lines(bill, "USD", no_progress, RATES, 2, 0)) as lines:
        next(lines)
    assert len(started) == 2
    assert all(process.returncode is not None for process in started)


PROGRAM = """
import subprocess, sys
from contextlib import closing
from pathlib import Path
from inferworks.books.bills import base, tables
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.repository.store import BookStore
started, popen = [], subprocess.Popen
def noted(*given, **options):
    started.append(popen(*given, **options))
    return started[-1]
subprocess.Popen, tables._BATCH_ROWS = noted, 7
path, data = map(Path, sys.argv[1:])
def waiting(lines):
    for line in lines:
        print(started[0].pid, flush=True)
        sys.stdin.read()
        yield line
with BookStore(data) as store:
    bill = base.bill_file(path.name, path.read_bytes())
    lines = FocusBillReader().lines(bill, "USD", base.no_progress, workers=1, rows_alone=0)
    with closing(lines):
        store.stage_lines(waiting(lines), ("", ""))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_worker_ends_with_the_program(how: signal.Signals, tmp_path: Path) -> None:
    """On Ctrl-C, which the terminal sends to all in the foreground, and when the program is killed."""
    path, data = tmp_path / "bill.csv", tmp_path / "books.db"
    path.write_bytes(as_csv([row | {"BillingCurrency": "USD"} for row in rows(200)]))
    command = [sys.executable, "-c", PROGRAM, str(path), str(data)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, process_group=0
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        worker = int(program.stdout.readline())
        os.killpg(program.pid, how)
        told = program.stderr.read().decode()
    assert program.returncode == -how
    assert told.count("Traceback") == (how is signal.SIGINT)
    assert "KeyboardInterrupt" in told or how is signal.SIGKILL
    give_up_at = time.monotonic() + _GIVE_UP_S
    while is_there(worker):
        assert time.monotonic() < give_up_at, "the worker is still there"
        time.sleep(0.01)
    with BookStore(data, read_only=True) as store:
        assert list(store.charges()) == []


def is_there(process: int) -> bool:
    """Return whether a process runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    return not (stat.exists() and ") Z " in stat.read_text())


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
PROBLEMS = st.builds(Problem, TEXTS, st.integers(1, 9), TEXTS, st.none() | TEXTS, TEXTS)


@given(st.dictionaries(TEXTS, TEXTS, max_size=3), st.integers(0, 4), TEXTS)
def test_a_batch_comes_as_it_went(row: Row, lines: int, why: str) -> None:
    """A worker is given the batch that was cut from the file."""
    columns = {name: [text] * lines for name, text in row.items()}
    batch = Batch(range(2, 2 + lines), columns, (RawRow(9, None, {"": why}),))
    found = decoded(encoded(batch))
    assert found == batch._replace(numbers=list(batch.numbers))


@given(
    st.lists(st.tuples(TEXTS, TEXTS, st.integers(-(10**30), 10**30)), min_size=1, max_size=4),
    PROBLEMS,
)
def test_what_was_read_comes_as_it_went(told: list[tuple[str, str, int]], problem: Problem) -> None:
    """A worker's answer arrives as it was read."""
    [like] = READER.read(a_bill("csv", rows(1)), "USD", no_progress, RATES)
    [lines] = arriving_lines("focus", [changed(like, *one) for one in told])
    given_ = Read(3, lines, (problem,), (), [problem], {"EUR": problem})
    assert decoded_answer(encoded_answer(given_)) == given_


def changed(charge: Charge, account: str, text: str, amount_pico: int) -> Charge:
    """`charge` of another account, with other texts and another amount."""
    other = (("BillingAccountId", account), ("Tags", text))
    return msgspec.structs.replace(
        charge, other=other, description=text, amount_pico=amount_pico, department=text or None
    )


def test_an_error_of_a_worker_is_raised_where_its_batch_came_from() -> None:
    """With its own words."""
    with pytest.raises(BillError, match="so it is"):
        decoded_answer(encoded_answer(BillError("so it is")))
