"""Seeded worlds: whatever happens to the books, every theorem holds after every event."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support import worlds
from tests.support.worlds import CHECKS, EVENTS, SEAL_CHECKS, WorldFailedError, run_world

from inferworks.books.accounting import basis
from inferworks.books.accruals import api_estimates as provisional
from inferworks.books.accruals import expected_bills as accruals
from inferworks.books.closing import close
from inferworks.books.closing import inputs as closing_inputs
from inferworks.books.closing import prior_period as late
from inferworks.books.closing.ledger import Ledger
from inferworks.books.deliveries.landing import Landing
from inferworks.books.statement import corrections as correction
from inferworks.books.statement import statement

pytestmark = pytest.mark.slow

SEEDS = 1_000
BATCH = 100


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_a_thousand_worlds_hold(first: int) -> None:
    """No seed of a thousand finds a theorem broken; one that did would say how to replay it.

    In each hundred of them every kind of event comes about.
    """
    happened = {text.partition(":")[0] for text in run_worlds(first, BATCH)}
    assert happened == {event.__name__ for _, event in EVENTS}


def test_a_long_world_holds() -> None:
    """A world goes on for longer."""
    run_world(1, steps=60)


def test_a_seed_is_a_world() -> None:
    """The same seed gives the same events, another seed others."""
    assert run_world(7) == run_world(7)
    assert run_world(7) != run_world(8)


def run_worlds(first: int, count: int) -> Iterator[str]:
    """Yield the events of `count` worlds, from the seed `first` on."""
    for seed in range(first, first + count):
        yield from run_world(seed)


def a_late_record_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A close forgets that it took something late in, so the next one takes it in again."""
    monkeypatch.setattr(close, "prefix_of", lambda period: f"lost/{period.name}/")
    seal = Ledger.append

    def forgetful(self: Ledger, record: Any, bodies: Any = ()) -> str:
        if isinstance(record, close.Close):
            record = replace(record, corrects=())
        return seal(self, record, bodies)

    monkeypatch.setattr(Ledger, "append", forgetful)


def nothing_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for nothing that comes after the close."""
    monkeypatch.setattr(late, "with_late", lambda sealed, recorded, to_date: (sealed, ()))


def reversals_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A correction books the new rows and forgets to reverse the old ones."""
    monkeypatch.setattr(correction, "reversed_row", lambda row: replace(row, amount_pico=0))


def closed_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The statement of a closed period is drawn from what is recorded now."""

    def today(ledger: Any, source: Any, period: Any) -> Any:
        return closing_inputs.reference_statement(source.inputs(period.span))

    monkeypatch.setattr(worlds, "statement_of", today)


def a_close_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A close commits its record before its parts."""

    def in_pieces(self: Ledger, record: Any, bodies: Any = ()) -> str:
        sha256 = seal(self, record, ())
        for body in bodies:
            with self._db.transaction():
                chunks = ((body.part.sha256, *chunk) for chunk in enumerate(body.packed()))
                self._db.executemany("INSERT OR IGNORE INTO kept VALUES (?, ?, ?)", chunks)
        return sha256

    seal = Ledger.append
    monkeypatch.setattr(Ledger, "append", in_pieces)


def an_accrual_beside_its_bill(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bill of a closed period comes, and what was accrued for it stays."""
    monkeypatch.setattr(accruals, "with_reversals", lambda sealed, is_billed: sealed)


def an_estimate_beside_its_bill(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bill for the calls of a closed period comes, and what they were estimated at stays."""
    monkeypatch.setattr(provisional, "with_reversals", lambda sealed, is_billed: sealed)


def an_estimate_whatever_is_billed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bill for calls does not take the place of their estimate."""
    monkeypatch.setattr(provisional._Billed, "covers", lambda self, charge: False)


def what_is_paid_ahead_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of a commitment cost what is effective, and what was billed for them is nowhere."""
    monkeypatch.setattr(statement, "change_pico", lambda committed, span: 0)


def a_commitment_costs_what_is_billed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is paid ahead, on whatever basis."""
    monkeypatch.setattr(basis, "commitment_of", lambda charge: None)


def a_line_left_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave in force what a withdrawn import said of an open time."""

    def keeping(self: Landing, part: int, name: Any, id_: Any) -> None:
        self._db.execute("DELETE FROM lines WHERE part = ? AND id = ?", (part, id_))

    monkeypatch.setattr(Landing, "_remove", keeping)


def rounded_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Book nothing of what rounding leaves out of a file."""
    monkeypatch.setattr(Landing, "round", lambda *_: ())


@pytest.mark.parametrize(
    "fault",
    [
        a_late_record_twice,
        nothing_is_late,
        reversals_lost,
        closed_is_drawn_again,
        a_close_in_pieces,
        an_accrual_beside_its_bill,
        an_estimate_beside_its_bill,
        an_estimate_whatever_is_billed,
        what_is_paid_ahead_is_forgotten,
        a_commitment_costs_what_is_billed,
        a_line_left_in_force,
        rounded_line_by_line,
    ],
    ids=lambda fault: fault.__name__,
)
def test_a_planted_fault_is_found(
    fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the fault in the books some world of two hundred fails, and prints its replay."""
    fault(monkeypatch)
    with pytest.raises(WorldFailedError, match=r"--seed \d+ --steps 14"):
        list(run_worlds(0, 200))


def test_a_world_is_replayed_from_the_command_line() -> None:
    """`--seed` prints the events of that world."""
    command = [sys.executable, "-m", "tests.support.worlds", "--seed", "7", "--steps", "5"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.splitlines()[:5] == run_world(7, 5)


def test_the_checks_say_which_theorems_they_check() -> None:
    """Each check names in its docstring the theorems it is listed under."""
    for numbers, check in (*CHECKS, *SEAL_CHECKS):
        said = (check.__doc__ or "").partition(":")[0]
        assert [str(n) for n in numbers] == [w.strip(",") for w in said.split() if w[0].isdigit()]
