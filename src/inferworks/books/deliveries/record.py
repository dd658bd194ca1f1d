"""Records of imports: their state, the changes they made, and open questions."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from inferworks.books.deliveries.arriving import Totals
from inferworks.books.deliveries.canonical import Delivery
from inferworks.books.deliveries.decide import Fate
from inferworks.books.deliveries.landing import Changed


class State(StrEnum):
    """State of an import."""

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
    """Totals of its lines, by the currency of the bill."""
    start_ns: int
    end_ns: int
    at_ns: int
    by: str
    reason: str


class QuarantineQuestion(NamedTuple):
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


class DeliveryOutcome(NamedTuple):
    """Outcome of one delivery in one file."""

    delivery: Delivery
    fate: Fate
    revision: int
    changed: Changed
    before: Totals
    """Totals of the delivery before, in the currency of the bill."""
    after: Totals
    remark: str = ""
    """Remark on the lines that went and those that stay, unless it is all or nothing."""


class Outcome(NamedTuple):
    """Outcome of a file: what was done with each delivery in it, or the reason why it was not imported."""

    place: int
    """Number of the file among those put aside, from 0."""
    deliveries: tuple[DeliveryOutcome, ...] = ()
    questions: tuple[str, ...] = ()
