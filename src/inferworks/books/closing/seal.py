"""Seals: canonical bytes, parts with their hashes, and records in a chain.

Problem. "Nothing was changed since" is worth something only if an auditor can check it, years later, on
another machine, with another version of this program.

Decision. The inputs and results of a close are divided into *parts* (the charges, the calls, the policy,
the statement, ...). A part is a list of rows, each a line of JSON; rows that have no order of their own
are sorted as bytes, so the order in which things arrived leaves no trace (theorem 13). A part is known by
the SHA-256 of its lines. The *record* of a close lists its parts with their hashes, and carries the hash
of the record before it; its own hash is the SHA-256 of its JSON. Changing any byte of any part changes
every hash from there on. One hash, written down elsewhere, therefore vouches for all the books before it.

Rejected. Hashing database files (their bytes change without a figure changing); one hash over everything
(it shows a difference but not its place); pickles (only this program could read them).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from tempfile import TemporaryFile
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar
from weakref import finalize

import msgspec

from inferworks import __version__
from inferworks.books.period import Period
from inferworks.catalog.load import ModelCatalog, StepWeights
from inferworks.errors import BooksError

T = TypeVar("T")

CHUNK_BYTES: Final = 8 * 2**20
"""The bytes that are compressed together."""

FIRST: Final = "0" * 64
"""Hash of the record before the first."""

_PAIRS: Final = "(pairs)"
"""Marks a mapping whose keys are no text, written as a list of key and value."""

_MARK: Final = _PAIRS.encode()

_CODE: Final = ("books", "accounts", "catalog", "meter")
"""The packages whose code decides the figures of a statement."""


class Part(msgspec.Struct, frozen=True):
    """Reference to a list of rows in a record: its name, their number, and their hash."""

    name: str
    rows: int
    sha256: str


class Body(NamedTuple):
    """A part with its canonical bytes: every row a line of JSON."""

    part: Part
    raw: bytes

    def rows(self, kind: type[T]) -> tuple[T, ...]:
        """The rows, read as values of `kind`."""
        return tuple(rows_of(self.raw, kind))

    def packed(self) -> Iterator[bytes]:
        """The bytes, a chunk at a time, each compressed on its own."""
        for start in range(0, max(1, len(self.raw)), CHUNK_BYTES):
            yield zlib.compress(self.raw[start : start + CHUNK_BYTES], level=1)


class Spooled:
    """A part whose rows are too many to hold: packed chunk by chunk, in a file without a name."""

    def __init__(self, name: str) -> None:
        self._name, self._file = name, TemporaryFile()  # noqa: SIM115 closed when nobody has the part
        finalize(self, self._file.close)
        self._sizes: list[int] = []
        self._digest, self._count = hashlib.sha256(), 0
        self._chunk, self._last = bytearray(), b""

    def add(self, row: bytes) -> None:
        """Append a row. BooksError when it is out of order."""
        if row < self._last:
            raise BooksError(f"{self._name}: {row[:60]!a} comes after {self._last[:60]!a}")
        self._chunk += row + b"\n"
        self._count, self._last = self._count + 1, row
        while len(self._chunk) >= CHUNK_BYTES:
            self._pack()

    @property
    def part(self) -> Part:
        """Return the reference to the written rows."""
        if self._chunk or not self._sizes:
            self._pack()
        return Part(self._name, self._count, self._digest.hexdigest())

    def packed(self) -> Iterator[bytes]:
        """The bytes, a chunk at a time, each compressed on its own."""
        self._file.seek(0)
        for size in self._sizes:
            yield self._file.read(size)

    def _pack(self) -> None:
        """Pack a chunk as `Body` would, so that two closes may share it."""
        chunk = self._chunk[:CHUNK_BYTES]
        del self._chunk[:CHUNK_BYTES]
        self._digest.update(chunk)
        packed = zlib.compress(chunk, level=1)
        self._file.write(packed)
        self._sizes.append(len(packed))


Sealable: TypeAlias = Body | Spooled
"""A part that can be sealed."""


class Close(msgspec.Struct, frozen=True, tag="close", kw_only=True):
    """Record of a close: the inputs, rules and results of a period."""

    number: int
    previous: str
    period: Period
    at_ns: int
    by: str
    currency: str
    policy: str
    code: str
    """The version of this program and the hash of the code that built the statement."""
    begin: bool = False
    """The books begin with this period, whatever was recorded for earlier ones."""
    reason: str = ""
    """Reason to close although records were in quarantine."""
    accepted: tuple[str, ...] = ()
    """Names of quarantined records that were accepted to be left out."""
    corrects: tuple[Period, ...] = ()
    """Earlier periods for which something came late; the parts hold them as restated."""
    parts: tuple[Part, ...]


class Reopening(msgspec.Struct, frozen=True, tag="reopen", kw_only=True):
    """The close numbered `supersedes` no longer counts. It stays in the chain, and verifiable."""

    number: int
    previous: str
    period: Period
    at_ns: int
    by: str
    reason: str
    supersedes: int


Record: TypeAlias = Close | Reopening


def record_bytes(record: Record) -> bytes:
    """The canonical bytes of a record: its JSON, fields in the order in which they are declared."""
    return msgspec.json.encode(record)


def read_record(raw: bytes) -> Record:
    """The record whose bytes are `raw`. BooksError when they are none."""
    try:
        return msgspec.json.decode(raw, type=Close | Reopening)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BooksError(f"is not a record of a close: {error}") from error


def sha256_of(raw: bytes) -> str:
    """The SHA-256 of `raw`, in hexadecimal."""
    return hashlib.sha256(raw).hexdigest()


def body_of_set(name: str, values: Iterable[object]) -> Body:
    """The part of `values` whose order means nothing."""
    return _body(name, sorted(map(line_of, values)))


def body_of(name: str, value: object) -> Body:
    """The part of one value; a rule, a statement."""
    return _body(name, [line_of(value)])


def line_of(value: object) -> bytes:
    """The canonical bytes of one value: its JSON, mappings in the order of their keys."""
    try:
        return msgspec.json.encode(value, order="deterministic")
    except TypeError:  # a mapping whose keys are no text, or a type of ours
        return msgspec.json.encode(plain(value))


def body_of_json(name: str, value: object) -> Body:
    """The part of one JSON value, whose own order of keys stays."""
    return _body(name, [msgspec.json.encode(value)])


def rows_of(raw: bytes, kind: type[T]) -> Iterable[T]:
    """The rows in a part's bytes, read as values of `kind`. BooksError when one cannot be."""
    try:
        for line in raw.split(b"\n")[:-1]:
            if _MARK in line:
                yield msgspec.convert(_restored(msgspec.json.decode(line)), kind, dec_hook=_foreign)
            else:
                yield msgspec.json.decode(line, type=kind, dec_hook=_foreign)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BooksError(
            f"this version of the program ({__version__}) cannot read what was sealed: {error}"
        ) from error


_PLAIN = frozenset({str, int, bool, type(None)})


def plain(value: Any) -> Any:
    """`value` as JSON can hold it, whatever it is made of; the same for equal values."""
    if type(value) in _PLAIN:  # as most are
        return value
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        tag = {config.tag_field: config.tag} if config.tag_field else {}
        fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return {**tag, **{name: plain(own) for name, own in fields if own is not msgspec.UNSET}}
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, ModelCatalog):
        return plain(value.rows)
    if isinstance(value, Mapping):
        if all(type(key) is str for key in value):
            return {key: plain(value[key]) for key in sorted(value)}
        pairs = sorted(line_of(pair) for pair in value.items())
        return {_PAIRS: [msgspec.Raw(pair) for pair in pairs]}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    return value


def difference(sealed: object, now: object, path: str = "") -> str | None:
    """The first place where two plain values differ, in words; None when they are the same."""
    if isinstance(sealed, dict) and isinstance(now, dict):
        for key in [*sealed, *(key for key in now if key not in sealed)]:
            change = difference(
                sealed.get(key), now.get(key), f"{path}.{key}" if path else str(key)
            )
            if change:
                return change
        return None
    if isinstance(sealed, list) and isinstance(now, list):
        for at, (one, other) in enumerate(zip(sealed, now, strict=False)):
            change = difference(one, other, f"{path}[{at}]")
            if change:
                return change
        if len(sealed) != len(now):
            return f"{path} has {len(now)} entries, sealed with {len(sealed)}"
        return None
    if sealed != now:
        return f"{path} is {_short(now)}, sealed as {_short(sealed)}"
    return None


@cache
def code_version() -> str:
    """The version of this program, and a hash of the code that the books rest on."""
    digest = hashlib.sha256()
    root = resources.files("inferworks")
    files = [root / "money.py", *(path for room in _CODE for path in _sources(root / room))]
    for file in files:
        digest.update(file.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:16]}"


def _body(name: str, lines: Sequence[bytes]) -> Body:
    raw = b"".join(line + b"\n" for line in lines)
    return Body(Part(name, len(lines), sha256_of(raw)), raw)


def _restored(value: Any) -> Any:
    """Undoes what `plain` does to mappings."""
    if isinstance(value, list):
        return [_restored(item) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {_PAIRS}:
        return {_key(key): _restored(item) for key, item in value[_PAIRS]}
    return {key: _restored(item) for key, item in value.items()}


def _key(value: Any) -> Any:
    return tuple(map(_key, value)) if isinstance(value, list) else value


def _foreign(kind: type, value: Any) -> Any:
    """Reads a type of ours that is no struct."""
    if kind is ModelCatalog:
        return ModelCatalog(msgspec.convert(value, list[StepWeights]))
    raise NotImplementedError(kind)


def _sources(folder: Traversable) -> list[Traversable]:
    """The Python files under `folder`, in a fixed order."""
    files: list[Traversable] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            files += _sources(entry)
        elif entry.name.endswith(".py"):
            files.append(entry)
    return files


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}..."
