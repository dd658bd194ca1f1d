"""The export seam: a span's books as files that other tools can read and check.

Problem. A statement that only its own program can read proves nothing. An export that stops half way,
or differs from run to run, proves less.

Decision. An exporter is a pure function from `Books` to named files; each file is a function that writes
itself into an open sink, so that its bytes are never all in memory. `write_files` puts them on disk:
every file is written whole under another name first, and only when all of them are complete is the first
one renamed. Nothing in a file depends on the clock, the machine or the order of the input, so the same
books give the same bytes.

Rejected. Writing in place (a full disk leaves half a ledger that looks like a whole one); one exporter
that returns text (Parquet is not text, and a year of parts is not small).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import msgspec

from inferworks.books.accounting.policy import Policy
from inferworks.books.allocation.allocate import Allocated, Allocation
from inferworks.books.analysis.budget import Against
from inferworks.books.analysis.comparatives import Comparison
from inferworks.books.charge import Function
from inferworks.books.closing.prior_period import LaterCorrection
from inferworks.books.exports.journal import Journal
from inferworks.books.statement.computation import Computation
from inferworks.books.statement.statement import Statement, build_statement
from inferworks.errors import UserError

SUMS = "SHA256SUMS"
"""Beside several files lies this one, as `sha256sum --check` reads it."""


class Books(msgspec.Struct, frozen=True):
    """A span's books, ready to be written out."""

    statement: Statement
    allocated: tuple[Allocated, ...]
    """Every charge, cut to the span, and its parts; alike bill lines in bundles where they are many."""
    policy: Policy
    seller: str
    """The operator: issuer of its customers' bills."""
    later: tuple[LaterCorrection, ...] = ()
    """Corrections of this closed period that later ones post: shown beside its figures, never part of
    them."""
    singles: Iterable[Allocated] = ()
    """Lines of the bundles in `allocated`, each divided alone whenever they are iterated; else nothing."""

    @property
    def each(self) -> Iterable[Allocated]:
        """Every bill line, cut to the span, and its parts."""
        return self.singles or self.allocated

    beside: Comparison | None = None
    """Statement of another time, for readers."""
    budget: Against | None = None
    """Budget of the span, for readers."""

    def function_of(self, part: Allocation) -> Function:
        """The accounting function that the policy gives `part`."""
        return self.policy.function(part.target.use, part.natural_class, part.behaviour)


class ExportFile(NamedTuple):
    """One file of an export: its name, and a function that writes it into a sink opened for bytes."""

    name: str
    write: Callable[[BinaryIO], None]


class Exporter(Protocol):
    """Turns books into files of one format."""

    name: str
    """Name of the format on the command line."""
    about: str
    """Purpose of the format, in a few words."""

    def files(self, books: Books) -> Sequence[ExportFile]:
        """The files of the format. The same books give the same bytes."""
        ...


class JournalExporter(Protocol):
    """Turns a journal into files of one format, for a general ledger."""

    name: str
    about: str

    def files(self, journal: Journal) -> Sequence[ExportFile]:
        """The files of the format. The same journal gives the same bytes."""
        ...


def books_of(computation: Computation, seller: str, singles: Iterable[Allocated] = ()) -> Books:
    """Return the books of a validated computation; `seller` is the name we bill under."""
    allocated, policy = computation.allocated, computation.policy
    return Books(build_statement(computation), allocated, policy, seller, singles=singles)


def content(file: ExportFile) -> bytes:
    """The bytes of `file`, in memory."""
    sink = BytesIO()
    file.write(sink)
    return sink.getvalue()


def write_files(files: Sequence[ExportFile], out: Path) -> tuple[Path, ...]:
    """Write `files` and return their paths: one file to the path `out`, several into the folder `out`.

    A single file also goes into `out` when that is a folder. Each file is there whole or not at all;
    none is replaced before all are complete. UserError when something cannot be written.
    """
    try:
        if len(files) == 1 and not out.is_dir():
            return _write_all({out: files[0].write})
        is_new = not out.exists()
        out.mkdir(parents=True, exist_ok=True)
        writers = {out / file.name: file.write for file in files}
        try:
            return _write_all(writers, out / SUMS if len(files) > 1 else None)
        except BaseException:
            if is_new:
                with suppress(OSError):  # somebody else has put something into it
                    out.rmdir()
            raise
    except OSError as error:
        raise UserError(f"cannot write the export to {out}: {error.strerror or error}") from error


def _write_all(
    writers: dict[Path, Callable[[BinaryIO], None]], sums: Path | None = None
) -> tuple[Path, ...]:
    """Write every file beside its place, then move each into its place; the sums come last."""
    pending = {path: path.with_name(f".{path.name}.{os.getpid()}.part") for path in writers}
    if sums is not None:
        pending[sums] = sums.with_name(f".{sums.name}.{os.getpid()}.part")
    try:
        for path, write in writers.items():
            _write_whole(pending[path], write)
        if sums is not None:
            lines: list[bytes] = []
            for path in writers:
                with pending[path].open("rb") as file:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                lines.append(f"{sha256}  {path.name}\n".encode())
            _write_whole(pending[sums], lambda sink: sink.writelines(lines))
        for path, part in pending.items():
            part.replace(path)
    finally:
        for part in pending.values():
            part.unlink(missing_ok=True)
    return tuple(pending)


def _write_whole(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file and wait until it is on the disk."""
    with path.open("wb") as sink:
        write(sink)
        sink.flush()
        os.fsync(sink.fileno())
