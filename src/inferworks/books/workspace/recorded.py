"""Records of the data folder that closing reads."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing, suppress
from functools import cached_property, partial
from pathlib import Path

import msgspec

from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.basis import Basis
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge
from inferworks.books.closing.inputs import Arrived, all_facts, reference_statement
from inferworks.books.lines import Charges, with_more
from inferworks.books.repository.store import BookStore
from inferworks.books.statement.computation import Inputs, Rules
from inferworks.books.statement.statement import Statement, as_divided, whole_span
from inferworks.books.workspace.accruing import accrued, not_billed
from inferworks.books.workspace.bill_lines import BillLines
from inferworks.books.workspace.estimating import estimated
from inferworks.books.workspace.gathering import (
    Recorded,
    around,
    charges_of,
    gather,
    lake_reader,
    policy_of,
    rules_of,
)
from inferworks.books.workspace.large import is_large, large_api_usage, large_statement, many
from inferworks.books.workspace.query import Query
from inferworks.books.workspace.settings import Settings
from inferworks.errors import BooksError
from inferworks.meter.archive.journals import JournalsReader
from inferworks.meter.archive.manifest import Segment
from inferworks.meter.archive.reader import LakeReader, segments_of
from inferworks.meter.facts import Facts, in_force, joined
from inferworks.meter.usage import Usage


class RecordedSource:
    """Records in the data folder of `settings`; the `Source` of the workspace."""

    def __init__(
        self,
        settings: Settings,
        policy: str | None = None,
        pools_path: Path | None = None,
        *,
        validated: bool = True,
    ) -> None:
        """Refuse bill lines that are not what was imported, where they are `validated`."""
        self._validated = validated
        self._settings = settings
        self._policy = policy or settings.policy
        self._pools_path = pools_path
        self._folder = settings.folder
        self._read: tuple[tuple[tuple[str, ...], Span], Facts] | None = None

    def inputs(self, span: Span) -> Inputs:
        """Everything recorded for `span`, and the rules in force."""
        lines = BillLines(self._folder, span, self._settings.currency)
        moment = self._lake.moment(*around(span))
        segments = tuple(sorted(segments_of(moment), key=lambda segment: segment.name))
        found = self._bought(segments, moment.unsealed, span)

        def divided(charges: Charges, rules: Rules, span: Span) -> Sequence[Charge]:
            return as_divided(charges, found, rules, span)

        recorded = Recorded(moment.unsealed, found.usages, divided, segments)
        query = Query(policy=self._policy, pools_path=self._pools_path)
        return gather(self._settings, query, lines, span, recorded, validated=self._validated)

    def arrived(self, span: Span, known: Collection[str]) -> Arrived:
        """Return the records of `span`, without the facts in the segments named in `known`."""
        charges, currency = self._charges(span)
        charges = with_more(charges, accrued(self._settings, (), self._rules, span, currency))
        moment = self._lake.moment(*around(span))
        new = [segment for segment in segments_of(moment) if segment.name not in known]
        sealed = self._lake.sealed(new, *around(span))
        return Arrived(charges, joined(moment.unsealed, sealed))

    def sealed_facts(self, segments: Sequence[Segment], span: Span) -> Facts:
        """The facts of `span` in `segments`; LakeError when one is missing or was altered.

        Keeps what it read last: the estimates and the statement of a period read the same.
        """
        key = (tuple(segment.name for segment in segments), span)
        if self._read is None or self._read[0] != key:
            self._read = None  # frees the facts read last before others are read
            self._read = key, self._lake.sealed(segments, *around(span))
        return self._read[1]

    def statement_of(self, inputs: Inputs) -> Statement:
        """The statement of `inputs`: by the definition, or by DuckDB where they are large."""
        if is_large(inputs):
            return large_statement(inputs, self._lake, self._settings)
        return reference_statement(inputs, self.sealed_facts)

    def bought(self, span: Span) -> Iterable[Usage]:
        """The calls around `span` whose cost may be estimated; the others may be among them."""
        moment = self._lake.moment(*around(span))
        return self._bought(list(segments_of(moment)), moment.unsealed, span).usages

    def _bought(self, segments: Sequence[Segment], unsealed: Facts, span: Span) -> Facts:
        """The calls whose cost may be estimated; other facts may be among them."""
        if many(segments, unsealed):
            calls = large_api_usage(segments, unsealed, span, self._lake, self._settings)
            return Facts(calls, (), (), ())
        return in_force(joined(unsealed, self.sealed_facts(segments, span)))

    def conflicts(self, span: Span) -> dict[str, str]:
        """Bill lines and facts in quarantine that may belong to `span`."""
        found: dict[str, str] = {}
        if self._folder.books.exists():
            with BookStore(self._folder.books, read_only=True) as store:
                for kept, refused in store.quarantined():
                    periods = [(c.period_start_ns, c.period_end_ns) for c in (kept, refused)]
                    if any(span.meet(*period).length_ns for period in periods):
                        name = f"charge {refused.id} in {refused.file_sha256[:12]}"
                        found[name] = (
                            f"{refused.file}, line {refused.row} says otherwise than {kept.file}"
                        )
                for one in store.questions():
                    if span.meet(one.start_ns, one.end_ns).length_ns:
                        settle = f"inferworks books quarantine settle {one.number}"
                        name = f"file {one.file_sha256[:12]} of {one.delivery}"
                        found[name] = f"{one.text}; or: {settle}"
        accrues = policy_of(self._settings, self._policy).basis is Basis.ACCRUAL
        booked = partial(self._estimated, span)
        for supplier, month in not_billed(
            self._settings, span, self._rules, booked, accrues=accrues
        ):
            found[f"bill of {supplier} for {month}"] = _NOT_BILLED
        with JournalsReader(self._folder.written_journals()) as reader:
            for fact in reader.quarantined():
                said = None  # one that tells no time may belong to any period
                with suppress(msgspec.DecodeError, UnicodeEncodeError):
                    said = msgspec.json.decode(fact.body.encode(), type=_Timed)
                if (
                    said is None
                    or span.meet(said.start_ns, max(said.end_ns, said.start_ns + 1)).length_ns
                ):
                    found[f"{fact.source} {fact.key}"] = fact.reason
        return found

    def withdrawn_plans(self) -> list[PricePlan]:
        """The price plans that were mistakes; what was sealed may rest on them."""
        if not self._settings.has_accounts:
            return []
        with self._settings.accounts() as accounts:
            return [one.plan for one in accounts.withdrawn_plans()]

    def earliest_ns(self, before_ns: int) -> int | None:
        """The first moment before `before_ns` for which anything is recorded."""
        lines = BillLines(self._folder, Span(0, before_ns), self._settings.currency)
        moment = self._lake.moment(0, before_ns)
        span = whole_span((), moment.unsealed)
        starts = [segment.start_ns for segment in segments_of(moment)]
        starts += [one.period_start_ns for one in lines.times]
        starts += [span.start_ns] if span.length_ns else []
        return min(starts, default=None)

    def misread(self) -> list[str]:
        """Return the violations of theorems 16 and 17 by the bills, in words."""
        if not self._folder.books.exists():
            return []
        try:
            with (
                BookStore(self._folder.books, read_only=True) as store,
                closing(store.lines(-(2**63), 2**63 - 1)) as lines,
            ):
                deque(lines, maxlen=0)
        except BooksError as error:
            return [str(error)]
        return []

    def whole(self, inputs: Inputs) -> Inputs:
        """`inputs` with the facts of their segments among the others."""
        facts = all_facts(inputs, self.sealed_facts)
        return msgspec.structs.replace(inputs, facts=facts, segments=())

    def _estimated(self, span: Span) -> Sequence[Charge]:
        """Return the estimated cost of calls of `span`, as far as no bill has come."""
        charges, currency = self._charges(span)
        moment, rules = self._lake.moment(*around(span)), self._rules
        found = self._bought(list(segments_of(moment)), moment.unsealed, span)
        bills = as_divided(charges, found, rules, span)
        return estimated(self._folder, bills, found.usages, rules, span, currency).booked

    def _charges(self, span: Span) -> tuple[Charges, str]:
        return charges_of(self._settings, span, validated=self._validated)

    @cached_property
    def _rules(self) -> Rules:
        return rules_of(self._settings, self._pools_path)

    @property
    def _lake(self) -> LakeReader:
        return lake_reader(self._settings)


_NOT_BILLED = (
    "expected (books.suppliers), and nothing is known to accrue it from; import it, or say in "
    "books.suppliers what it comes to or, with until, that no more will come"
)


class _Timed(msgspec.Struct):
    start_ns: int
    end_ns: int
