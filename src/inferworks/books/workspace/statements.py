"""Statements of a data folder: as they were sealed, or of all that is recorded now."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import msgspec

from inferworks.books.accounting.policy import Policy
from inferworks.books.allocation.pools import DriverKind
from inferworks.books.closing.close import (
    sealed_inputs,
    sealed_paper,
    statement_of,
)
from inferworks.books.closing.inputs import seen_by
from inferworks.books.closing.ledger import Ledger, standing
from inferworks.books.closing.prior_period import (
    Adjustment,
    LaterCorrection,
    adjustments,
    corrected_later,
    open_inputs,
)
from inferworks.books.closing.seal import Close, sha256_of
from inferworks.books.statement.computation import Computation, Inputs
from inferworks.books.statement.statement import Dimension, Statement, build_statement
from inferworks.books.workspace.engine_choice import (
    WHY_NOT_SEALED,
    chosen,
    facts_recorded,
    open_span,
    why_unable,
)
from inferworks.books.workspace.gathering import (
    computation_of,
    inputs_between,
    policy_of,
    rules_of,
    wanted_span,
)
from inferworks.books.workspace.ledgers import open_ledger
from inferworks.books.workspace.query import Query
from inferworks.books.workspace.recorded import RecordedSource
from inferworks.books.workspace.settings import EngineName, Settings
from inferworks.choices import one_of

if TYPE_CHECKING:  # Ibis takes its time to load
    from inferworks.books.engines.customer_statement import CustomerStatement

NOW = Query()
"""Query for all that is recorded, under the policy of the settings."""
AnyStatement = TypeVar("AnyStatement", Statement, "CustomerStatement")


class Statements:
    """The statements of one data folder, and their inputs."""

    def __init__(self, settings: Settings, note: Callable[[str], object] = lambda _: None) -> None:
        """Open nothing yet; `note` is called with sentences that qualify a result."""
        self.settings = settings
        self._note = note

    def statement(
        self, query: Query = NOW, engine: str | None = None, by: Dimension | str | None = None
    ) -> Statement:
        """Return the statement: of a closed period as it was sealed, else of all that is recorded now.

        It is computed by `engine`, or by the configured one; where that cannot, or cannot cut the statement
        `by` a dimension, the reference in Python computes it, and a note says why. UserError for an engine
        or a dimension that there is not, BooksError when an invariant does not hold.
        """
        ends = self._open_ends(query)
        name = self._engine(query, engine, by, ends)
        if name is EngineName.REFERENCE or ends is None:
            return with_provisional_note(self._defined(query, ends), query)
        from inferworks.books.workspace.on_engine import statement_on

        found = statement_on(name, self.settings, query.between(*ends))
        return with_provisional_note(found, query)

    def by_customer(
        self, query: Query = NOW, engine: str | None = None
    ) -> Statement | CustomerStatement:
        """Return the statement by customer, of which an engine computes no finer line.

        Where the rules have support pools, whose step-down needs every target, it computes the whole.
        """
        ends = self._open_ends(query)
        pools = rules_of(self.settings, query.pools_path).pools
        stepped = any(pool.driver is DriverKind.POOLS for pool in pools)
        if ends is None or stepped:
            return self.statement(query, engine, Dimension.CUSTOMER)
        name = self._engine(query, engine, Dimension.CUSTOMER, ends)
        if name is EngineName.REFERENCE:
            return with_provisional_note(self._defined(query, ends), query)
        from inferworks.books.workspace.on_engine import customer_statement_on

        found = customer_statement_on(name, self.settings, query.between(*ends))
        return with_provisional_note(found, query)

    def sealed_json(self, query: Query) -> bytes | None:
        """Return the statement of a closed period as JSON, byte for byte as it was sealed.

        None while it is open, for dates, and under another policy than it was closed under.
        """
        if query.period is None:
            return None
        with self._ledger() as ledger:
            period = ledger.periods().named(query.period)
            for close in standing(ledger.records()):
                if close.period == period and query.policy in (None, close.policy):
                    return sealed_paper(ledger, period)
        return None

    def inputs(self, query: Query = NOW) -> Inputs:
        """Return the inputs of the statement with all facts in memory: as sealed, or as recorded now."""
        settings, policy = self.settings, query.policy
        if query.period is None:
            return inputs_between(settings, query)
        source = RecordedSource(settings, policy, query.pools_path)
        with self._ledger() as ledger:
            period = ledger.periods().named(query.period)
            inputs = sealed_inputs(ledger, period)
            if inputs is not None and policy is not None:
                inputs = seen_by(inputs, policy_of(settings, policy))
            inputs = inputs or open_inputs(ledger, source, period)
        return source.whole(inputs)

    def computation(self, query: Query = NOW) -> Computation:
        """Return every stage from the inputs to the entries, validated, without corrections."""
        return computation_of(self.inputs(query))

    def later(self, query: Query) -> tuple[LaterCorrection, ...]:
        """Return the corrections that later periods post for the queried one; none unless it is closed."""
        if query.period is None:
            return ()
        with self._ledger() as ledger:
            period = ledger.periods().named(query.period)
            return corrected_later(ledger, RecordedSource(self.settings), period)

    def close_of(self, query: Query) -> tuple[Close, str] | None:
        """Return the close of the queried period, and its SHA-256; None while open, and for dates."""
        if query.period is None:
            return None
        with self._ledger() as ledger:
            period = ledger.periods().named(query.period)
            hashes = [sha256_of(raw) for _, raw in ledger.chain()]
            closes = [close for close in standing(ledger.records()) if close.period == period]
        return next(((close, hashes[close.number]) for close in closes), None)

    def _ledger(self, *, read_only: bool = True) -> Ledger:
        return open_ledger(self.settings, read_only=read_only)

    def _open_ends(self, query: Query) -> tuple[int | None, int | None] | None:
        """Return both ends of the queried time; None where it may be sealed or need corrections."""
        if query.period is not None:
            return open_span(self.settings, query.period)
        return query.start_ns, query.end_ns

    def _defined(self, query: Query, ends: tuple[int | None, int | None] | None) -> Statement:
        """Return the statement by the reference in Python, or from the seal of a closed period."""
        if query.period is not None and ends is None:
            source = RecordedSource(self.settings, query.policy, query.pools_path)
            view = None if query.policy is None else policy_of(self.settings, query.policy)
            with self._ledger() as ledger:
                return statement_of(ledger, source, ledger.periods().named(query.period), view)
        start_ns, end_ns = ends or (query.start_ns, query.end_ns)
        return build_statement(self.computation(query.between(start_ns, end_ns)))

    def _engine(
        self,
        query: Query,
        name: str | None,
        by: Dimension | str | None,
        ends: tuple[int | None, int | None] | None,
    ) -> EngineName:
        """Return the engine that computes the statement; note the reason where it is another one."""
        wanted = one_of("engine", name or self.settings.engine, EngineName)
        dimension = None if by is None else one_of("by", by, Dimension)
        rules = rules_of(self.settings, query.pools_path)
        unable = why_unable(rules, dimension) if ends else WHY_NOT_SEALED
        span = wanted_span(*(ends or (None, None)))
        choice = chosen(wanted, lambda: facts_recorded(self.settings, span) if ends else 0, unable)
        if choice.note:
            self._note(choice.note)
        return choice.engine

    def _adjustments(self, query: Query, policy: Policy) -> tuple[Adjustment, ...]:
        """Return the corrections beside a period: its own for earlier ones, later ones for it."""
        if query.period is None:
            return ()
        with self._ledger() as ledger:
            period = ledger.periods().named(query.period)
            return adjustments(ledger, RecordedSource(self.settings), period, policy)


def with_provisional_note(statement: AnyStatement, query: Query) -> AnyStatement:
    """Return `statement` with the note of a provisional query first."""
    if not query.provisional:
        return statement
    return msgspec.structs.replace(statement, notes=(query.provisional, *statement.notes))
