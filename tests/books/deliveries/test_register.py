"""The register of deliveries: each file whole or not at all, on record with who brought it and when."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from inferworks.books.charge import Charge, ChargeId
from inferworks.books.deliveries.arriving import Total, arriving_lines
from inferworks.books.deliveries.canonical import FOCUS, Delivery
from inferworks.books.deliveries.decide import Answer, Fate
from inferworks.books.deliveries.landing import Closed
from inferworks.books.deliveries.record import Outcome, State
from inferworks.books.deliveries.register import Register
from inferworks.books.repository.layout import SCHEMA, execute_all
from inferworks.errors import BillError, UserError
from inferworks.testing.books import a_charge

DAY_NS = 86_400 * 10**9
NO_SERIES = ("", "")
JANUARY = Delivery(FOCUS, "a-cloud", "", "1970-01-01")
FEBRUARY = JANUARY._replace(period="1970-02-01")


@pytest.fixture(name="db")
def _db() -> Iterator[sqlite3.Connection]:
    """Empty books in memory."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        execute_all(db, SCHEMA)
        yield db


@pytest.fixture(name="register")
def _register(db: sqlite3.Connection) -> Register:
    """The register of those books."""

    def load(id_: str) -> Charge:
        [(body,)] = db.execute("SELECT body FROM charges WHERE id = ?", (id_,))
        return msgspec.json.decode(body, type=Charge)

    return Register(db, load)


def a_line(day: int, amount: str, resource: str = "vm-1", **changes: Any) -> Charge:
    """A line of the day, counted from 1 January 1970 as day 0, on no invoice yet."""
    span = (day * DAY_NS, (day + 1) * DAY_NS)
    return a_charge("", amount, span, resource=resource, invoice="", **changes)


def stage(
    register: Register,
    file: str,
    lines: Sequence[Charge],
    *,
    series: tuple[str, str] = NO_SERIES,
    kind: str = FOCUS,
) -> int:
    """Stage `lines` as those of a file whose content is told by its name without a `copy of`."""
    sha256 = file.removeprefix("copy of ")
    given = [replace(line, file=file, file_sha256=sha256) for line in lines]
    return register.stage(arriving_lines(kind, given), series)


def land(register: Register, **files: Sequence[Charge]) -> dict[str, Outcome]:
    """Import files of these names in one command."""
    for name, lines in files.items():
        stage(register, name, lines)
    found = sorted(register.land(by="ann", at_ns=7), key=lambda outcome: outcome.place)
    return dict(zip(files, found, strict=True))


def amounts(db: sqlite3.Connection) -> list[str]:
    """The amounts of the charges in the books, in whole units where they are."""
    bodies = db.execute("SELECT body FROM charges ORDER BY period_start_ns, id").fetchall()
    charges = [msgspec.json.decode(body, type=Charge) for (body,) in bodies]
    return [f"{charge.amount_pico / 10**12:g}" for charge in charges]


def states(register: Register) -> list[tuple[int, str, int, str]]:
    """Number, file, revision and state of every import."""
    return [(one.number, one.file, one.revision, one.state) for one in register.imports()]


def usd(exact: str) -> dict[str, Total]:
    """Totals of whole dollars."""
    return {"USD": Total(exact, int(float(exact)) * 10**12)}


def test_an_empty_register_has_nothing_to_tell(register: Register) -> None:
    """No imports, no questions, and nothing to land."""
    assert register.imports() == register.imports(1, 2) == []
    assert register.questions() == register.questions(settled=True) == []
    assert list(register.land()) == []


def test_a_file_without_lines_lands_as_nothing(register: Register) -> None:
    """The outcome has the file's place and tells of no delivery."""
    assert stage(register, "empty", []) == 0
    assert list(register.land()) == [Outcome(0)]
    assert register.imports() == []


def test_staged_lines_count_only_once_landed(register: Register, db: sqlite3.Connection) -> None:
    """Staging tells how many lines came, and puts none into the books."""
    assert stage(register, "a", [a_line(0, "1"), a_line(1, "2")]) == 2
    assert (register.imports(), amounts(db)) == ([], [])
    [outcome] = register.land()
    assert (outcome.place, outcome.questions) == (0, ())
    assert amounts(db) == ["1", "2"]
    assert list(register.land()) == []


def test_the_first_file_of_a_delivery_is_on_record(register: Register) -> None:
    """With its delivery, revision, totals and time, and with who brought it when."""
    [delivery] = land(register, a=[a_line(3, "1"), a_line(1, "2")])["a"].deliveries
    assert (delivery.delivery, delivery.fate, delivery.revision) == (JANUARY, Fate.NEW, 1)
    assert (delivery.before, delivery.after, delivery.remark) == ({}, usd("3"), "")
    assert (delivery.changed.added, delivery.changed.added_pico) == (2, 3 * 10**12)
    [entered] = register.imports()
    assert entered == (
        1, JANUARY, "a", "a", 1, State.IN_FORCE, 2, usd("3"), DAY_NS, 4 * DAY_NS, 7, "ann", "",
    )  # fmt: skip
    assert register.imports(1) == [entered]
    assert register.imports(2) == []


def test_the_same_file_again_is_a_duplicate(register: Register, db: sqlite3.Connection) -> None:
    """Entered once for its content, however often it comes and whatever it is called."""
    lines = [a_line(0, "1"), a_line(1, "2")]
    land(register, a=lines)
    for name, number in (("b", 2), ("copy of b", 2), ("copy of a", 2)):
        [delivery] = land(register, **{name: lines})[name].deliveries
        assert (delivery.fate, delivery.changed.kept, delivery.changed.added) == (
            Fate.DUPLICATE,
            2,
            0,
        )
        assert (delivery.before, delivery.after) == (usd("3"), usd("3"))
        assert len(register.imports()) == number
    assert amounts(db) == ["1", "2"]
    assert states(register) == [(1, "a", 1, State.IN_FORCE), (2, "b", 1, State.DUPLICATE)]


def test_a_longer_file_is_the_next_revision(register: Register, db: sqlite3.Connection) -> None:
    """The shorter one is superseded, and says nothing any more when it comes again."""
    short, long = [a_line(0, "1")], [a_line(0, "1"), a_line(1, "2")]
    land(register, short=short)
    [delivery] = land(register, long=long)["long"].deliveries
    assert (delivery.fate, delivery.revision) == (Fate.REVISION, 2)
    assert (delivery.changed.added, delivery.changed.kept, delivery.changed.gone) == (1, 1, 0)
    [again] = land(register, short=short)["short"].deliveries
    assert (again.fate, again.revision, again.remark) == (Fate.OLDER, 2, "")
    assert states(register) == [
        (1, "short", 1, State.SUPERSEDED),
        (2, "long", 2, State.IN_FORCE),
    ]
    assert amounts(db) == ["1", "2"]


def test_an_older_copy_that_was_never_here_is_told(register: Register) -> None:
    """A file with less than what is here changes nothing, and says so with its amounts."""
    land(register, long=[a_line(0, "1"), a_line(1, "2")])
    [delivery] = land(register, short=[a_line(0, "1")])["short"].deliveries
    assert delivery.fate is Fate.OLDER
    assert delivery.remark == (
        "an older copy of a-cloud, 1970-01: its 1 line (1.00 USD) from 1970-01-01 to 1970-01-02 change "
        'nothing, 3.00 USD stay; import it with --replace (overlap="replace") if it stands instead'
    )
    assert states(register)[1] == (2, "short", 1, State.OLDER)


def test_other_amounts_are_asked_and_change_nothing(
    register: Register, db: sqlite3.Connection
) -> None:
    """The question is on record with the file, its time, and the amount under each answer."""
    land(register, a=[a_line(0, "1")])
    outcome = land(register, b=[a_line(0, "5")])["b"]
    assert outcome.deliveries == ()
    [text] = outcome.questions
    assert text.startswith(
        "b: its 1 line (5.00 USD) of a-cloud, 1970-01 overlap 1 line of a (1.00 USD)"
    )
    assert "--part if both count (6.00 USD in all), or with --replace" in text
    assert "(5.00 USD in all)" in text
    [asked] = register.questions()
    assert asked == (1, "b", "b", JANUARY, 0, DAY_NS, text, 7, None, "ann", "")
    assert amounts(db) == ["1"]
    assert len(register.imports()) == 1


def test_a_question_that_comes_again_stays_one(register: Register) -> None:
    """The number stays; settled, it is opened again by the same file."""
    land(register, a=[a_line(0, "1")])
    for _ in range(2):
        land(register, b=[a_line(0, "5")])
        assert [asked.number for asked in register.questions()] == [1]
    register.settle(1, "not ours", "ben", 9)
    assert register.questions() == []
    land(register, b=[a_line(0, "5")])
    assert [(asked.number, asked.settled_ns) for asked in register.questions()] == [(1, None)]


def test_a_settled_question_says_who_settled_it_and_why(register: Register) -> None:
    """Settling returns the question as it was asked; one that is not open is refused."""
    land(register, a=[a_line(0, "1")])
    land(register, b=[a_line(0, "5")])
    [asked] = register.questions()
    assert register.settle(1, "not ours", "ben", 9) == asked
    [settled] = register.questions(settled=True)
    assert settled == asked._replace(settled_ns=9, by="ben", reason="not ours")
    for number in (1, 2):
        with pytest.raises(UserError) as refused:
            register.settle(number, "again", "ben", 10)
        assert str(refused.value) == (
            f"no question {number} is open; inferworks books quarantine list has them"
        )
    assert register.questions(settled=True) == [settled]


@pytest.mark.parametrize(
    ("answer", "fate", "left", "total"),
    [
        (Answer.PART, Fate.PART, ["1", "5", "2"], usd("8")),
        (Answer.REPLACE, Fate.REVISION, ["5", "2"], usd("7")),
    ],
)
def test_an_answer_settles_the_question(
    register: Register,
    db: sqlite3.Connection,
    answer: Answer,
    fate: Fate,
    left: list[str],
    total: dict[str, Total],
) -> None:
    """Both count, or the file stands for the time of its lines: day 0, and not day 1."""
    land(register, a=[a_line(0, "1"), a_line(1, "2")])
    land(register, b=[a_line(0, "5")])
    stage(register, "b", [a_line(0, "5")])
    [outcome] = register.land(answer, by="cy", at_ns=11)
    [delivery] = outcome.deliveries
    assert (delivery.fate, delivery.after) == (fate, total)
    assert sorted(amounts(db)) == sorted(left)
    assert register.questions() == []
    [settled] = register.questions(settled=True)
    assert (settled.reason, settled.by, settled.settled_ns) == ("imported", "cy", 11)


def test_lines_outside_the_time_of_a_replacement_are_a_part_of_their_own(
    register: Register, db: sqlite3.Connection
) -> None:
    """The replaced file is superseded as a whole, and what stays is told, and can be taken back."""
    land(register, a=[a_line(0, "1"), a_line(1, "2")])
    stage(register, "b", [a_line(0, "5")])
    [outcome] = register.land(Answer.REPLACE)
    assert outcome.deliveries[0].remark == (
        "in place of 1 line of a (1.00 USD) from 1970-01-01 to 1970-01-02; "
        "1 line of a (2.00 USD) from 1970-01-02 to 1970-01-03 stay"
    )
    found = {(one.file, one.state): (one.lines, one.totals) for one in register.imports()}
    assert found == {
        ("a", State.SUPERSEDED): (2, usd("3")),
        ("a", State.IN_FORCE): (1, usd("2")),
        ("b", State.IN_FORCE): (1, usd("5")),
    }
    [rest] = [one.number for one in register.imports() if (one.file, one.lines) == ("a", 1)]
    register.void(rest, "no such day", Closed(), "ann", 1)
    assert amounts(db) == ["5"]


def test_what_is_taken_back_counts_no_more_and_may_come_again(
    register: Register, db: sqlite3.Connection
) -> None:
    """The record keeps the reason and the user; the file is new when it is imported again."""
    lines = [a_line(0, "1"), a_line(1, "2")]
    land(register, a=lines)
    taken, changed = register.void(1, "not ours", Closed(), "ben", 9)
    assert (taken.number, taken.state, changed.gone, changed.late) == (1, State.IN_FORCE, 2, ())
    [void] = register.imports()
    assert (void.state, void.reason, void.totals) == (State.VOID, "not ours (ben)", usd("3"))
    assert amounts(db) == []
    [delivery] = land(register, a=lines)["a"].deliveries
    assert (delivery.fate, delivery.revision, delivery.before) == (Fate.NEW, 2, {})
    assert amounts(db) == ["1", "2"]


def test_lines_of_a_closed_period_are_reversed_when_they_are_taken_back(
    register: Register, db: sqlite3.Connection
) -> None:
    """Day 0 is closed: its line stays, beside its reversal; day 1 is simply gone."""
    land(register, a=[a_line(0, "1"), a_line(1, "2")])
    _, changed = register.void(1, "not ours", Closed(0, DAY_NS), "ben", 9)
    assert [late.amount_pico for late in changed.late] == [-(10**12)]
    assert sorted(amounts(db)) == ["-1", "1"]


def test_only_an_import_in_force_is_taken_back(register: Register) -> None:
    """Numbers that are not there, and imports without lines, are refused with their state."""
    land(register, short=[a_line(0, "1")])
    land(register, long=[a_line(0, "1"), a_line(1, "2")])
    land(register, other=[a_line(0, "1"), a_line(1, "2")])
    register.void(2, "wrong", Closed(), "ann", 1)
    texts = {
        1: "import 1 is superseded: it has no lines to take back",
        2: "import 2 is void: it has no lines to take back",
        3: "import 3 is duplicate: it has no lines to take back",
        4: "there is no import 4; inferworks books imports list has them",
    }
    for number, text in texts.items():
        with pytest.raises(UserError) as refused:
            register.void(number, "again", Closed(), "ann", 2)
        assert str(refused.value) == text


def test_unstaged_files_are_forgotten(register: Register, db: sqlite3.Connection) -> None:
    """From a place on; a file staged after that takes its place."""
    stage(register, "a", [a_line(0, "1")])
    stage(register, "b", [a_line(1, "2")])
    register.unstage(1)
    stage(register, "c", [a_line(2, "4")])
    assert [outcome.place for outcome in register.land()] == [0, 1]
    assert amounts(db) == ["1", "4"]
    stage(register, "d", [a_line(3, "8")])
    register.unstage(0)
    assert list(register.land()) == []


def test_a_file_that_breaks_off_leaves_nothing_staged(
    register: Register, db: sqlite3.Connection
) -> None:
    """The lines read before the fault are gone, and the next file is the first."""

    def broken() -> Iterator[Charge]:
        yield from (a_line(0, "1"), a_line(1, "2"))
        raise BillError("a bad cell")

    with pytest.raises(BillError, match="a bad cell"):
        register.stage(arriving_lines(FOCUS, broken()), NO_SERIES)
    stage(register, "a", [a_line(2, "4")])
    [outcome] = register.land()
    assert outcome.place == 0
    assert amounts(db) == ["4"]


def test_parts_of_a_delivery_that_come_together_are_new_together(register: Register) -> None:
    """Two files of one month, given in one command, are one revision."""
    outcomes = land(register, a=[a_line(0, "1")], b=[a_line(1, "2")])
    delivery = [outcome.deliveries[0] for outcome in outcomes.values()]
    assert [(one.fate, one.revision, one.after) for one in delivery] == [
        (Fate.NEW, 1, usd("3"))
    ] * 2
    [third] = land(register, c=[a_line(2, "4")])["c"].deliveries
    assert (third.fate, third.revision, third.before) == (Fate.PART, 1, usd("3"))


def test_files_of_other_deliveries_land_beside_one_that_is_asked(
    register: Register, db: sqlite3.Connection
) -> None:
    """A question of January keeps nothing of February out."""
    land(register, a=[a_line(0, "1")])
    outcomes = land(register, b=[a_line(0, "5")], c=[a_line(40, "4")])
    assert outcomes["b"].questions
    assert [delivery.delivery for delivery in outcomes["c"].deliveries] == [FEBRUARY]
    assert amounts(db) == ["1", "4"]


def test_a_file_lands_whole_or_not_at_all(register: Register, db: sqlite3.Connection) -> None:
    """A question about its January keeps its February out too; each delivery has its own import."""
    land(register, a=[a_line(0, "1")])
    outcome = land(register, b=[a_line(0, "5"), a_line(40, "4")])["b"]
    assert (outcome.deliveries, len(outcome.questions)) == ((), 1)
    assert amounts(db) == ["1"]
    stage(register, "b", [a_line(0, "5"), a_line(40, "4")])
    [outcome] = register.land(Answer.PART)
    assert {(delivery.delivery, delivery.fate) for delivery in outcome.deliveries} == {
        (JANUARY, Fate.PART),
        (FEBRUARY, Fate.NEW),
    }
    assert [one.delivery for one in register.imports()] == [JANUARY, JANUARY, FEBRUARY]


def test_parts_of_a_run_are_not_imported_without_each_other(
    register: Register, db: sqlite3.Connection
) -> None:
    """One part of a run is asked about, so the other, that is certain, waits for it."""
    land(register, a=[a_line(0, "1"), a_line(1, "2", "vm-2")])
    stage(register, "part-1", [a_line(0, "5")], series=("s", "2026\nrun\n1"))
    stage(register, "part-2", [a_line(3, "7")], series=("s", "2026\nrun\n2"))
    outcomes = {outcome.place: outcome.questions for outcome in register.land()}
    assert outcomes[1] == ("part-2: not imported, for another part of its delivery was not",)
    assert "part-1: its 1 line (5.00 USD)" in outcomes[0][0]
    assert amounts(db) == ["1", "2"]
    assert [asked.file for asked in register.questions()] == ["part-1"]


def test_files_that_overlap_in_one_command_are_asked_about(register: Register) -> None:
    """Only a user knows whether both count; nothing tells which stands for the other."""
    outcomes = land(register, a=[a_line(0, "1")], b=[a_line(0, "5")])
    texts = [text for outcome in outcomes.values() for text in outcome.questions]
    [text] = texts
    assert "overlap 1 line of another file of the same import" in text
    assert text.endswith(
        'Import with --part (overlap="part") if both count, or import the two one after the other'
    )


def test_lines_of_our_own_kinds_are_deliveries_of_their_own(register: Register) -> None:
    """A voucher at another amount is asked about, though the file has a voucher more."""
    vouchers = [a_charge(name, amount, (0, 10)) for name, amount in (("v-1", "1"), ("v-2", "2"))]
    stage(register, "a", vouchers, kind="voucher")
    [outcome] = register.land()
    assert [(delivery.delivery.period, delivery.fate) for delivery in outcome.deliveries] == [
        ("v-1", Fate.NEW),
        ("v-2", Fate.NEW),
    ]
    stage(register, "b", [vouchers[0], a_charge("v-2", "3", (0, 10))], kind="voucher")
    [outcome] = register.land()
    [text] = outcome.questions
    assert "of voucher invoice-1, v-2 overlap 1 line of a (2.00 USD)" in text


def test_amounts_finer_than_a_picounit_have_a_rounding_line(
    register: Register, db: sqlite3.Connection
) -> None:
    """Two lines of 0.4 picounits come to 0.8: a line of 1 rounds the delivery as a whole."""
    fine = [a_line(day, "0", exact="0.0000000000004") for day in (0, 1)]
    [delivery] = land(register, a=fine)["a"].deliveries
    assert delivery.after == {"USD": Total("8E-13", 0)}
    bodies = [msgspec.json.decode(body) for (body,) in db.execute("SELECT body FROM charges")]
    assert sorted((body["service_name"], body["amount_pico"]) for body in bodies) == [
        ("", 0),
        ("", 0),
        ("Rounding", 1),
    ]


def test_charges_of_books_without_a_register_are_adopted(
    register: Register, db: sqlite3.Connection
) -> None:
    """Each file's lines of each delivery are an import in force; a copy of a file is a duplicate."""
    lines = [
        replace(a_line(day, amount), id=ChargeId(f"chg_{day}"), file="a.csv", file_sha256="a")
        for day, amount in ((0, "1"), (1, "2"), (40, "4"))
    ]
    for line in lines:
        db.execute(
            "INSERT INTO charges VALUES (?, 'a', ?, ?, ?, 0)",
            (line.id, line.period_start_ns, line.period_end_ns, msgspec.json.encode(line)),
        )
    register.adopt({"a": FOCUS}, lines)
    found = [(one.delivery, one.lines, one.totals, one.state) for one in register.imports()]
    assert found == [
        (JANUARY, 2, usd("3"), State.IN_FORCE),
        (FEBRUARY, 1, usd("4"), State.IN_FORCE),
    ]
    assert {delivery.fate for delivery in land(register, b=lines)["b"].deliveries} == {
        Fate.DUPLICATE
    }
    register.void(1, "wrong", Closed(), "ann", 1)
    assert amounts(db) == ["4"]


def test_imports_are_told_in_the_order_of_their_numbers(register: Register) -> None:
    """All of them, or those that are asked for, whatever their order."""
    land(register, a=[a_line(0, "1")], b=[a_line(40, "4")], c=[a_line(80, "8")])
    assert [one.file for one in register.imports()] == ["a", "b", "c"]
    assert [one.file for one in register.imports(3, 1)] == ["a", "c"]
