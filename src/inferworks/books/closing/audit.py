"""The audit of closed periods: nothing was changed, and recomputing gives the same figures.

Three questions, each answered on its own, so that a finding says where to look:

1. *The chain.* Does every record match its hash, and does each follow the one before?
2. *Kept parts.* Does every part match its hash, and every segment of the lake that one names, and do the
   kept inputs under the kept rules give the kept statement, to the last byte?
3. *Records.* Does everything that was sealed still stand in the books and in the journal, unchanged?
   (A record that is there and was not sealed is late; the open period corrects it.)

A person who can rewrite the ledger from some record on can rewrite every hash from there on. Only a hash
that was written down elsewhere when the period was closed reveals that (`contains`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest

import msgspec

from inferworks.books.accruals.expected_bills import true_ups
from inferworks.books.closing.close import with_corrections
from inferworks.books.closing.inputs import (
    INPUTS,
    OWN,
    PAPER,
    STATEMENT,
    Source,
    all_facts,
    inputs_of,
    prefix_of,
    sealed_inputs_of,
)
from inferworks.books.closing.ledger import Ledger, standing
from inferworks.books.closing.prior_period import posted_period, with_late
from inferworks.books.closing.seal import (
    FIRST,
    Close,
    Record,
    code_version,
    difference,
    line_of,
    read_record,
    sha256_of,
)
from inferworks.books.lines import NAMES, beside, name_of
from inferworks.books.period import Period
from inferworks.books.statement.corrections import corrected
from inferworks.books.statement.statement import Statement
from inferworks.errors import BooksError, LakeError, MoneyError


class Finding(msgspec.Struct, frozen=True):
    """A difference from the sealed state."""

    period: str
    """The period concerned; empty where it is the chain."""
    text: str
    """Difference that was found."""

    def __str__(self) -> str:
        return f"{self.period}: {self.text}" if self.period else self.text


def audit(ledger: Ledger, source: Source, period: Period | None = None) -> tuple[Finding, ...]:
    """Everything that is not as it was sealed; of one `period`, or of all. The chain is always checked.

    Empty when all is well. Superseded closes are checked like the others, but not against what is
    recorded now: they were reopened because that was to change.
    """
    findings = list(audit_chain(ledger))
    if findings:
        return tuple(findings)  # what a broken chain lists cannot be relied on
    records = ledger.records()
    counted = standing(records)
    for close in closes_of(records, period):
        before = len(findings)
        findings += _parts(ledger, close)
        if len(findings) == before:
            findings += _outputs(ledger, source, records, close)
    if not findings:
        for close in counted:
            if period in (None, close.period):
                findings += _recorded(ledger, source, counted, close.period)
    return tuple(findings)


def audit_chain(ledger: Ledger) -> Iterator[Finding]:
    """Yield the faults of the chain of records itself."""
    previous = FIRST
    for number, (sha256, raw) in enumerate(ledger.chain()):
        if sha256_of(raw) != sha256:
            yield Finding("", f"record {number}: its hash and its content do not belong together")
        try:
            record = read_record(raw)
        except BooksError as error:
            yield Finding("", f"record {number} {error}")
            return
        if record.number != number:
            yield Finding("", f"record {number} is missing from the chain")
            return
        if record.previous != previous:
            yield Finding(
                "", f"record {number} ({record.period.name}) does not follow record {number - 1}"
            )
        previous = sha256_of(raw)


def audit_kept(ledger: Ledger) -> Iterator[Finding]:
    """Yield the faults of the ledger itself: of the chain, and of every part of every close."""
    broken = list(audit_chain(ledger))
    yield from broken
    if not broken:
        for close in closes_of(ledger.records(), None):
            yield from _parts(ledger, close)


def contains(ledger: Ledger, sha256: str) -> bool:
    """Return True if the chain has a record whose hash is `sha256`, or begins so."""
    return any(sha256_of(raw).startswith(sha256) for _, raw in ledger.chain())


def closes_of(records: Iterable[Record], period: Period | None) -> list[Close]:
    """The closes among `records`, superseded ones too; of one period, or of all."""
    closes = (record for record in records if isinstance(record, Close))
    return [close for close in closes if period in (None, close.period)]


def _parts(ledger: Ledger, close: Close) -> Iterator[Finding]:
    """Parts that are not what their hash says."""
    parts = {part.name: part for part in close.parts}
    for part in close.parts:
        rows, names = 0, parts.get(part.name + NAMES)
        try:
            if names is None:
                rows = sum(1 for _ in ledger.rows(part))
            else:
                for row, name in zip_longest(ledger.rows(part), ledger.rows(names)):
                    if row is None or name is None or name_of(row) != name:
                        raise BooksError("its rows do not match the names stored beside them")
                    rows += 1
        except BooksError as error:
            yield Finding(close.period.name, f"{_named(part.name)}: {error}")
        else:
            if rows != part.rows:
                yield Finding(
                    close.period.name, f"{_named(part.name)}: {rows} rows, not {part.rows}"
                )


def _outputs(
    ledger: Ledger, source: Source, records: list[Record], close: Close
) -> Iterator[Finding]:
    """Figures that do not come out again from what was kept; segments that cannot be read again."""
    name = close.period.name
    try:
        own = source.statement_of(sealed_inputs_of(ledger, close))
        yield from _compared(ledger, close, OWN, own)
        earlier = standing(records[: close.number])
        corrections = []
        for original in close.corrects:
            restated = sealed_inputs_of(ledger, close, prefix_of(original))
            now = source.statement_of(restated)
            yield from _compared(ledger, close, prefix_of(original) + OWN, now)
            before = posted_period(ledger, earlier, original)
            _, causes = with_late(before.inputs, restated, restated.prepaid)
            differences = true_ups(before.inputs.charges, restated.charges, original.span)
            corrections.append(
                corrected(original, before.statement, now, causes, close.period.end_ns, differences)
            )
        statement = with_corrections(own, corrections)
    except (BooksError, LakeError, MoneyError) as error:
        yield Finding(name, f"cannot be recomputed: {error}")
        return
    yield from _compared(ledger, close, STATEMENT, statement)
    if msgspec.json.encode(statement.to_json()) + b"\n" != ledger.body(close, PAPER).raw:
        yield Finding(name, f"{_named(PAPER)} reads otherwise now{_code(close)}")


def _compared(ledger: Ledger, close: Close, part: str, now: Statement) -> Iterator[Finding]:
    """Return the first difference between a sealed statement and the same computed now.

    Fields that statements did not have yet when it was sealed are empty in it.
    """
    body, again = ledger.body(close, part), line_of(now)
    if body.raw == again + b"\n":
        return
    [sealed] = body.rows(Statement)
    change = difference(msgspec.json.decode(line_of(sealed)), msgspec.json.decode(again))
    if change:
        yield Finding(close.period.name, f"{_named(part)}: {change}{_code(close)}")


def _recorded(
    ledger: Ledger, source: Source, closes: list[Close], period: Period
) -> Iterator[Finding]:
    """Sealed inputs that do not stand in the books, or not as they were.

    Those in segments have been compared already, when the figures were computed from them.
    """
    sealed, recorded = posted_period(ledger, closes, period).inputs, source.inputs(period.span)
    known = {segment.name for segment in sealed.segments}
    new = tuple(segment for segment in recorded.segments if segment.name not in known)
    facts = all_facts(msgspec.structs.replace(recorded, segments=new), source.sealed_facts)
    recorded = msgspec.structs.replace(recorded, facts=facts)
    withdrawn = source.withdrawn_plans()
    for charge, now in beside(sealed.charges, recorded.charges):
        yield _changed(period, f"charge {charge.id}", charge, now)
    for kind in INPUTS[1:]:
        recorded_now = {kind.key(item): item for item in inputs_of(recorded, kind.part)}
        for item in inputs_of(sealed, kind.part):
            key = kind.key(item)
            if item not in withdrawn and recorded_now.get(key) != item:
                name = f"{kind.word} {'/'.join(map(str, key))}"
                yield _changed(period, name, item, recorded_now.get(key))


def _changed(period: Period, name: str, sealed: object, now: object | None) -> Finding:
    """Return the finding about a sealed input that is recorded otherwise `now`, or not at all."""
    if now is None:
        return Finding(period.name, f"{name} was sealed and is not recorded any more")
    return Finding(period.name, f"{name} was changed: {difference(_tree(sealed), _tree(now))}")


def _tree(value: object) -> object:
    return msgspec.json.decode(line_of(value))


def _named(part: str) -> str:
    """A part in words: `inputs/charges` is "input charges"."""
    kind, _, name = part.rpartition("/")
    return f"{kind.replace('inputs', 'input').replace('outputs', 'output').replace('rules', 'rule')} {name}"


def _code(close: Close) -> str:
    """Return a remark where another version of the program built the statement."""
    now = code_version()
    return "" if close.code == now else f" (sealed by version {close.code}, this is {now})"
