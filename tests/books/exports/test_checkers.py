"""hledger and bean-check accept our journals: of made-up books, of the demo and of a real bill."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from inferworks.books.accounting.entries import Entry, Posting, booked_within
from inferworks.books.exports.base import Books, content
from inferworks.books.exports.beancount import BeancountExporter
from inferworks.books.exports.chart_of_accounts import Account
from inferworks.books.exports.hledger import HledgerExporter
from inferworks.books.exports.journal import exact_journal
from inferworks.books.exports.plain_text import account_name
from inferworks.books.exports.tabular import CsvExporter

from .conftest import ODD_ISSUER, ROOT, Check, many_terms, some_books

SAMPLE = ROOT.parent / "shared" / "data" / "bills" / "focus_1_0_sample.csv"
HOSTILE = (
    "a:b", "=1+1", "two\nlines", "日本", "9", "-", "Acme", "acme", "a;b  c", '"', "! x", "* x", "(x) y",
    "; x", "x | y", "%x", "\\", "\x1b[31m", "\u202ex", "a\u2028b", "a\x00b", "a\x85b", "\t", " ",
    "{x}", "~x", "x, type:A", "type:C", "x ; date:2020-01-01", "a, date:2020-01-01", "[2020/1/1]",
    "x\" #tag",
)  # fmt: skip


def inferworks(*arguments: str | Path) -> str:
    """Run the command line and return what it printed."""
    command = [sys.executable, "-m", "inferworks", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def journal(books: Books, folder: Path) -> Path:
    """The hledger journal of `books`."""
    path = folder / "books.journal"
    path.write_bytes(content(HledgerExporter().files(exact_journal([books.statement]))[0]))
    return path


def ledger(books: Books, folder: Path) -> Path:
    """The beancount ledger of `books`."""
    path = folder / "books.beancount"
    path.write_bytes(content(BeancountExporter().files(exact_journal([books.statement]))[0]))
    return path


def accepts(check: Check, path: Path) -> None:
    """The checker ends well and says nothing."""
    done = check(path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_hledger_accepts_the_books(books: Books, hledger: Check, tmp_path: Path) -> None:
    """Strictly: accounts, commodities, balances, assertions, order of days."""
    accepts(hledger, journal(books, tmp_path))


def test_beancount_accepts_the_books(books: Books, bean_check: Check, tmp_path: Path) -> None:
    """Every account opened, every entry and balance right."""
    accepts(bean_check, ledger(books, tmp_path))


def test_hledger_accepts_any_name(hledger: Check, tmp_path: Path) -> None:
    """Customers may be called anything, and pay by any kind of plan."""
    accepts(hledger, journal(some_books(HOSTILE, [many_terms("fees")]), tmp_path))


def test_beancount_accepts_any_name(bean_check: Check, tmp_path: Path) -> None:
    """Customers may be called anything, and pay by any kind of plan."""
    accepts(bean_check, ledger(some_books(HOSTILE, [many_terms("fees")]), tmp_path))


def test_a_months_journal_is_dated_within_the_month(books: Books, tmp_path: Path) -> None:
    """Both journals and the table of postings: no entry of November stands in December."""
    dates = re.findall(r"^(\d{4}-\d\d-\d\d) \*", journal(books, tmp_path).read_text(), re.MULTILINE)
    dates += re.findall(r"^(\d{4}-\d\d-\d\d) \*", ledger(books, tmp_path).read_text(), re.MULTILINE)
    (postings,) = [file for file in CsvExporter().files(books) if file.name == "postings.csv"]
    dates += [row["at"][:10] for row in csv.DictReader(io.StringIO(content(postings).decode()))]
    assert {date[:7] for date in dates} == {"2026-11"}
    assert "2026-11-30" in dates


def test_hledger_finds_a_months_revenue_in_that_month(
    books: Books, hledger: Check, tmp_path: Path
) -> None:
    """The income statement has the month's revenue under the month, and nothing under the next."""
    path = journal(books, tmp_path)
    accepts(hledger, path)

    def income(month: str) -> str:
        command = ["hledger", "-f", str(path), "balance", "income", "-p", month, "--depth", "1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    revenue_pico = sum(
        -posting.amount_pico
        for entry in books.statement.entries
        for posting in entry.postings
        if posting.account.startswith("Income:")
    )
    assert revenue_pico > 0
    assert f"{-revenue_pico} USDP" in income("2026-11")
    assert "USDP" not in income("2026-12")


def test_an_entry_is_booked_within_its_span() -> None:
    """The end of a span is booked at its last moment, a purchase at its own, a correction at the span's."""

    def entry(at_ns: int, account: str, amount_pico: int) -> Entry:
        sides = (
            Posting("Assets:Receivable:a", -amount_pico, "USD"),
            Posting(account, amount_pico, "USD"),
        )
        return Entry(at_ns, "an entry", sides)

    usage, bought = ("Income:Usage:a", -1), ("Liabilities:Credits:a", -1)
    start_ns, end_ns = 1000, 2000
    for at_ns, sides, expected_ns in [
        (2000, usage, 1999),
        (1500, usage, 1499),
        (1500, bought, 1500),
        (1000, bought, 1000),
        (2000, ("Liabilities:Credits:a", 1), 1999),
        (1000, usage, 1000),
        (5000, bought, 1999),
    ]:
        assert booked_within(entry(at_ns, *sides), start_ns, end_ns) == expected_ns
    refund = Entry(1500, "credit refunded r-1", entry(1500, "Liabilities:Credits:a", 1).postings)
    assert booked_within(refund, start_ns, end_ns) == 1500


@pytest.mark.parametrize("checker", ["hledger", "bean_check"])
def test_one_picounit_is_noticed(
    checker: str, books: Books, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """No tolerance applies: an amount of 10^15 that is off by one is an error."""
    check: Check = request.getfixturevalue(checker)
    path = (journal if checker == "hledger" else ledger)(books, tmp_path)
    text = path.read_text()
    path.write_text(text.replace("  1010000000000000 ", "  1010000000000001 ", 1))
    assert check(path).returncode != 0


def test_names_stay_apart() -> None:
    """No two accounts have one name, whatever they are called, and both tools take every name."""
    names = [f"Income:Usage:{name}" for name in (*HOSTILE, "a b", "a-b", "A-b", "a--b", ODD_ISSUER)]
    names += ["Costs:web:power", "Expenses:web:power", "Odd", "Odd:web", "Liabilities:Credits:acme"]
    written = [account_name(Account(name)) for name in names]
    assert len(set(written)) == len(names)
    component = r"[A-Z0-9][A-Za-z0-9-]*"
    roots = "Assets|Liabilities|Equity|Income|Expenses"
    assert all(re.fullmatch(rf"(?:{roots})(?::{component})+", name) for name in written)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the shared FOCUS sample: a thousand lines of real bills."""
    if not SAMPLE.exists():
        pytest.skip(f"there is no {SAMPLE}")
    folder = tmp_path_factory.mktemp("sample") / "data"
    inferworks("books", "import", SAMPLE, "--data", folder)
    return folder


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a short run of the demo."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "inferworks", "demo", "--seconds", "2", "--calls", "30", "--keep"],
        capture_output=True, text=True, timeout=120, check=False, cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = next(folder.rglob("books.db"))
    return found.parent


@pytest.mark.slow
@pytest.mark.parametrize("world", ["sample", "demo"])
@pytest.mark.parametrize("checker", ["hledger", "bean_check"])
def test_the_checkers_accept_a_whole_period(
    world: str, checker: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The exports of the demo's period, and of the shared FOCUS sample, from the command line."""
    check: Check = request.getfixturevalue(checker)
    data: Path = request.getfixturevalue(world)
    path = tmp_path / "books"
    form = "hledger" if checker == "hledger" else "beancount"
    inferworks("books", "export", form, "--data", data, "--out", path)
    assert path.read_text().count("\n") > 100
    accepts(check, path)
