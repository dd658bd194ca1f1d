"""Flip one digit anywhere in an export: somebody notices. Prints the kill rates (`pytest -rP`).

Two kinds of places: *amounts* (every amount, price, quantity sold and ratio), and *all other digits*
(dates, names, ids, hashes). The accounting checkers answer for amounts: bean-check and hledger for the
journals, the queries of `docs/exports.md` for the tables. The seal (`SHA256SUMS`, the last line of a
journal) answers for everything.
"""

from __future__ import annotations

import csv
import hashlib
import io
import random
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from inferworks.books.exports.base import SUMS, Books
from inferworks.books.exports.plain_text import seal_line

from .conftest import Check
from .test_checkers import journal, ledger
from .tie_outs import TieOuts, write_tables

SEED = 20261121
JOURNAL_AMOUNT = re.compile(r"(?<= )-?\d+(?= [A-Z]+P(?: |$))", re.MULTILINE)
MONEY = {
    "books": ("amount", "price"),
    "focus": (
        "BilledCost",
        "ConsumedQuantity",
        "ContractedCost",
        "ContractedUnitPrice",
        "EffectiveCost",
        "ListCost",
        "ListUnitPrice",
        "PricingCurrencyContractedUnitPrice",
        "PricingCurrencyEffectiveCost",
        "PricingCurrencyListUnitPrice",
        "PricingQuantity",
    ),
}
"""The columns of each folder's tables that a query answers for; `quantity` of revenue besides."""


def flipped(text: str, place: int, chance: random.Random) -> str:
    """`text` with another digit at `place`."""
    other = (int(text[place]) + chance.randint(1, 9)) % 10
    return f"{text[:place]}{other}{text[place + 1 :]}"


def digits_within(text: str, pattern: re.Pattern[str]) -> list[int]:
    """The places of all digits inside what `pattern` finds."""
    return [
        place
        for match in pattern.finditer(text)
        for place in range(match.start(), match.end())
        if text[place].isdigit()
    ]


def killed(
    path: Path, text: str, places: Sequence[int], notices: Callable[[], bool], chance: random.Random
) -> list[int]:
    """The places, of `places`, whose flip is noticed."""
    found = []
    for place in places:
        path.write_text(flipped(text, place, chance), newline="")
        if notices():
            found.append(place)
    path.write_text(text, newline="")
    return found


def report(what: str, kills: int, tried: int) -> None:
    """Print a kill rate."""
    rate = f"{100 * kills / tried:.1f} %"
    sys.stdout.write(f"{what}: {kills} of {tried} flips noticed, {rate}\n")


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["hledger", "bean_check"])
def test_a_flipped_digit_in_a_journal_is_noticed(
    checker: str, books: Books, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Every flip in an amount fails the checker; a flip anywhere fails the seal."""
    check: Check = request.getfixturevalue(checker)
    path = (journal if checker == "hledger" else ledger)(books, tmp_path)
    text, chance = path.read_text(), random.Random(SEED)
    amounts = chance.sample(digits_within(text, JOURNAL_AMOUNT), 120)
    kills = killed(path, text, amounts, lambda: check(path).returncode != 0, chance)
    report(f"{checker}, amounts", len(kills), len(amounts))
    everywhere = chance.sample(digits_within(text, re.compile(r"\d")), 300)
    sealed = killed(path, text, everywhere, lambda: not seal_holds(path), chance)
    report(f"{checker} journal, any digit, by its seal", len(sealed), len(everywhere))
    assert kills == amounts
    assert sealed == everywhere


@pytest.mark.slow
def test_a_flipped_digit_in_a_table_is_noticed(books: Books, tmp_path: Path) -> None:
    """Every flip in an amount fails a query; a flip anywhere fails the sums."""
    write_tables(books, tmp_path)
    chance, tie_outs = random.Random(SEED), TieOuts(tmp_path)
    cells = [
        (path, place)
        for path in sorted(tmp_path.rglob("*.csv"))
        for place in money_digits(path.read_bytes().decode(), MONEY[path.parent.name], path.stem)
    ]
    tried = sorted(chance.sample(cells, 200))  # in one file, the same query notices most
    survivors = [
        (path.name, place)
        for path, place in tried
        if not killed(path, path.read_bytes().decode(), [place], tie_outs.notice, chance)
    ]
    tie_outs.close()
    report("queries, amounts in CSV", len(tried) - len(survivors), len(tried))
    assert survivors == []


def test_a_flipped_digit_anywhere_fails_the_sums(books: Books, tmp_path: Path) -> None:
    """`SHA256SUMS` notices any change in any file, dates and names included."""
    write_tables(books, tmp_path)
    chance, tried, noticed = random.Random(SEED), 0, 0
    for path in sorted(tmp_path.rglob("*.csv")):
        text = path.read_bytes().decode()
        places = digits_within(text, re.compile(r"\d"))
        chosen = chance.sample(places, min(40, len(places)))
        tried += len(chosen)
        noticed += len(killed(path, text, chosen, lambda path=path: not sums_hold(path), chance))
    report("tables, any digit, by SHA256SUMS", noticed, tried)
    assert noticed == tried > 200


def seal_holds(path: Path) -> bool:
    """Return whether the last line of the journal is the hash of all above it."""
    *lines, last = path.read_bytes().splitlines(keepends=True)
    return last.decode() == seal_line(hashlib.sha256(b"".join(lines)).hexdigest())


def sums_hold(path: Path) -> bool:
    """Return whether `SHA256SUMS` has the hash of the file at `path`."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{digest}  {path.name}\n" in (path.parent / SUMS).read_text()


def money_digits(text: str, columns: Sequence[str], table: str) -> list[int]:
    """The places of the digits of all cells in `columns` of a CSV `text`; of a ratio in a part besides."""
    rows = list(csv.reader(io.StringIO(text, newline="")))
    wanted = {*columns, "quantity"} if table == "revenue" else set(columns)
    places = [
        place
        for number, name in enumerate(rows[0])
        if name in wanted
        for place in _cells(text, rows, number)
    ]
    ratios = re.compile(r'(?<=AllocatedRatio"":)[\d.]+')
    return places + digits_within(text, ratios)


def _cells(text: str, rows: list[list[str]], column: int) -> list[int]:
    """The places of the digits in one column: CSV written by the same rules, cell by cell."""
    places, at = [], len(_line(rows[0]))
    for row in rows[1:]:
        line = _line(row)
        assert text[at : at + len(line)] == line
        start = at + len(_line([*row[:column], "0"])) - 2
        end = start + len(row[column])
        places += [place for place in range(start, end) if text[place].isdigit()]
        at += len(line)
    return places


def _line(cells: Sequence[str]) -> str:
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\n").writerow(cells)
    return written.getvalue()
