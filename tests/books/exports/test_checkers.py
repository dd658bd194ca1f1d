"""hledger and bean-check accept our journals: of made-up books, of the demo and of a real bill."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from inferworks.books.exports.base import Books, content
from inferworks.books.exports.beancount import BeancountExporter
from inferworks.books.exports.chart import account_name
from inferworks.books.exports.hledger import HledgerExporter

from .conftest import ODD_ISSUER, ROOT, Check, many_terms, some_books

SAMPLE = ROOT.parent / "shared" / "data" / "bills" / "focus_1_0_sample.csv"
HOSTILE = ("a:b", "=1+1", "two\nlines", "日本", "9", "-", "Acme", "acme", "a;b  c", '"')


def inferworks(*arguments: str | Path) -> str:
    """Run the command line and return what it printed."""
    command = [sys.executable, "-m", "inferworks", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def journal(books: Books, folder: Path) -> Path:
    """The hledger journal of `books`."""
    path = folder / "books.journal"
    path.write_bytes(content(HledgerExporter().files(books)[0]))
    return path


def ledger(books: Books, folder: Path) -> Path:
    """The beancount ledger of `books`."""
    path = folder / "books.beancount"
    path.write_bytes(content(BeancountExporter().files(books)[0]))
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


@pytest.mark.parametrize("checker", ["hledger", "bean_check"])
def test_one_picounit_is_noticed(
    checker: str, books: Books, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """There is no tolerance: an amount of 10^15 that is off by one is an error."""
    check: Check = request.getfixturevalue(checker)
    path = (journal if checker == "hledger" else ledger)(books, tmp_path)
    text = path.read_text()
    path.write_text(text.replace("  1010000000000000 ", "  1010000000000001 ", 1))
    assert check(path).returncode != 0


def test_names_stay_apart() -> None:
    """Whatever accounts are called, no two have one name, and every name is one that both tools take."""
    names = [f"Income:Usage:{name}" for name in (*HOSTILE, "a b", "a-b", "A-b", "a--b", ODD_ISSUER)]
    names += ["Costs:web:power", "Expenses:web:power", "Odd", "Odd:web", "Liabilities:Credits:acme"]
    written = [account_name(name) for name in names]
    assert len(set(written)) == len(names)
    component = r"[A-Z0-9][A-Za-z0-9-]*"
    roots = "Assets|Liabilities|Equity|Income|Expenses"
    assert all(re.fullmatch(rf"(?:{roots})(?::{component})+", name) for name in written)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the shared FOCUS sample: a thousand lines of real bills."""
    if not SAMPLE.exists():
        pytest.skip("needs ../shared/data/bills/focus_1_0_sample.csv")
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
