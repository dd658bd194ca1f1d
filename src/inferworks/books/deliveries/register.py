"""The register of deliveries: imports in force, superseded and taken back, and open questions.

An import is a part of a delivery (`decide.Part`) with its user and time. It is in force, superseded by a
later revision, an older or a second copy of an existing part, or taken back. A file whose case is not
certain is not imported; its question stays on record until the file comes with an answer or a user
settles it.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from inferworks.books.charge import Charge
from inferworks.books.deliveries import arriving
from inferworks.books.deliveries.arriving import (
    DIGEST_BITS,
    Arrival,
    ArrivingLines,
    Total,
    Totals,
    listed,
)
from inferworks.books.deliveries.canonical import FOCUS, Delivery, delivery_of, line_of
from inferworks.books.deliveries.comparing import Lines
from inferworks.books.deliveries.decide import Answer, Fate, Named, Question, Step, Verdict, decide
from inferworks.books.deliveries.elsewhere import counted_once
from inferworks.books.deliveries.landing import NOTHING_CLOSED, Changed, Closed, Landing
from inferworks.books.deliveries.parts import Part, Spans, merged, reach
from inferworks.books.deliveries.record import (
    DeliveryOutcome,
    Import,
    Outcome,
    QuarantineQuestion,
    State,
)
from inferworks.books.deliveries.saying import (
    Lot,
    beside_text,
    instead_text,
    older_text,
    question_text,
    together,
)
from inferworks.errors import UserError
from inferworks.sqlite import transaction

_COLUMNS: Final = (
    "number, delivery, file, file_sha256, series, place, revision, state, digest, lines, spans, totals, "
    "invoices, at_ns, by, reason"
)
_STANDS: Final = {Fate.NEW, Fate.PART, Fate.REVISION}
_spans = msgspec.json.Decoder(tuple[tuple[int, int], ...]).decode
_totals = msgspec.json.Decoder(Totals).decode
_invoices = msgspec.json.Decoder(tuple[str, ...]).decode
_encode = msgspec.json.encode

Load = Callable[[str], Charge]


class _File(NamedTuple):
    """A staged file: its number, and the arrivals of each delivery in it."""

    place: int
    arrivals: list[Arrival]

    @property
    def name(self) -> str:
        """Return the name of the first file."""
        return self.arrivals[0].file if self.arrivals else ""


_NOT_ALONE: Final = "{file}: not imported, for another part of its delivery was not"


class Register:
    """Deliveries in the database `db`, whose charges `load` reads."""

    def __init__(self, db: sqlite3.Connection, load: Load) -> None:
        self._db = db
        self._load = load
        self._arrived: list[_File] = []
        self._by, self._at_ns = "", 0
        """Importing user, and the time in nanoseconds."""

    def stage(self, lines: Iterable[ArrivingLines], series: tuple[str, str]) -> int:
        """Stage the lines of one file and return their number; `land` decides on them."""
        if not self._arrived:
            self._db.execute("DROP TABLE IF EXISTS temp.arriving")
            self._db.execute(arriving.SCHEMA)
        first = -1 - sum(len(file.arrivals) for file in self._arrived)
        self._db.execute("BEGIN")
        try:
            found = arriving.stage(self._db, counted_once(self._db, lines), series, first)
        finally:
            self._db.execute("COMMIT")
        self._arrived.append(_File(len(self._arrived), found))
        return sum(arrival.part.lines for arrival in found)

    def unstage(self, place: int) -> None:
        """Forget the files put aside from this place on."""
        for file in self._arrived[place:]:
            arriving.discard(self._db, [arrival.part.number for arrival in file.arrivals])
        del self._arrived[place:]

    def land(
        self,
        answer: Answer | None = None,
        closed: Closed = NOTHING_CLOSED,
        by: str = "",
        at_ns: int = 0,
    ) -> Iterator[Outcome]:
        """Import the staged files, each whole or not at all; return the outcome of each.

        Files that bring parts of one delivery are taken in together.
        """
        files, self._arrived = self._arrived, []
        self._by, self._at_ns = by, at_ns
        if files:
            self._db.execute(arriving.INDEX)
        for group in _groups(files):
            yield from self._land(group, answer, closed)

    def imports(self, *numbers: int) -> list[Import]:
        """Every import on record, or those of these numbers, in order."""
        of_these = f"WHERE parts.number IN ({listed(numbers)}) " if numbers else ""
        rows = self._db.execute(
            "SELECT kind, issuer, account, period, parts.number, file, file_sha256, revision, state, "
            "parts.lines, totals, spans, at_ns, by, reason FROM parts JOIN deliveries "
            f"ON deliveries.number = delivery {of_these}ORDER BY parts.number"
        )
        return [
            Import(
                number, Delivery(*delivery), file, sha256, revision, State(state), lines,
                _totals(totals), spans[0][0] if (spans := _spans(raw)) else 0,
                spans[-1][1] if spans else 0, at_ns, by, reason,
            )
            for *delivery, number, file, sha256, revision, state, lines, totals, raw, at_ns, by, reason
            in rows
        ]  # fmt: skip

    def questions(self, *, settled: bool = False) -> list[QuarantineQuestion]:
        """The questions that are open; with `settled` the others too."""
        rows = self._db.execute(
            "SELECT questions.number, file, file_sha256, kind, issuer, account, period, start_ns, end_ns, "
            "text, at_ns, settled_ns, by, reason FROM questions JOIN deliveries "
            f"ON deliveries.number = delivery {'' if settled else 'WHERE settled_ns IS NULL '}"
            "ORDER BY questions.number"
        )
        return [
            QuarantineQuestion(row[0], row[1], row[2], Delivery(*row[3:7]), *row[7:])
            for row in rows.fetchall()
        ]

    def settle(self, number: int, reason: str, by: str, at_ns: int) -> QuarantineQuestion:
        """Settle the question `number`: its file stays out. UserError when it is not open."""
        with transaction(self._db):
            found = [asked for asked in self.questions() if asked.number == number]
            if not found:
                raise UserError(
                    f"no question {number} is open; inferworks books quarantine list has them"
                )
            self._settle("number = ?", number, reason, by, at_ns)
        return found[0]

    def void(
        self, number: int, reason: str, closed: Closed, by: str, at_ns: int
    ) -> tuple[Import, Changed]:
        """Take the import `number` back: its lines count no more. UserError when it is not in force."""
        with transaction(self._db):
            found = self.imports(number)
            if not found:
                raise UserError(
                    f"there is no import {number}; inferworks books imports list has them"
                )
            if found[0].state is not State.IN_FORCE:
                raise UserError(
                    f"import {number} is {found[0].state}: it has no lines to take back"
                )
            [(delivery,)] = self._db.execute(
                "SELECT delivery FROM parts WHERE number = ?", (number,)
            )
            landing = Landing(self._db, self._load, closed, at_ns)
            changed = landing.take_back([number])
            self._db.execute(
                "UPDATE parts SET state = ?, reason = ? WHERE number = ?",
                (State.VOID, f"{reason} ({by})", number),
            )
            late = landing.round(delivery, found[0].delivery, self._total(delivery))
        return found[0], changed._replace(late=(*changed.late, *late))

    def adopt(self, kinds: dict[str, str], charges: Iterable[Charge]) -> None:
        """Register the charges of a layout without deliveries; `kinds` gives the kind of each file."""
        parts: dict[tuple[Delivery, str], list[Charge]] = defaultdict(list)
        for charge in charges:
            kind = kinds.get(charge.file_sha256, "")
            parts[delivery_of(kind, charge), charge.file_sha256].append(charge)
        for (delivery, sha256), members in parts.items():
            number = self._number(delivery)
            digest, totals = 0, Totals()
            rows = []
            invoices: set[str] = set()
            for charge in members:
                line = line_of(delivery, charge)
                billed = charge if charge.foreign is None else charge.foreign
                amount = Total(f"{billed.amount_pico}E-12", billed.amount_pico)
                totals = arriving.added(totals, {billed.currency: amount})
                digest = (digest + int(line.name[4:], 16)) % (1 << DIGEST_BITS)
                invoices.add(line.invoice)
                rows.append((line.name, charge.id, line.about, line.carried))
            spans = merged((c.period_start_ns, c.period_end_ns) for c in members)
            part = Part(0, digest, len(members), spans, "", "", tuple(sorted(invoices)))
            arrival = Arrival(delivery, part, totals, members[0].file, sha256)
            entered = self._enter(number, arrival, 1, State.IN_FORCE)
            self._db.executemany(
                "INSERT INTO lines VALUES (?, ?, ?, ?, ?)", ((entered, *row) for row in rows)
            )

    def _land(
        self, files: Sequence[_File], answer: Answer | None, closed: Closed
    ) -> Iterator[Outcome]:
        """Take in files that share deliveries: all but those that leave a question."""
        left = list(files)
        refused: list[Outcome] = []
        with transaction(self._db):
            while left:
                decided = self._decide(left, answer)
                asked = {
                    part.number: verdict
                    for verdicts in decided.values()
                    for verdict in verdicts
                    if isinstance(verdict, Question)
                    for part in verdict.parts
                }
                if not asked:
                    break
                again = []
                runs = set(_runs(left, asked))
                for file in left:
                    parts = [one for one in file.arrivals if one.part.number in asked]
                    texts = [self._ask(one, asked[one.part.number]) for one in parts]
                    if texts:
                        refused.append(Outcome(file.place, questions=tuple(texts)))
                    elif not runs.isdisjoint(_runs([file])):
                        refused.append(
                            Outcome(file.place, questions=(_NOT_ALONE.format(file=file.name),))
                        )
                    else:
                        again.append(file)
                left = again
            else:
                decided = {}
            outcomes = self._do(decided, left, closed)
        yield from refused
        for file in left:
            of_parts = tuple(outcomes[arrival.part.number] for arrival in file.arrivals)
            yield Outcome(file.place, of_parts)

    def _decide(
        self, files: Sequence[_File], answer: Answer | None
    ) -> dict[Delivery, list[Verdict]]:
        together: dict[Delivery, list[Part]] = defaultdict(list)
        for arrival in _arrivals(files):
            together[arrival.delivery].append(arrival.part)
        grown = Lines(self._db)
        named = Named(grown)
        return {
            delivery: decide(
                parts,
                self._known(self._number(delivery)),
                grown if delivery.kind == FOCUS else named,
                answer,
            )
            for delivery, parts in together.items()
        }

    def _do(
        self,
        decided: dict[Delivery, list[Verdict]],
        files: Sequence[_File],
        closed: Closed,
    ) -> dict[int, DeliveryOutcome]:
        """Do what was decided; what became of each part that arrived."""
        arrivals = {arrival.part.number: arrival for arrival in _arrivals(files)}
        landing = Landing(self._db, self._load, closed, self._at_ns)
        outcomes: dict[int, DeliveryOutcome] = {}
        for delivery, verdicts in decided.items():
            number = self._number(delivery)
            before = self._total(number)
            [(revision,)] = self._db.execute(
                "SELECT COALESCE(MAX(revision), 0) FROM parts WHERE delivery = ?", (number,)
            )
            steps = [verdict for verdict in verdicts if isinstance(verdict, Step)]
            stands = any(step.fate in _STANDS for step in steps)
            for step in sorted(steps, key=lambda step: step.fate not in _STANDS):
                revision += step.fate in (Fate.NEW, Fate.REVISION)
                ours = [arrivals[part.number] for part in step.parts]
                remark = ""
                if step.fate is Fate.OLDER and not stands:
                    remark = self._older(number, delivery, ours)
                if step.spans:
                    step, remark = self._cut(number, delivery, step)
                done = self._step(landing, number, step, ours, revision)
                for part, changed in done.items():
                    outcomes[part] = DeliveryOutcome(
                        delivery, step.fate, revision, changed, before, before, remark
                    )
                    remark = ""
            after = self._total(number)
            late = landing.round(number, delivery, after)
            parts = [part.number for step in steps for part in step.parts]
            for part in parts:
                outcomes[part] = outcomes[part]._replace(after=after)
            changed = outcomes[parts[0]].changed
            changed = changed._replace(late=(*changed.late, *late))
            outcomes[parts[0]] = outcomes[parts[0]]._replace(changed=changed)
        for arrival in arrivals.values():
            self._db.execute(
                "INSERT OR IGNORE INTO files VALUES (?, ?, ?, ?, 0, 0)",
                (arrival.file_sha256, arrival.file, arrival.delivery.kind, self._at_ns),
            )
            self._settle("file_sha256 = ?", arrival.file_sha256, "imported", self._by, self._at_ns)
        return outcomes

    def _step(
        self, landing: Landing, delivery: int, step: Step, ours: Sequence[Arrival], revision: int
    ) -> dict[int, Changed]:
        """Do one step; what became of the lines of each part."""
        if step.fate not in _STANDS:
            there = [part.number for part in self._known(delivery) if part.in_force]
            older = step.fate is Fate.OLDER
            state = State.OLDER if older else State.DUPLICATE
            for one in ours:
                self._enter(delivery, one, revision, state)
            for one in ours:
                self._db.execute(
                    "UPDATE parts SET invoices = ? WHERE delivery = ? AND digest = ? AND state = ?",
                    (
                        _encode(one.part.invoices), delivery, f"{one.part.digest:024x}",
                        State.IN_FORCE,
                    ),
                )  # fmt: skip
            parts = {one.part.number: one.part.lines for one in ours}
            return landing.repeat(ours[0].delivery, parts, there, overrule=not older)
        numbers = {
            one.part.number: self._enter(delivery, one, revision, State.IN_FORCE) for one in ours
        }
        replaced = [part.number for part in step.replaced]
        changed = landing.take_in(ours[0].delivery, numbers, replaced)
        self._db.execute(
            f"UPDATE parts SET state = ? WHERE number IN ({listed(replaced)})", (State.SUPERSEDED,)
        )
        return changed

    def _older(self, number: int, delivery: Delivery, ours: Sequence[Arrival]) -> str:
        """Return the text about files older than what is here; empty if all are on record and unchanged."""
        there = [part for part in self._known(number) if part.in_force]
        known = {one.file_sha256 for one in self.imports()}
        newer = [
            _arrived(one)
            for one in ours
            if one.file_sha256 not in known
            or Lines(self._db).alike([one.part], there).common < one.part.lines
        ]
        return older_text(str(delivery), together(newer), self._total(number)) if newer else ""

    def _cut(self, number: int, delivery: Delivery, step: Step) -> tuple[Step, str]:
        """Split the parts that `step` replaces for a time; return the step and its text.

        So a replaced part is replaced as a whole, and each part has the totals that were counted when it
        was entered.
        """
        lines, by = Lines(self._db), [part.number for part in step.parts]
        replaced: list[Part] = []
        gone: list[Lot] = []
        for part in step.replaced:
            rest = lines.of_time(part.number, step.spans, by, inside=False)
            if len(rest) == part.lines:
                continue
            replaced.append(part)
            gone.append(self._lot(delivery, part, step.spans, by))
            if rest:  # stays, as a part of its own
                [whole] = self.imports(part.number)
                stays, totals = lines.part_of(delivery, rest, part)
                arrival = Arrival(delivery, stays, totals, whole.file, whole.file_sha256)
                entered = self._enter(number, arrival, whole.revision, State.IN_FORCE)
                self._db.executemany(
                    "UPDATE lines SET part = ? WHERE part = ? AND name = ? AND id = ?",
                    ((entered, part.number, *row) for row in rest),
                )
        out = {part.number for part in replaced}
        left = [part.number for part in self._known(number) if part.in_force]
        left = [one for one in left if one not in out]
        text = instead_text(together(gone), self._whole(left)) if gone else ""
        return step._replace(replaced=tuple(replaced)), text

    def _lot(self, delivery: Delivery, part: Part, spans: Spans, by: Iterable[int]) -> Lot:
        """Return the lines of an existing part that the arriving parts `by` replace in a time."""
        lines = Lines(self._db)
        rows = lines.of_time(part.number, spans, by)
        if len(rows) == part.lines:
            return self._whole([part.number])
        goes, totals = lines.part_of(delivery, rows, part)
        [whole] = self.imports(part.number)
        return Lot(goes.lines, totals, goes.spans, (whole.file,))

    def _whole(self, parts: Iterable[int]) -> Lot:
        """Return the lines of existing parts, summed."""
        numbers = list(parts)
        return together(
            Lot(one.lines, one.totals, ((one.start_ns, one.end_ns),), (one.file,))
            for one in (self.imports(*numbers) if numbers else ())
        )

    def _enter(self, delivery: int, arrival: Arrival, revision: int, state: State) -> int:
        """Put an import on record; its number. A file that is there in this state is not entered twice."""
        if state in (State.DUPLICATE, State.OLDER):
            again = self._db.execute(
                "SELECT number FROM parts WHERE delivery = ? AND file_sha256 = ? AND state != ?",
                (delivery, arrival.file_sha256, State.VOID),
            ).fetchone()
            if again:
                return int(again[0])
        part = arrival.part
        found = self._db.execute(
            f"INSERT INTO parts ({_COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '')",
            (
                delivery, arrival.file, arrival.file_sha256, part.series, part.place, revision, state,
                f"{part.digest:024x}", part.lines, _encode(part.spans), _encode(arrival.totals),
                _encode(part.invoices), self._at_ns, self._by,
            ),
        )  # fmt: skip
        return int(found.lastrowid or 0)

    def _ask(self, arrival: Arrival, question: Question) -> str:
        """Put a question on record; its text: what overlaps, and the amount under each answer."""
        part, delivery = arrival.part, arrival.delivery
        arrived, number = _arrived(arrival), self._number(delivery)
        there = [old for old in question.overlap if old.number >= 0]
        if len(there) < len(question.overlap):
            lines = sum(old.lines for old in question.overlap)
            spans = merged(span for old in question.overlap for span in old.spans)
            other = Lot(lines, {}, spans, ("another file of the same import",))
            text = beside_text(str(delivery), arrived, other)
        else:
            spans, by = reach([part]), [part.number]
            overlap = (
                together(self._lot(delivery, old, spans, by) for old in there)
                if delivery.kind == FOCUS
                else self._whole(old.number for old in there)
            )
            text = question_text(str(delivery), arrived, overlap, self._total(number))
        self._db.execute(
            "INSERT INTO questions VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, NULL, ?, '') "
            "ON CONFLICT (file_sha256, delivery) DO UPDATE SET text = excluded.text, settled_ns = NULL",
            (
                arrival.file, arrival.file_sha256, number, part.start_ns, part.end_ns, text, self._at_ns,
                self._by,
            ),
        )  # fmt: skip
        return text

    def _settle(self, where: str, key: object, reason: str, by: str, at_ns: int) -> None:
        self._db.execute(
            f"UPDATE questions SET settled_ns = ?, by = ?, reason = ? WHERE settled_ns IS NULL AND {where}",
            (at_ns, by, reason, key),
        )

    def _number(self, delivery: Delivery) -> int:
        """The number of a delivery, given when it is first heard of."""
        find = "SELECT number FROM deliveries WHERE kind = ? AND issuer = ? AND account = ? AND period = ?"
        found = self._db.execute(find, delivery).fetchone()
        if found is None:
            found = (
                self._db.execute(
                    "INSERT INTO deliveries VALUES (NULL, ?, ?, ?, ?)", delivery
                ).lastrowid,
            )
        return int(found[0] or 0)

    def _known(self, delivery: int) -> list[Part]:
        """The parts of a delivery that were not taken back."""
        rows = self._db.execute(
            "SELECT number, digest, lines, spans, series, place, invoices, state FROM parts "
            "WHERE delivery = ? AND state != ? ORDER BY number",
            (delivery, State.VOID),
        )
        return [
            Part(
                number,
                int(digest, 16),
                lines,
                _spans(spans),
                series,
                place,
                _invoices(invoices),
                state == State.IN_FORCE,
            )
            for number, digest, lines, spans, series, place, invoices, state in rows
        ]

    def _total(self, delivery: int) -> Totals:
        """Return the totals of the parts of a delivery that are in force."""
        rows = self._db.execute(
            "SELECT number FROM parts WHERE delivery = ? AND state = ?", (delivery, State.IN_FORCE)
        )
        parts = [number for (number,) in rows]
        found: Totals = {}
        for (raw,) in self._db.execute(
            f"SELECT totals FROM parts WHERE number IN ({listed(parts)})"
        ):
            found = arriving.added(found, _totals(raw))
        return found


def _arrived(arrival: Arrival) -> Lot:
    part = arrival.part
    return Lot(part.lines, arrival.totals, part.spans, (arrival.file,))


def _arrivals(files: Iterable[_File]) -> Iterator[Arrival]:
    for file in files:
        yield from file.arrivals


def _runs(
    files: Iterable[_File], asked: Collection[int] | None = None
) -> Iterator[tuple[str, tuple[str, str]]]:
    """The runs of exports that files are parts of; with `asked` those of parts of these numbers."""
    for arrival in _arrivals(files):
        part = arrival.part
        if part.run is not None and (asked is None or part.number in asked):
            yield part.series, part.run


def _groups(files: Sequence[_File]) -> Iterator[list[_File]]:
    """The files, those together that share a delivery, in the order of the first of each."""
    leader = list(range(len(files)))

    def of(file: int) -> int:
        while leader[file] != file:
            file = leader[file]
        return file

    first: dict[Delivery, int] = {}
    for at, file in enumerate(files):
        for arrival in file.arrivals:
            one, other = of(at), of(first.setdefault(arrival.delivery, at))
            leader[max(one, other)] = min(one, other)
    groups: dict[int, list[_File]] = defaultdict(list)
    for at, file in enumerate(files):
        groups[of(at)].append(file)
    yield from groups.values()
