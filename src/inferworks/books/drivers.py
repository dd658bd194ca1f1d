"""Drivers: who used what, how much, in a span. Quantities only; no money.

Problem. One GPU answers many calls at once. Adding up the time each call was open counts the same second
once per call in the batch, and calls decoding cheaply in a crowd look dearest of all.

Decision. Time first, money last. A replica's time is cut by state; its active time is the sum of its
engine's steps; each step's duration is divided *once* among the calls in it (theorem 6). Every share is
a whole number of nanoseconds and the shares of a replica sum to its active time, so one division of
money by them, at the very end, is exact and cheap.

Rejected. Dividing money step by step: a hundred thousand roundings where one will do. Wall time per
request: it overlaps (see `docs/books.md`). Leave-one-out differences: they do not sum to the whole.

A share belongs to a *leaf*: a call's input or output side, an activity, a kind of unused time, or a named
residual. Leaves are plain tuples of text, so that ties in a split are settled the same way everywhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from inferworks.books.pools import Method
from inferworks.books.span import Span, merged
from inferworks.books.step_time import NO_STEPS, StepTime, state_inside_ns
from inferworks.books.timeline import Timeline
from inferworks.catalog.load import ANY_MODEL, ModelCatalog, StepWeights
from inferworks.ids import CallId, ReplicaId
from inferworks.meter.capacity import Activity, Capacity, State, Step
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Leg, Usage
from inferworks.money import split
from inferworks.units import Unit

Leaf: TypeAlias = tuple[str, ...]
"""What a share ends at: ("call", id, direction), ("activity", source, id), ("unused", kind), ..."""
Shares: TypeAlias = dict[Leaf, int]
"""Quantities by leaf; none is negative."""

CALL, UNKNOWN_CALL, ACTIVITY, PURPOSE = "call", "unknown-call", "activity", "purpose"
UNUSED, UNALLOCATED = "unused", "unallocated"
REPLICA = "replica"

INPUT, OUTPUT = "Input", "Output"
"""FOCUS's TokenDirection."""


class Unused(StrEnum):
    """Why paid-for capacity did no work."""

    STARTING = "starting"
    LOADING = "loading"
    IDLE = "idle"
    DRAINING = "draining"
    DOWN = "down"
    UNOCCUPIED = "unoccupied"
    """Nothing was on the node at all."""


class ServedLeg(NamedTuple):
    """A leg and the call that it was an attempt to serve."""

    call_id: CallId
    leg: Leg


class ActiveTime(NamedTuple):
    """A replica's active nanoseconds by leaf, and the method that divided them."""

    method: Method
    shares: Shares


class ActiveQuestion(NamedTuple):
    """The question whom `replica` was active for, in `span`, on `node`, by `method`."""

    replica: ReplicaId
    node: str
    span: Span
    method: Method


class Drivers:
    """The facts of the meter, indexed for the questions that allocation asks."""

    def __init__(self, facts: Facts, catalog: ModelCatalog) -> None:
        self.usages: dict[CallId, Usage] = {usage.call_id: usage for usage in facts.usages}
        self.activities = {(a.source, a.id): a for a in facts.activities}
        self._catalog = catalog
        self._capacity = _by_node(facts.capacity)
        self._steps = _by_replica(facts.steps)
        self._used = _by_resource(facts.activities)
        self._legs, self._bought = _legs(facts.usages)
        self._calls = Timeline(facts.usages, _opened, lambda usage: (usage.call_id,))
        self._weights: dict[CallId, StepWeights] = {}
        self._active: dict[ActiveQuestion, ActiveTime] = {}
        self.nodes = frozenset(self._capacity) | _nodes_of(facts.activities)

    def occupants(self, node: str, span: Span) -> Shares:
        """Nanoseconds of `node` in `span` by what was on it: replicas, activities, nothing.

        Occupants that overlap each weigh their own nanoseconds.
        """
        shares: Shares = defaultdict(int)
        busy = [span.meet(row.start_ns, row.end_ns) for row in self._rows(node, span)]
        for replica in self._replicas(node, span):
            shares[REPLICA, replica] = sum(self.states(replica, node, span).values())
        for activity in self._uses(node, Unit.NODE_NS, span):
            start_ns, end_ns = _busy_interval(activity)
            inside = span.part_of(activity.quantity, start_ns, end_ns)
            shares[ACTIVITY, activity.source, activity.id] += inside
            busy.append(span.meet(start_ns, end_ns))
        shares[UNUSED, Unused.UNOCCUPIED] = span.length_ns - _length_ns(merged(busy))
        return _positive(shares)

    def states(self, replica: ReplicaId, node: str, span: Span) -> dict[State, int]:
        """Nanoseconds of `replica` on `node` in `span` by state.

        An interval that reaches beyond `span` is cut: its steps are where they are, and the rest of its
        states is spread evenly over the time that no step fills.
        """
        states: dict[State, int] = defaultdict(int)
        steps = self._steps.get(replica, NO_STEPS)
        for row in self._rows(node, span):
            if row.replica == replica:
                states[row.state] += state_inside_ns(row, span, steps)
        return {state: duration_ns for state, duration_ns in states.items() if duration_ns > 0}

    def active(self, replica: ReplicaId, node: str, span: Span, method: Method) -> ActiveTime:
        """The active nanoseconds of `replica` in `span` by call, with what no call explains."""
        question = ActiveQuestion(replica, node, span, method)
        if question not in self._active:
            self._active[question] = self._active_time(*question)
        return self._active[question]

    def unprovisioned_ns(self) -> int:
        """Nanoseconds of steps outside every interval of their replica."""
        total_ns = 0
        for replica, steps in self._steps.items():
            intervals = {at for node in self._capacity for at in self._intervals(replica, node)}
            inside_ns = sum(map(steps.inside_ns, merged(intervals)))
            total_ns += steps.total_ns - inside_ns
        return total_ns

    def answered(self) -> list[tuple[ActiveQuestion, ActiveTime]]:
        """The questions about active time asked so far, with their answers."""
        return list(self._active.items())

    def worked_ns(self, question: ActiveQuestion) -> int:
        """The active nanoseconds that an answer to `question` must sum to."""
        return self.states(question.replica, question.node, question.span).get(State.ACTIVE, 0)

    def node_work(self, node: str, span: Span, method: Method) -> Shares:
        """Nanoseconds of work on `node` in `span`, by call and activity; unused time left out."""
        shares: Shares = defaultdict(int)
        for replica in self._replicas(node, span):
            for leaf, work_ns in self.active(replica, node, span, method).shares.items():
                shares[leaf] += work_ns
        for leaf, busy_ns in self.occupants(node, span).items():
            if leaf[0] == ACTIVITY:
                shares[leaf] += busy_ns
        return _positive(shares)

    def stored(self, bucket: str, span: Span) -> Shares:
        """Byte-seconds held in `bucket` in `span`, by activity."""
        shares: Shares = defaultdict(int)
        for use in self._uses(bucket, Unit.BYTE_SECONDS, span):
            shares[ACTIVITY, use.source, use.id] += span.part_of(
                use.quantity, use.start_ns, use.end_ns
            )
        return _positive(shares)

    def call_bytes(self, span: Span) -> Shares:
        """Bytes in and out of every call that was opened in `span`, refused ones included."""
        calls = (usage for usage in self._calls.meeting(span) if span.holds(usage.opened_ns))
        return _positive(
            {
                (CALL, usage.call_id, ""): usage.request_bytes + usage.response_bytes
                for usage in calls
            }
        )

    def provider_tokens(self, names: Iterable[str], span: Span) -> Shares:
        """Tokens of the legs that a provider called one of `names` served in `span`, by call."""
        wanted = {short for name in names for short in _short_names(name)}
        shares: Shares = defaultdict(int)
        for call_id, leg in self._bought.meeting(span):
            if leg.provider.casefold() in wanted:
                _add_tokens(shares, call_id, leg, span, input_weight=1, output_weight=1)
        return _positive(shares)

    def _active_time(self, replica: ReplicaId, node: str, span: Span, method: Method) -> ActiveTime:
        active_ns = self.states(replica, node, span).get(State.ACTIVE, 0)
        if method is Method.STEP_SHARE:
            shares = self._step_shares(replica, node, span)
            if shares:
                return ActiveTime(method, _with_unexplained(shares, active_ns))
            method = Method.WEIGHTED
        weights = self._token_weights(replica, span, flat=method is Method.FLAT)
        if not weights or not active_ns:
            return ActiveTime(method, _with_unexplained({}, active_ns))
        return ActiveTime(method, _positive(split(active_ns, weights)))

    def _step_shares(self, replica: ReplicaId, node: str, span: Span) -> Shares:
        """Method M2: each step's nanoseconds inside `span`, divided among its calls."""
        shares: Shares = defaultdict(int)
        for step, inside_ns in self._steps_inside(replica, node, span):
            for leaf, share_ns in self.step_shares(step, inside_ns).items():
                shares[leaf] += share_ns
        return _positive(shares)

    def _steps_inside(
        self, replica: ReplicaId, node: str, span: Span
    ) -> Iterator[tuple[Step, int]]:
        """The steps of `replica` in `span` while it was provisioned, each with its nanoseconds there.

        After a crash there may be steps whose capacity interval was never written; they have no cost.
        """
        steps = self._steps.get(replica, NO_STEPS)
        for provisioned in merged(self._intervals(replica, node)):
            inside = span.meet(*provisioned)
            for step in steps.timeline.meeting(inside):
                inside_ns = inside.meet(step.start_ns, step.start_ns + step.duration_ns).length_ns
                if inside_ns:
                    yield step, inside_ns

    def step_shares(self, step: Step, duration_ns: int) -> Shares:
        """`duration_ns` of `step` by leaf, summing to it exactly (theorem 6)."""
        weights: Shares = {}
        for call in step.calls:
            model = self._weights_of(call.call_id, step.start_ns)
            kind = CALL if call.call_id in self.usages else UNKNOWN_CALL
            if call.prefill_tokens:
                leaf = (kind, call.call_id, INPUT)
                weight = model.input_weight(call.prefill_tokens, call.context_tokens)
                weights[leaf] = weights.get(leaf, 0) + weight
            if call.decode_tokens:
                leaf = (kind, call.call_id, OUTPUT)
                weight = model.output_weight(call.decode_tokens, call.context_tokens)
                weights[leaf] = weights.get(leaf, 0) + weight
        if not any(weights.values()):
            return {(UNALLOCATED,): duration_ns}
        return split(duration_ns, weights)

    def _weights_of(self, call_id: CallId, at_ns: int) -> StepWeights:
        if call_id not in self._weights:
            usage = self.usages.get(call_id)
            model, when_ns = (usage.model, usage.opened_ns) if usage else (ANY_MODEL, at_ns)
            self._weights[call_id] = self._catalog.weights(model, when_ns)
        return self._weights[call_id]

    def _token_weights(self, replica: ReplicaId, span: Span, *, flat: bool) -> Shares:
        """Methods M0 and M1: the tokens of the legs that `replica` served in `span`, weighted."""
        shares: Shares = defaultdict(int)
        timeline = self._legs.get(replica)
        for call_id, leg in timeline.meeting(span) if timeline else ():
            model = self._weights_of(call_id, leg.started_ns)
            input_weight, output_weight = (1, 1) if flat else (model.input, model.output)
            _add_tokens(
                shares, call_id, leg, span, input_weight=input_weight, output_weight=output_weight
            )
        return _positive(shares)

    def _replicas(self, node: str, span: Span) -> list[ReplicaId]:
        """The replicas on `node` in `span`, by name."""
        return sorted({row.replica for row in self._rows(node, span)})

    def _intervals(self, replica: ReplicaId, node: str) -> set[tuple[int, int]]:
        """Every interval of `replica` on `node`."""
        rows = self._capacity[node].things if node in self._capacity else ()
        return {(row.start_ns, row.end_ns) for row in rows if row.replica == replica}

    def _rows(self, node: str, span: Span) -> list[Capacity]:
        timeline = self._capacity.get(node)
        return timeline.meeting(span) if timeline else []

    def _uses(self, resource: str, unit: Unit, span: Span) -> list[Activity]:
        timeline = self._used.get((resource, unit))
        return timeline.meeting(span) if timeline else []


def _add_tokens(
    shares: Shares,
    call_id: CallId,
    leg: Leg,
    span: Span,
    *,
    input_weight: int,
    output_weight: int,
) -> None:
    """Add the weighted tokens of `leg` inside `span`, input without what came from the cache."""
    computed = leg.tokens.input - leg.tokens.cache_read
    weighted = {INPUT: computed * input_weight, OUTPUT: leg.tokens.output * output_weight}
    for direction, weight in weighted.items():
        shares[CALL, call_id, direction] += span.part_of(weight, leg.started_ns, leg.ended_ns)


def _length_ns(spans: Iterable[Span]) -> int:
    return sum(span.length_ns for span in spans)


def _with_unexplained(shares: Shares, active_ns: int) -> Shares:
    """`shares` and, where they do not fill the active time, what no step explains."""
    unexplained_ns = active_ns - sum(shares.values())
    if unexplained_ns <= 0:
        return shares
    return {**shares, (UNALLOCATED,): shares.get((UNALLOCATED,), 0) + unexplained_ns}


def _positive(shares: Shares) -> Shares:
    return {leaf: quantity for leaf, quantity in shares.items() if quantity > 0}


def _busy_interval(activity: Activity) -> tuple[int, int]:
    """When `activity` was on its node: from its start for as long as it was busy, within its bounds."""
    length_ns = activity.end_ns - activity.start_ns
    return activity.start_ns, activity.start_ns + min(activity.quantity, length_ns)


def _short_names(name: str) -> tuple[str, str]:
    """A provider's name as drivers spell it: all of it, and its first word."""
    folded = name.casefold()
    return folded, folded.partition(" ")[0]


def _opened(usage: Usage) -> tuple[int, int]:
    return usage.opened_ns, usage.opened_ns


def _by_node(rows: Iterable[Capacity]) -> dict[str, Timeline[Capacity]]:
    grouped: dict[str, list[Capacity]] = defaultdict(list)
    for row in rows:
        grouped[row.node].append(row)
    return {
        node: Timeline(rows, lambda r: (r.start_ns, r.end_ns), lambda r: (r.replica, r.state))
        for node, rows in grouped.items()
    }


def _by_replica(steps: Iterable[Step]) -> dict[ReplicaId, StepTime]:
    grouped: dict[ReplicaId, list[Step]] = defaultdict(list)
    for step in steps:
        grouped[step.replica].append(step)
    return {replica: StepTime(steps) for replica, steps in grouped.items()}


def _by_resource(activities: Iterable[Activity]) -> dict[tuple[str, Unit], Timeline[Activity]]:
    grouped: dict[tuple[str, Unit], list[Activity]] = defaultdict(list)
    for activity in activities:
        grouped[activity.resource, activity.unit].append(activity)
    return {
        key: Timeline(uses, lambda a: (a.start_ns, a.end_ns), lambda a: (a.source, a.id))
        for key, uses in grouped.items()
    }


def _legs(
    usages: Iterable[Usage],
) -> tuple[dict[ReplicaId, Timeline[ServedLeg]], Timeline[ServedLeg]]:
    """The legs that our replicas served, by replica, and those that were bought from others."""
    own: dict[ReplicaId, list[ServedLeg]] = defaultdict(list)
    bought: list[ServedLeg] = []
    for usage in usages:
        for leg in usage.legs:
            served = ServedLeg(usage.call_id, leg)
            (bought if leg.replica is None else own[leg.replica]).append(served)
    return {replica: _leg_timeline(legs) for replica, legs in own.items()}, _leg_timeline(bought)


def _leg_timeline(legs: Iterable[ServedLeg]) -> Timeline[ServedLeg]:
    return Timeline(
        legs, lambda s: (s.leg.started_ns, s.leg.ended_ns), lambda s: (s.call_id, s.leg.offer)
    )


def _nodes_of(activities: Iterable[Activity]) -> frozenset[str]:
    return frozenset(a.resource for a in activities if a.unit is Unit.NODE_NS)
