"""Import of costs: bills, time sheets, payroll, schedules, vouchers, rates and metered storage.

A file is imported whole or not at all, and the files that one manifest names together or not at all. Lines
of cost are staged first and posted together at the end, because what a file is may depend on the others;
rates and reports of usage, which are no cost, are stored at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext, suppress
from typing import NamedTuple, TypeAlias

import msgspec

from inferworks.accounts.author import current_user
from inferworks.books.allocation.departments import SHIPPED, Departments
from inferworks.books.bills import rates
from inferworks.books.bills.base import (
    BillFile,
    BillReader,
    LineReader,
    bill_files,
    bytes_of,
    header_of,
    no_progress,
    refuse,
)
from inferworks.books.bills.base import Progress as RowsRead
from inferworks.books.bills.depreciation import DepreciationReader, KnownAssets
from inferworks.books.bills.detect import form_of, reader_for, understood
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.bills.mapping import load_mapping, shipped
from inferworks.books.bills.payroll import PayrollReader, paid_again, paid_twice
from inferworks.books.bills.reports import STORAGE, kind_of, read_reports
from inferworks.books.bills.sense import ALWAYS_NS, after_tomorrow_ns
from inferworks.books.bills.spelling import SpelledOtherwiseError
from inferworks.books.bills.timesheet import TimesheetReader
from inferworks.books.bills.voucher import VoucherReader
from inferworks.books.bills.workers import spare_workers
from inferworks.books.deliveries.arriving import ArrivingLines, arriving_lines
from inferworks.books.deliveries.parts import series_of
from inferworks.books.deliveries.record import State
from inferworks.books.period import late_texts
from inferworks.books.repository.store import BookStore
from inferworks.books.workspace.file_notes import FileNotes
from inferworks.books.workspace.import_options import ImportOptions
from inferworks.books.workspace.import_result import (
    CHANGING,
    ImportedFile,
    ImportResult,
    change_of,
    no_rows_text,
)
from inferworks.books.workspace.late_lines import calendar_of, closed_time, late_reports
from inferworks.books.workspace.settings import Settings
from inferworks.books.workspace.sources import SourceFile, source_files
from inferworks.books.workspace.unexplained import Unexplained
from inferworks.choices import path_of
from inferworks.errors import BillError, NoBillError
from inferworks.money import format_pico

_SMALL_BYTES = 4 * 2**20
_SOURCE = "import"
"""Source of the usage in a file that names none."""

Watch: TypeAlias = Callable[[BillFile], AbstractContextManager[RowsRead]]
"""Shows the progress of reading a file, while the block runs."""


def unwatched(_: BillFile) -> AbstractContextManager[RowsRead]:
    """Show no progress."""
    return nullcontext(no_progress)


def readers(
    departments: Departments = SHIPPED, until_ns: int = ALWAYS_NS
) -> tuple[BillReader, ...]:
    """Return the readers of all kinds of file that become charges, told apart by their header.

    `departments` are those of the company; no work began at `until_ns` or later.
    """
    return (
        FocusBillReader(departments),
        TimesheetReader(departments, until_ns),
        PayrollReader(departments),
        DepreciationReader(departments),
        VoucherReader(departments),
    )


def is_importable(header: Sequence[str], known: Iterable[BillReader]) -> bool:
    """Return True if this is the header of a file that is imported without a mapping."""
    return (
        rates.recognises(header)
        or kind_of(header) is not None
        or any(reader.recognises(header) for reader in known)
    )


def import_files(
    settings: Settings, words: Sequence[str], options: ImportOptions, watch: Watch = unwatched
) -> ImportResult:
    """Import the files that `words` stand for: paths, folders, patterns and URLs of object stores.

    Files that cannot be imported are refused in the result, and the others imported. BillError when the
    mapping cannot be used; DataFolderError or UserError when the books or the meter cannot be written.
    """
    folder = settings.folder
    folder.create()
    with (
        BookStore(folder.books, currency=settings.currency) as store,
        source_files(words, settings.object_store, folder) as sources,
    ):
        work = _Import(settings, store, options, watch)
        work.refused += sources.problems
        deliveries: dict[
            str, list[SourceFile]
        ] = {}  # files that one manifest names, others one by one
        for number, source in enumerate(sorted(sources.files, key=_turn)):
            name = source.part.manifest.name if source.part else f"\n{number}"
            deliveries.setdefault(name, []).append(source)
        for together in deliveries.values():
            work.add_delivery(together)
        work.post()
        notes = [*work.notes(), *sources.notes]
    notes += work.unexplained.questions()
    return ImportResult(tuple(work.imported), tuple(work.refused), tuple(notes))


def _turn(source: SourceFile) -> int:
    """Return the order of a file: exchange rates first, because the bills beside them may need them."""
    with suppress(BillError, OSError):  # reported when the file itself is imported
        # the first line of a file that is plain text, all of one that is small
        head = bytes_of(source.path) if source.path.stat().st_size < _SMALL_BYTES else b""
        if not head:
            with source.path.open("rb") as file:
                head = file.readline(_SMALL_BYTES)
        bill = next(bill_files(source.name, head), None)
        if bill is not None:
            form = form_of(bill, rates.recognises)
            return 0 if rates.recognises(header_of(bill._replace(form=form))) else 1
    return 1


class _Staged(NamedTuple):
    """A file whose lines wait to be posted."""

    bill: BillFile
    kind: str
    lines: int
    notes: tuple[str, ...]


class _Import:
    """One import: how its files are read, and what became of them so far."""

    def __init__(
        self, settings: Settings, store: BookStore, options: ImportOptions, watch: Watch
    ) -> None:
        self._settings, self._store, self._watch = settings, store, watch
        self._answer, self._spelling = options.answer, options.spelling
        self._readers = readers(settings.departments, after_tomorrow_ns(settings.clock.now_ns()))
        self._mappings = shipped()
        self._mapping = (
            None if options.mapping is None else load_mapping(path_of("mapping", options.mapping))
        )
        self._staged: list[_Staged] = []
        self._skipped: list[str] = []
        """Reasons why files that a folder brought are no bills."""
        self.imported: list[ImportedFile] = []
        self.refused: list[str] = []
        self.unexplained = Unexplained(settings)

    def add_delivery(self, sources: Sequence[SourceFile]) -> None:
        """Import files that belong together: where one is refused, nothing of the others stays."""
        refused, staged = len(self.refused), len(self._staged)
        for source in sources:
            self._add_source(source)
        if len(sources) > 1 and len(self.refused) > refused:
            self._store.unstage(staged)
            del self._staged[staged:]
            part = sources[0].part
            name = part.manifest.name if part else ""
            self.refused.append(f"{name}: nothing of the delivery was imported")

    def _add_source(self, source: SourceFile) -> None:
        """Import the bills in one file: each is stored or staged, is no bill, or is refused."""
        try:
            encoding = "" if self._mapping is None else self._mapping.form.encoding
            for bill in bill_files(source.name, bytes_of(source.path), encoding):
                named = bool(source.part) or (source.named and bill.name == source.name)
                bill = bill._replace(columns=source.part.columns if source.part else {})
                try:
                    self._add_bill(bill, source)
                except NoBillError as error:
                    (self.refused if named else self._skipped).append(str(error))
                except BillError as error:
                    known = self._known_already(bill, str(error))
                    if known is None:
                        self.refused.append(str(error))
                    else:
                        self.imported.append(known)
        except NoBillError as error:
            (self.refused if source.named else self._skipped).append(str(error))
        except BillError as error:
            self.refused.append(str(error))

    def _add_bill(self, bill: BillFile, source: SourceFile) -> None:
        """Store or stage one bill; a long one is surveyed only where it is not in our own spelling."""
        read = self._understood(bill, assuming=True)
        if DepreciationReader().recognises(header_of(read)):
            self.post()  # a register of assets is compared with the books, so all before it is posted
        try:
            done = self._read(read, source)
        except SpelledOtherwiseError:
            read = self._understood(bill, assuming=False)
            done = self._read(read, source)
        if isinstance(done, _Staged):
            self._staged.append(done)
        else:
            self.imported.append(_noted(read, done))

    def _understood(self, bill: BillFile, *, assuming: bool) -> BillFile:
        def known(header: Sequence[str]) -> bool:
            return is_importable(header, self._readers)

        return understood(
            bill, known, self._spelling, self._mappings, self._mapping, assuming=assuming
        )

    def _read(self, bill: BillFile, source: SourceFile) -> ImportedFile | _Staged:
        """Read one bill and store records other than costs; stage the lines of cost."""
        store, header = self._store, header_of(bill)
        report = kind_of(header)
        with self._watch(bill) as rows_read, ExitStack() as stack:
            if rates.recognises(header):
                return self._import_rates(bill, rows_read)
            if report is not None:
                return self._import_reports(bill, report.name, rows_read)
            reader = reader_for(bill, self._readers, self._mappings)
            now_ns = self._settings.clock.now_ns()
            notes = FileNotes(bill.name, store.currency, self._settings.recoverable_taxes, now_ns)
            given = bill, store.currency, rows_read, store.rates()
            lines: Iterable[ArrivingLines]
            if isinstance(reader, DepreciationReader):
                open_ns = calendar_of(self._settings.folder).closed_until_ns
                known = KnownAssets(store.charges(), open_ns, notes.add)
                lines = arriving_lines(reader.kind, reader.read_beside(known, *given))
            elif isinstance(reader, PayrollReader):
                lines = arriving_lines(reader.kind, reader.read_once(notes.add, *given))
            elif isinstance(reader, LineReader):
                lines = stack.enter_context(closing(reader.lines(*given, spare_workers())))
            else:
                lines = arriving_lines(reader.kind, reader.read(*given))
            checked = self._checked(lines, notes, bill, source)
            count = store.stage_lines(checked, _series(source, bill))
        read_already = bill._replace(raw=b"")  # a folder of bills is not in memory all at once
        return _Staged(read_already, reader.kind, count, tuple(notes.texts()))

    def _checked(
        self, lines: Iterable[ArrivingLines], notes: FileNotes, bill: BillFile, source: SourceFile
    ) -> Iterator[ArrivingLines]:
        """Yield `lines` unchanged, checking each for notes and questions.

        BillError when they are not as many as a manifest says.
        """
        count = bill.left_out
        for some in lines:
            count += len(some)
            notes.check(some)
            self.unexplained.look_at(some)
            yield some
        rows = source.part.part.rows if source.part else None
        if source.part and rows is not None and count != rows:
            raise BillError(
                f"{bill.name}: it has {count} rows, not the {rows} that {source.part.manifest.name} says; "
                "fetch it again"
            )

    def _import_rates(self, bill: BillFile, rows_read: RowsRead) -> ImportedFile:
        rows = rates.read_rates(bill, rows_read)
        done = self._store.add_rates(bill, rows, self._settings.clock.now_ns())
        return ImportedFile(
            file=bill.name,
            kind=rates.KIND,
            received=done.accepted + done.duplicate,
            accepted=done.accepted,
            duplicate=done.duplicate,
            amount=format_pico(0),
            currency=self._store.currency,
        )

    def _import_reports(self, bill: BillFile, kind: str, rows_read: RowsRead) -> ImportedFile:
        """Import usage or storage, which drives cost and is none: it goes to the meter, as if reported."""
        until_ns = after_tomorrow_ns(self._settings.clock.now_ns())
        source = STORAGE if kind == STORAGE else _SOURCE
        reports, problems = read_reports(bill, source, rows_read, until_ns)
        refuse(problems)
        late = late_reports(reports, self._settings.folder)
        received = self._settings.record_usage(reports)
        return ImportedFile(
            file=bill.name,
            kind=kind,
            received=received.received,
            accepted=received.accepted,
            duplicate=received.duplicate,
            conflict=received.conflict,
            amount=format_pico(0),
            currency=self._store.currency,
            late=tuple(late),
        )

    def _known_already(self, bill: BillFile, reason: str) -> ImportedFile | None:
        """Return the result for a file already in the books that a new file like it would be refused.

        So a monthly import of a whole folder does not fail at files that an older program imported. None
        when it is not in the books.
        """
        there = [one for one in self._store.imports() if one.file_sha256 == bill.sha256]
        if not there or any(one.state is State.VOID for one in there):
            return None
        lines = sum(one.lines for one in there)
        note = f"{bill.name} is in the books already; a new file like it would be refused: "
        return ImportedFile(
            file=bill.name,
            kind=there[0].delivery.kind,
            received=lines,
            accepted=0,
            duplicate=lines,
            amount=format_pico(0),
            currency=self._store.currency,
            notes=(note + reason.splitlines()[0],),
        )

    def post(self) -> None:
        """Post the staged files: each is imported, or refused with its questions."""
        settings = self._settings
        calendar = calendar_of(settings.folder)
        closed = closed_time(calendar)
        for outcome in self._store.land(
            self._answer, closed, current_user(), settings.clock.now_ns()
        ):
            if outcome.questions:
                self.refused += outcome.questions
                continue
            file = self._staged[outcome.place]
            changed = [one.changed for one in outcome.deliveries]
            done = ImportedFile(
                file=file.bill.name,
                kind=file.kind,
                received=file.lines,
                accepted=sum(one.added for one in changed),
                duplicate=sum(one.kept for one in changed),
                amount=format_pico(sum(one.added_pico for one in changed)),
                currency=self._store.currency,
                notes=file.notes,
                changes=tuple(
                    change_of(one)
                    for one in outcome.deliveries
                    if one.fate in CHANGING or one.changed.amended or one.remark
                ),
                late=tuple(late_texts((line for one in changed for line in one.late), calendar)),
            )
            self.imported.append(_noted(file.bill, done))
        self._staged.clear()

    def notes(self) -> Iterator[str]:
        """Yield remarks on the imported files, and on files that are no bills."""
        for file in self.imported:
            yield from (f"{file.file}: {change.text}" for change in file.changes if change.text)
        for file in self.imported:
            yield from (f"{file.file}: {text}" for text in file.late)
        if {file.kind for file in self.imported} & {PayrollReader.kind, TimesheetReader.kind}:
            charges = self._store.charges()
            yield from paid_again(charges, {file.file for file in self.imported if file.accepted})
            for person in paid_twice(charges):
                yield (
                    f"{person} is paid by a time sheet and by the payroll for the same time; "
                    "if that is the same money, one of the two is too much"
                )
        for file in self.imported:
            yield from file.notes
        yield from (f"no bill: {text}" for text in self._skipped)


def _noted(bill: BillFile, done: ImportedFile) -> ImportedFile:
    """Add the notes of its mapping to an imported bill."""
    notes = [*done.notes, *bill.remarks]
    if not done.received and not bill.left_out:
        notes.append(no_rows_text(bill.name))
    if bill.mapping is None:
        return msgspec.structs.replace(done, notes=tuple(notes))
    if bill.left_out:
        rows = "1 row was" if bill.left_out == 1 else f"{bill.left_out} rows were"
        notes.append(f"{bill.name}: {rows} left out by the mapping {bill.mapping.name}")
    if bill.mapping.note:
        notes.append(f"{bill.name}: {bill.mapping.title}: {bill.mapping.note}")
    return msgspec.structs.replace(done, mapping=bill.mapping.name, notes=tuple(notes))


def _series(source: SourceFile, bill: BillFile) -> tuple[str, str]:
    """The export that a file is a part of, by its name and where it lies, and the part's own name."""
    inside = bill.name.removeprefix(source.name).lstrip("/")
    if source.part:
        export, number = source.part.series
        return export, f"{number} {inside}".rstrip()
    name = source.name.rpartition("/")[2]
    if not inside:
        return series_of(source.folder, name)
    folder, _, inner = inside.rpartition("/")
    return series_of(f"{source.folder}/{name}/{folder}", inner)
