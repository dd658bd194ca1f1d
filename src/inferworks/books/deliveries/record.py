"""What is on record of imports: how each stands, what it changed, and what is asked."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from inferworks.books.deliveries.arriving import Totals
from inferworks.books.deliveries.canonical import Delivery
from inferworks.books.deliveries.decide import Fate
from inferworks.books.deliveries.landing import Changed


class State(StrEnum):
    """How an import stands."""

    IN_FORCE = "in force"
    SUPERSEDED = "superseded"
    DUPLICATE = "duplicate"
    OLDER = "older"
    VOID = "void"


class Import(NamedTuple):
    """An import on record: the lines of one delivery in one file."""

    number: int
    delivery: Delivery
    file: str
    file_sha256: str
    revision: int
    state: State
    lines: int
    totals: Totals
    """What its lines come to, by the currency of the bill."""
    start_ns: int
    end_ns: int
    at_ns: int
    by: str
    reason: str


class Asked(NamedTuple):
    """A question on record: a file that was not imported."""

    number: int
    file: str
    file_sha256: str
    delivery: Delivery
    start_ns: int
    end_ns: int
    text: str
    at_ns: int
    settled_ns: int | None
    by: str
    reason: str


class Told(NamedTuple):
    """What became of one delivery in one file."""

    delivery: Delivery
    fate: Fate
    revision: int
    changed: Changed
    before: Totals
    """What the delivery came to before, in the currency of the bill."""
    after: Totals
    remark: str = ""
    """What of before went and what stays, where that is not all or nothing."""


class Outcome(NamedTuple):
    """What became of a file: what was done with each delivery in it, or why it was not imported."""

    place: int
    """Which of the files put aside it is, counting from 0."""
    told: tuple[Told, ...] = ()
    questions: tuple[str, ...] = ()
