"""`inferworks books import`: import bills, time sheets, payroll and other costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias

import click
import msgspec

from inferworks.books.allocation.departments import SHIPPED, Departments
from inferworks.books.bills import rates
from inferworks.books.bills.base import (
    BillFile,
    BillReader,
    LineReader,
    bill_files,
    bytes_of,
    header_of,
    refuse,
)
from inferworks.books.bills.base import Progress as RowsRead
from inferworks.books.bills.depreciation import DepreciationReader, KnownAssets
from inferworks.books.bills.detect import form_of, reader_for, understood
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.bills.mapping import BillMapping, load_mapping, shipped
from inferworks.books.bills.payroll import PayrollReader, paid_again, paid_twice
from inferworks.books.bills.reports import STORAGE, kind_of, read_reports
from inferworks.books.bills.sense import ALWAYS_NS, after_tomorrow_ns
from inferworks.books.bills.spelling import SpelledOtherwiseError
from inferworks.books.bills.spelling import Told as Spelled
from inferworks.books.bills.timesheet import TimesheetReader
from inferworks.books.bills.voucher import VoucherReader
from inferworks.books.bills.workers import spare_workers
from inferworks.books.deliveries.arriving import ArrivingLine, arriving_lines
from inferworks.books.deliveries.decide import Answer
from inferworks.books.deliveries.parts import series_of
from inferworks.books.deliveries.record import State
from inferworks.books.period import late_texts
from inferworks.books.repository.store import BookStore
from inferworks.books.workspace.late_lines import calendar_of, closed_time, late_reports
from inferworks.books.workspace.recorded import who
from inferworks.books.workspace.unexplained import Unexplained
from inferworks.cli.books.import_remarks import Remarks
from inferworks.cli.books.landed import CHANGING, Landed, change_of, change_text, row_of
from inferworks.cli.books.places import Place, places
from inferworks.cli.books.told import told_options
from inferworks.cli.options import config_option, data_option, json_option, read_config
from inferworks.cli.show import print_json, print_table, say
from inferworks.cli.usage import conflict_text, no_rows_text, take_in
from inferworks.cli.watch import watched
from inferworks.clock import SystemClock
from inferworks.errors import BillError, NoBillError
from inferworks.folder import DataFolder
from inferworks.money import format_pico
from inferworks.wiring.books import book_settings


def readers(
    departments: Departments = SHIPPED, until_ns: int = ALWAYS_NS
) -> tuple[BillReader, ...]:
    """The kinds of file that become charges, told apart by their header, in a house with `departments`.

    No work began at `until_ns` or later.
    """
    return (
        FocusBillReader(departments),
        TimesheetReader(departments, until_ns),
        PayrollReader(departments),
        DepreciationReader(departments),
        VoucherReader(departments),
    )


_SMALL_BYTES = 4 * 2**20
_SOURCE = "import"
"""Source of the usage in a file that names none."""


class _Staged(NamedTuple):
    """File whose lines wait to be stored."""

    bill: BillFile
    kind: str
    lines: int
    notes: tuple[str, ...]


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--mapping",
    "mapping_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Mapping of the columns, for files of unknown form.",
)
@click.option("--part", is_flag=True, help="Count a file that overlaps another beside it.")
@click.option("--replace", is_flag=True, help="Replace imported lines of the same days.")
@told_options
@config_option
@data_option
@json_option
def import_bills(
    files: tuple[str, ...],
    mapping_path: Path | None,
    part: bool,
    replace: bool,
    told: Spelled,
    config_path: Path | None,
    data_path: Path | None,
    as_json: bool,
) -> None:
    """Import costs: bills, time sheets, payroll and the like.

    CSV, JSON or Parquet, as it is or packed (gzip, zstd, zip); a file, a folder, a pattern or the URL of
    an object store (s3://, gs://, az://). The header decides the kind: FOCUS bills (1.0 to 1.4), time
    sheets, payroll, depreciation schedules, vouchers, metered storage, and exchange rates, which are
    imported before the rest. docs/costs-in.md shows the columns of each. The exports of many clouds, model
    providers and time trackers are recognised too (docs/mappings.md); for any other file, --mapping maps
    its columns, and `inferworks books map` drafts such a mapping.

    The formats of numbers and dates are detected from the file. If they are ambiguous (11/1/2026, 1,234),
    the file is refused, with the option that decides.

    A file is imported whole or not at all, and the same lines twice count once, in whatever form. A longer
    export of the month to date replaces the one before. A file that overlaps another, where it is unclear
    whether both count, is refused with the amount under each answer: --part or --replace. A line for a
    closed period is imported and corrects the open one; a note says which.

    \b
    Examples:
      inferworks books import aws-2026-11.parquet
      inferworks books import rates.csv bills/*.csv.gz timesheet.csv
      inferworks books import s3://company-bills/focus/2026-11/
      inferworks books import --decimal-mark , --dates DMY payroll.csv
      inferworks books import --replace a-cloud-2026-11-corrected.csv

    \b
    A time sheet names a node or an activity in each line:
      person,start,end,minutes,node,activity,pay,currency,sheet
      ann,2026-11-21T09:00Z,2026-11-21T17:00Z,40,gpu-3,,32.00,USD,2026-47
    """
    if part and replace:
        raise click.UsageError("--part and --replace are two answers; give one of them")
    answer = Answer.PART if part else Answer.REPLACE if replace else None
    config = read_config(config_path, data_path)
    folder, settings = DataFolder(Path(config.data.folder)), book_settings(config)
    folder.create()
    landed: list[Landed] = []
    passed: list[str] = []
    with (
        BookStore(folder.books, currency=config.books.currency) as store,
        places(files) as (found, refused, empty),
    ):
        known = readers(settings.departments, after_tomorrow_ns(SystemClock().now_ns()))
        given = None if mapping_path is None else load_mapping(mapping_path)
        unexplained, taxes = Unexplained(settings), config.books.recoverable_taxes
        intake = _Intake(store, folder, known, told, taxes, shipped(), given, unexplained, [])
        for together in _deliveries(sorted(found, key=_turn)):
            _import_delivery(together, intake, answer, (landed, passed, refused))
        _land(intake, answer, (landed, passed, refused))
        notes = [*_notes(landed, store), *(f"no bill: {text}" for text in passed), *empty]
    notes += unexplained.questions()
    if as_json:
        print_json({"files": landed, "refused": refused, "notes": notes})
    elif landed:
        columns = ("FILE", "KIND", "NEW", "DUPLICATE", "AMOUNT", "CURRENCY")
        print_table(columns, map(row_of, landed), right="NEW DUPLICATE AMOUNT")
    for note in notes:
        say(f"Note: {note}", err=True)
    conflicts = sum(file.conflict for file in landed)
    if conflicts:
        refused.append(conflict_text(conflicts))
    if refused:
        raise BillError("\n".join(refused))


def _notes(landed: Sequence[Landed], store: BookStore) -> list[str]:
    """Return remarks on the imported files: no errors, but worth a look."""
    late = [f"{file.file}: {text}" for file in landed for text in file.late]
    changes = [
        f"{file.file}: {text}"
        for file in landed
        for change in file.changes
        if (text := change_text(change))
    ]
    return [
        *changes,
        *late,
        *_paid_twice(landed, store),
        *(note for file in landed for note in file.notes),
    ]


def _paid_twice(landed: Sequence[Landed], store: BookStore) -> list[str]:
    if not {file.kind for file in landed} & {PayrollReader.kind, TimesheetReader.kind}:
        return []
    charges = store.charges()
    fresh = {file.file for file in landed if file.accepted}
    twice = (
        f"{person} is paid by a time sheet and by the payroll for the same time; "
        "if that is the same money, one of the two is too much"
        for person in paid_twice(charges)
    )
    return [*paid_again(charges, fresh), *twice]


def _turn(place: Place) -> int:
    """Return the order of a file: exchange rates first, because the bills beside them may need them."""
    with suppress(BillError, OSError):  # whatever is wrong with it is said in its turn
        bill = next(bill_files(place.name, _head(place.path)), None)
        if bill is not None:
            form = form_of(bill, rates.recognises)
            return 0 if rates.recognises(header_of(bill._replace(form=form))) else 1
    return 1


def _head(path: Path) -> bytes:
    """The first line of a file that is plain text, all of one that is small."""
    raw = bytes_of(path) if path.stat().st_size < _SMALL_BYTES else b""
    if raw:
        return raw
    with path.open("rb") as file:
        return file.readline(_SMALL_BYTES)


class _Intake(NamedTuple):
    """Readers, settings and stores of an import."""

    store: BookStore
    folder: DataFolder
    readers: Sequence[BillReader]
    told: Spelled
    recoverable_taxes: Sequence[str]
    mappings: Sequence[BillMapping]
    given: BillMapping | None
    unexplained: Unexplained
    staged: list[_Staged]

    def knows(self, header: Sequence[str]) -> bool:
        """Return whether this is the header of a file that costs are imported from."""
        return (
            rates.recognises(header)
            or kind_of(header) is not None
            or any(reader.recognises(header) for reader in self.readers)
        )

    def understood(self, bill: BillFile, *, assuming: bool) -> BillFile:
        """`bill` with everything that must be known to read it; or `assuming` how it is written."""
        return understood(bill, self.knows, self.told, self.mappings, self.given, assuming=assuming)


_Outcome: TypeAlias = tuple[list[Landed], list[str], list[str]]
"""Imported files, files passed over, and reasons why the rest was refused."""


def _deliveries(found: Iterable[Place]) -> Iterable[list[Place]]:
    """The files that one manifest names together, the others one by one."""
    together: dict[str, list[Place]] = {}
    for number, place in enumerate(found):
        named = place.part.manifest.name if place.part else f"\n{number}"
        together.setdefault(named, []).append(place)
    return together.values()


def _import_delivery(
    places: Sequence[Place], intake: _Intake, answer: Answer | None, outcome: _Outcome
) -> None:
    """Import files that belong together: where one is refused, nothing of the others stays."""
    refused = outcome[2]
    before, staged = len(refused), len(intake.staged)
    for place in places:
        _import_place(place, intake, answer, outcome)
    if len(places) > 1 and len(refused) > before:
        intake.store.unstage(staged)
        del intake.staged[staged:]
        part = places[0].part
        refused.append(
            f"{part.manifest.name if part else ''}: nothing of the delivery was imported"
        )


def _import_place(place: Place, intake: _Intake, answer: Answer | None, outcome: _Outcome) -> None:
    """Import the bills in one file: each lands or is put aside, is no bill, or is refused."""
    landed, passed, refused = outcome
    try:
        encoding = "" if intake.given is None else intake.given.form.encoding
        for bill in bill_files(place.name, bytes_of(place.path), encoding):
            chosen = bool(place.part) or (place.chosen and bill.name == place.name)
            bill = bill._replace(columns=place.part.columns if place.part else {})
            try:
                told = intake.understood(bill, assuming=True)
                _land_before_assets(told, intake, answer, outcome)
                try:
                    done = _import_bill(told, intake, place)
                except SpelledOtherwiseError:
                    told = intake.understood(bill, assuming=False)
                    done = _import_bill(told, intake, place)
                if isinstance(done, _Staged):
                    intake.staged.append(done)
                else:
                    landed.append(_noted(told, done))
            except NoBillError as error:
                (refused if chosen else passed).append(str(error))
            except BillError as error:
                again = _again(bill, str(error), intake.store)
                if again is None:
                    refused.append(str(error))
                else:
                    landed.append(again)
    except NoBillError as error:
        (refused if place.chosen else passed).append(str(error))
    except BillError as error:
        refused.append(str(error))


def _again(bill: BillFile, why: str, store: BookStore) -> Landed | None:
    """Return the result for a file already in the books that a new file like it would be refused.

    So a monthly import of a whole folder does not fail at files that an older program imported. None when
    it is not in the books.
    """
    there = [one for one in store.imports() if one.file_sha256 == bill.sha256]
    if not there or any(one.state is State.VOID for one in there):
        return None
    lines = sum(one.lines for one in there)
    told = f"{bill.name} is in the books already; a new file like it would be refused: "
    return Landed(
        file=bill.name,
        kind=there[0].delivery.kind,
        received=lines,
        accepted=0,
        duplicate=lines,
        amount=format_pico(0),
        currency=store.currency,
        notes=(told + why.splitlines()[0],),
    )


def _noted(bill: BillFile, landed: Landed) -> Landed:
    """Add the notes of its mapping to an imported bill."""
    notes = [*landed.notes, *bill.remarks]
    if not landed.received and not bill.left_out:
        notes.append(no_rows_text(bill.name))
    if bill.mapping is None:
        return msgspec.structs.replace(landed, notes=tuple(notes))
    if bill.left_out:
        rows = "1 row was" if bill.left_out == 1 else f"{bill.left_out} rows were"
        notes.append(f"{bill.name}: {rows} left out by the mapping {bill.mapping.name}")
    if bill.mapping.note:
        notes.append(f"{bill.name}: {bill.mapping.title}: {bill.mapping.note}")
    return msgspec.structs.replace(landed, mapping=bill.mapping.name, notes=tuple(notes))


def _series(place: Place, bill: BillFile) -> tuple[str, str]:
    """Of which export a file is a part, by its name and where it lies."""
    inside = bill.name.removeprefix(place.name).lstrip("/")
    if place.part:
        export, number = place.part.series
        return export, f"{number} {inside}".rstrip()
    if not inside:
        return series_of(place.folder, place.name.rpartition("/")[2])
    folder, _, name = inside.rpartition("/")
    return series_of(f"{place.folder}/{place.name.rpartition('/')[2]}/{folder}", name)


def _land_before_assets(
    bill: BillFile, intake: _Intake, answer: Answer | None, outcome: _Outcome
) -> None:
    """A register of assets is read beside what is in the books: let there be all that came before it."""
    if DepreciationReader().recognises(header_of(bill)):
        _land(intake, answer, outcome)


def _land(intake: _Intake, answer: Answer | None, outcome: _Outcome) -> None:
    """Take in the files that were put aside: each lands, or is refused with its questions."""
    landed, _, refused = outcome
    calendar = calendar_of(intake.folder)
    found = intake.store.land(answer, closed_time(calendar), who(), SystemClock().now_ns())
    for one in found:
        file = intake.staged[one.place]
        if one.questions:
            refused += one.questions
            continue
        changed = [told.changed for told in one.told]
        done = Landed(
            file=file.bill.name,
            kind=file.kind,
            received=file.lines,
            accepted=sum(one.added for one in changed),
            duplicate=sum(one.kept for one in changed),
            amount=format_pico(sum(one.added_pico for one in changed)),
            currency=intake.store.currency,
            late=tuple(late_texts((line for one in changed for line in one.late), calendar)),
            notes=file.notes,
            changes=tuple(
                change_of(told)
                for told in one.told
                if told.fate in CHANGING or told.changed.amended or told.remark
            ),
        )
        landed.append(_noted(file.bill, done))
    intake.staged.clear()


def _import_bill(bill: BillFile, intake: _Intake, place: Place) -> Landed | _Staged:
    """Read one bill and store records other than costs; stage the lines of cost."""
    store, folder = intake.store, intake.folder
    header = header_of(bill)
    report = kind_of(header)
    with watched(bill) as rows_read, ExitStack() as stack:
        if rates.recognises(header):
            return _import_rates(bill, store, rows_read)
        if report is not None:
            return _import_reports(bill, report.name, intake, rows_read)
        reader = reader_for(bill, intake.readers, intake.mappings)
        now_ns = SystemClock().now_ns()
        remarks = Remarks(bill.name, store.currency, intake.recoverable_taxes, now_ns)
        given = bill, store.currency, rows_read, store.rates()
        read: Iterable[ArrivingLine]
        if isinstance(reader, DepreciationReader):
            open_ns = calendar_of(folder).closed_until_ns
            known = KnownAssets(store.charges(), open_ns, remarks.say)
            read = arriving_lines(reader.kind, reader.read_beside(known, *given))
        elif isinstance(reader, PayrollReader):
            read = arriving_lines(reader.kind, reader.read_once(remarks.say, *given))
        elif isinstance(reader, LineReader):
            read = stack.enter_context(closing(reader.lines(*given, spare_workers())))
        else:
            read = arriving_lines(reader.kind, reader.read(*given))
        seen = _seen(_counted(read, bill, place), remarks, intake.unexplained)
        lines = store.stage_lines(seen, _series(place, bill))
    read_already = bill._replace(raw=b"")  # a folder of bills is not in memory all at once
    return _Staged(read_already, reader.kind, lines, tuple(remarks.notes()))


def _seen(
    lines: Iterable[ArrivingLine], remarks: Remarks, unexplained: Unexplained
) -> Iterator[ArrivingLine]:
    """Yield `lines` unchanged, checking each for remarks and questions."""
    for line in lines:
        remarks.look_at(line.charge)
        unexplained.look_at(line.charge)
        yield line


def _counted(lines: Iterable[ArrivingLine], bill: BillFile, place: Place) -> Iterator[ArrivingLine]:
    """The same `lines`, one by one; BillError when they are not as many as a manifest says."""
    count = bill.left_out
    for count, line in enumerate(lines, start=bill.left_out + 1):  # noqa: B007 - counted
        yield line
    rows = place.part.part.rows if place.part else None
    if place.part and rows is not None and count != rows:
        raise BillError(
            f"{bill.name}: it has {count} rows, not the {rows} that {place.part.manifest.name} says; fetch "
            "it again"
        )


def _import_rates(bill: BillFile, store: BookStore, rows_read: RowsRead) -> Landed:
    rows = rates.read_rates(bill, rows_read)
    done = store.add_rates(bill, rows, SystemClock().now_ns())
    return Landed(
        file=bill.name,
        kind=rates.KIND,
        received=done.accepted + done.duplicate,
        accepted=done.accepted,
        duplicate=done.duplicate,
        amount=format_pico(0),
        currency=store.currency,
    )


def _import_reports(bill: BillFile, kind: str, intake: _Intake, rows_read: RowsRead) -> Landed:
    """Import usage or storage, which drives cost and is none: it goes to the meter, as if reported."""
    until_ns = after_tomorrow_ns(SystemClock().now_ns())
    source = STORAGE if kind == STORAGE else _SOURCE
    reports, problems = read_reports(bill, source, rows_read, until_ns)
    refuse(problems)
    late = late_reports(reports, intake.folder)
    received = take_in(reports, intake.folder)
    return Landed(
        file=bill.name,
        kind=kind,
        received=received.received,
        accepted=received.accepted,
        duplicate=received.duplicate,
        conflict=received.conflict,
        amount=format_pico(0),
        currency=intake.store.currency,
        late=tuple(late),
    )
