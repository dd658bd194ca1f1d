"""Bill lines, too many to hold in memory: read one at a time from their place, on each iteration.

Problem. A month of a large cloud is a million lines. Each as a value takes five kilobytes; each task (a
statement, a close, the search for late lines) needs all of them, most need them once, and none needs two
at the same time.

Decision. `Lines` are charges in the order of their ids, each as its JSON, read anew from where they are
kept: the books, or the seal of a closed period. Figures are computed from them in bundles (`bundles.py`),
seals are made of their bytes, and single lines are decoded one by one. Few lines are a plain tuple, from
which figures are computed line by line.

Lines that are read twice must be the same twice: the books compare the sums of their checksums, and
refuse if something was imported in between (`stored_lines.py`); sealed lines never change.

Rejected. Lines kept in memory, compressed (a third of a gigabyte, and slower than the disk's cache); a
transaction held open from the first reading to the last (somebody must close it, whatever happens).
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from operator import attrgetter, itemgetter
from typing import Final, NamedTuple, TypeAlias

import msgspec

from inferworks.books.charge import NO_BILLS, Charge, Foreign

MANY_LINES: Final = 20_000
"""Number of lines from which they are not held in memory (docs/books.md)."""

NAMES: Final = "/names"
"""Suffix of the name of a part of a close that holds the ids of the lines of another."""


class Glance(msgspec.Struct, gc=False):
    """Fields of a line that are read before it is known whether another one is like it."""

    id: str
    issuer: str
    file: str
    provider: str
    service_category: str
    service_name: str
    resource_id: str | None
    resource_type: str | None
    description: str
    natural_class: str
    charge_category: str
    charge_class: str | None
    period_start_ns: int
    period_end_ns: int
    amount_pico: int
    effective_pico: int | None
    currency: str
    unit: str | None
    department: str | None = None
    other: msgspec.Raw = msgspec.Raw(b"[]")
    foreign: Foreign | None = None
    exact: str | None = None


glance: Final = msgspec.json.Decoder(Glance).decode
_charge: Final = msgspec.json.Decoder(Charge).decode
_encode: Final = msgspec.json.Encoder().encode

Bundling: TypeAlias = Callable[[Iterable[tuple[bytes, Glance]]], Sequence[Charge]]
"""Puts lines, as JSON and at a glance, into bundles."""


class _Kept(NamedTuple):
    """Bundles, and what they were made by."""

    how: object
    charges: Sequence[Charge]


class Lines(ABC):
    """Charges in the order of their ids, read anew whenever they are asked for."""

    def __init__(self) -> None:
        self._kept: _Kept | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def bodies(self) -> Iterator[bytes]:
        """Yield each line as its JSON."""
        ...

    def glances(self) -> Iterator[tuple[bytes, Glance]]:
        """Yield each line as JSON with its `Glance`; verified on the way."""
        return ((body, glance(body)) for body in self.bodies())

    def __iter__(self) -> Iterator[Charge]:
        return map(_charge, self.bodies())

    def names(self) -> Iterator[bytes]:
        """The id of each, as JSON."""
        return map(name_of, self.bodies())

    def called(self, names: Collection[bytes]) -> Iterator[Charge]:
        """Yield the lines of the given names."""
        return map(_charge, (body for body in self.bodies() if name_of(body) in names))

    def with_any_of(self, texts: Iterable[str]) -> Iterator[Charge]:
        """Yield the lines whose JSON contains one of `texts`; the others are not decoded."""
        marks = [text.encode() for text in texts]
        return map(_charge, (b for b in self.bodies() if any(mark in b for mark in marks)))

    def bundled(self, how: object, bundling: Bundling) -> Sequence[Charge]:
        """All of them as `bundling` puts them into bundles; once for each `how` that it goes by."""
        if self._kept is None or self._kept.how != how:
            self._kept = _Kept(how, bundling(self.glances()))
        return self._kept.charges

    def among(self, charges: Iterable[Charge]) -> Lines:
        """These and `charges`."""
        more = tuple(sorted(charges, key=lambda charge: charge.id))
        return _Merged(self, more) if more else self


Charges: TypeAlias = tuple[Charge, ...] | Lines
"""Charges: held where they are few, else to be read."""


class _Merged(Lines):
    """Lines, and a few charges among them that are held."""

    def __init__(self, lines: Lines, held: Sequence[Charge]) -> None:
        super().__init__()
        self._lines, self._held = lines, held

    def __len__(self) -> int:
        return len(self._lines) + len(self._held)

    def bundled(self, how: object, bundling: Bundling) -> Sequence[Charge]:
        """All of them in bundles; what is no line of a bill is never in one."""
        if all(charge.file in NO_BILLS for charge in self._held):
            return [*self._lines.bundled(how, bundling), *self._held]
        return super().bundled(how, bundling)

    def bodies(self) -> Iterator[bytes]:
        """Yield each line as its JSON."""
        return heapq.merge(self._lines.bodies(), map(_encode, self._held))

    def names(self) -> Iterator[bytes]:
        """The id of each, as JSON."""
        held = (_encode(charge.id) for charge in self._held)
        return heapq.merge(self._lines.names(), held)

    def called(self, names: Collection[bytes]) -> Iterator[Charge]:
        """Yield the lines of the given names."""
        held = (charge for charge in self._held if _encode(charge.id) in names)
        return heapq.merge(self._lines.called(names), held, key=attrgetter("id"))

    def glances(self) -> Iterator[tuple[bytes, Glance]]:
        """Yield each line as its JSON with its `Glance`."""
        held = ((body, glance(body)) for body in map(_encode, self._held))
        return heapq.merge(self._lines.glances(), held, key=itemgetter(0))


def with_more(charges: Charges, more: Iterable[Charge]) -> Charges:
    """`charges` and `more`."""
    return charges.among(more) if isinstance(charges, Lines) else (*charges, *more)


def unknown(recorded: Iterable[Charge], known: Iterable[Charge]) -> tuple[Charge, ...]:
    """Return the `recorded` charges whose id is not among `known`, in their order."""
    if not isinstance(recorded, Lines) and not isinstance(known, Lines):
        ids = {charge.id for charge in known}
        return tuple(charge for charge in recorded if charge.id not in ids)
    others = _names(known)
    other, found = next(others, None), set()
    for name in _names(recorded):
        while other is not None and other < name:
            other = next(others, None)
        if other != name:
            found.add(name)
    return tuple(called(recorded, found)) if found else ()


def called(charges: Iterable[Charge], names: Collection[bytes]) -> Iterator[Charge]:
    """Yield the `charges` of the given names, which are ids as JSON."""
    if isinstance(charges, Lines):
        return charges.called(names)
    return (charge for charge in charges if _encode(charge.id) in names)


def beside(
    known: Iterable[Charge], recorded: Iterable[Charge]
) -> Iterator[tuple[Charge, Charge | None]]:
    """Yield each of `known` that `recorded` lacks or has otherwise, with the recorded one or None."""
    others = _bodies(recorded)
    other = next(others, None)
    for body in _bodies(known):
        name = name_of(body)
        while other is not None and name_of(other) < name:
            other = next(others, None)
        if other is None or name_of(other) != name:
            yield _charge(body), None
        elif other != body and _charge(other) != _charge(body):
            yield _charge(body), _charge(other)


def canonical(body: bytes) -> bytes:
    """A line as this program writes it, whichever program wrote it."""
    return _encode(_charge(body))


def _bodies(charges: Iterable[Charge]) -> Iterator[bytes]:
    if isinstance(charges, Lines):
        return charges.bodies()
    return map(_encode, sorted(charges, key=lambda charge: charge.id))


def _names(charges: Iterable[Charge]) -> Iterator[bytes]:
    if isinstance(charges, Lines):
        return charges.names()
    return iter(sorted(_encode(charge.id) for charge in charges))


def name_of(body: bytes) -> bytes:
    """The id of a line as JSON; it stands first in that of the line."""
    return body[6 : body.index(b'",', 7) + 1]
