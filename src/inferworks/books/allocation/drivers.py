"""Drivers: the quantities that calls and activities used in a span. No money.

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
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from itertools import product
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from inferworks.accounts.directory import ALONE, Directory
from inferworks.books.allocation.billed_usage import FLAT, Level, Sale, Sold, Units
from inferworks.books.allocation.hierarchical_split import Path, split_down
from inferworks.books.allocation.pools import Method
from inferworks.books.allocation.shapley import Work, shapley_weights
from inferworks.books.allocation.step_time import NO_STEPS, StepTime, state_inside_ns
from inferworks.books.calendar.span import Span, merged
from inferworks.books.calendar.timeline import Timeline
from inferworks.books.token_buckets import buckets
from inferworks.catalog.billing import Billing, shipped_billing
from inferworks.catalog.load import ANY_MODEL, ModelCatalog, StepWeights
from inferworks.catalog.units import DIRECTIONS, INPUT, OUTPUT
from inferworks.ids import CallId, ReplicaId
from inferworks.meter.capacity import Activity, Capacity, State, Step
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Leg, Usage
from inferworks.money import split
from inferworks.units import Unit

Leaf: TypeAlias = tuple[str, ...]
"""End of a share: ("call", id, direction, attempt), ("activity", source, id), ("unused", kind)..."""
Shares: TypeAlias = dict[Leaf, int]
"""Quantities by leaf; none is negative."""
PathOf: TypeAlias = Callable[[Leaf], Path]
"""Path above a leaf, along which shares are divided (`hierarchical_split.py`)."""

CALL, UNKNOWN_CALL, ACTIVITY, PURPOSE = "call", "unknown-call", "activity", "purpose"
UNUSED, UNALLOCATED, RESERVER = "unused", "unallocated", "reserver"
DEPARTMENT = "department"
REPLICA, LEG = "replica", "leg"
Asked = TypeVar("Asked")
_MOST_LEAVES = 1_000_000


class Unused(StrEnum):
    """Reason why paid-for capacity did no work."""

    STARTING = "starting"
    LOADING = "loading"
    IDLE = "idle"
    DRAINING = "draining"
    DOWN = "down"
    UNOCCUPIED = "unoccupied"
    """No replica or activity on the node."""
    COMMITMENT = "commitment"
    """A commitment that nobody drew on."""


class Place(NamedTuple):
    """Location of an attempt; a text is empty if unknown."""

    provider: str = ""
    region: str = ""
    chip: str = ""


NOWHERE = Place()


class ServedLeg(NamedTuple):
    """A leg, the call that it was an attempt to serve, and its number among the call's legs."""

    call_id: CallId
    leg: Leg
    number: int

    @property
    def attempt(self) -> str:
        """The attempt as a leaf names it."""
        return attempt_of(self.leg, self.number)


class ActiveTime(NamedTuple):
    """A replica's active nanoseconds by leaf, and the method that divided them."""

    method: Method
    shares: Shares


class ActiveQuestion(NamedTuple):
    """Question: the calls that `replica` was active for, in `span`, on `node`, by `method`."""

    replica: ReplicaId
    node: str
    span: Span
    method: Method


class _Known(Generic[Asked]):
    """Answers that many lines of a bill ask for alike, up to so many leaves of them."""

    def __init__(self) -> None:
        self._shares: dict[Asked, Shares] = {}
        self._leaves = 0

    def get(self, asked: Asked) -> Shares | None:
        """Return the known shares; None or an empty mapping if there are none."""
        return self._shares.get(asked)

    def keep(self, asked: Asked, shares: Shares) -> Shares:
        """`shares`, known from now on."""
        self._leaves += len(shares)
        if self._leaves > _MOST_LEAVES:
            self._shares.clear()
            self._leaves = len(shares)
        self._shares[asked] = shares
        return shares


def _straight(_: Leaf) -> Path:
    """Return an empty path above a leaf."""
    return ()


class Drivers:
    """The facts of the meter, indexed for the questions that allocation asks."""

    def __init__(
        self,
        facts: Facts,
        catalog: ModelCatalog,
        billing: Billing | None = None,
        customers: Directory = ALONE,
    ) -> None:
        self.customers = customers
        """Customers, after mergers, for those who reserved nodes; the facts are mapped already."""
        self.usages: dict[CallId, Usage] = {usage.call_id: usage for usage in facts.usages}
        self.activities = {(a.source, a.id): a for a in facts.activities}
        self.billing = billing or shipped_billing()
        self._catalog = catalog
        self._capacity: dict[str, Timeline[Capacity]] = {
            node: Timeline(rows, lambda r: (r.start_ns, r.end_ns), lambda r: (r.replica, r.state))
            for node, rows in _grouped(facts.capacity, lambda row: row.node).items()
        }
        steps = _grouped(facts.steps, lambda step: step.replica)
        self._steps = {replica: StepTime(of_replica) for replica, of_replica in steps.items()}
        self._used = {
            key: Timeline(uses, lambda a: (a.start_ns, a.end_ns), lambda a: (a.source, a.id))
            for key, uses in _grouped(facts.activities, lambda a: (a.resource, a.unit)).items()
        }
        self._legs, self._sold = _legs(facts.usages)
        self._levels: dict[Sale, tuple[Level, ...]] = {}
        last = {replica: legs.things[-1].leg for replica, legs in self._legs.items()}
        self._places = {
            name: Place(leg.provider, leg.region, leg.chip) for name, leg in last.items()
        }
        self._calls = Timeline(
            facts.usages, lambda usage: (usage.opened_ns,) * 2, lambda usage: (usage.call_id,)
        )
        self._weights: dict[CallId, StepWeights] = {}
        self._active: dict[ActiveQuestion, ActiveTime] = {}
        self._moved: _Known[Span] = _Known()
        self._bought: _Known[tuple[Sale, Span]] = _Known()
        reported = (a.resource for a in facts.activities if a.unit is Unit.NODE_NS)
        self.nodes = frozenset((*self._capacity, *reported))

    def place(self, call_id: CallId, attempt: str) -> Place:
        """Return the location of `attempt` of a call: that of its replica, or of one of its legs."""
        kind, _, name = attempt.partition(":")
        if kind == REPLICA:
            return self.replica_place(ReplicaId(name))
        if kind == LEG:
            leg = self.usages[call_id].legs[int(name)]
            return Place(leg.provider, leg.region, leg.chip)
        return NOWHERE

    def replica_place(self, replica: ReplicaId) -> Place:
        """Return the location of `replica`, as its last attempt recorded it."""
        return self._places.get(replica, NOWHERE)

    def occupants(self, node: str, span: Span) -> Shares:
        """Nanoseconds of `node` in `span` by what was on it: replicas, activities, nothing.

        Occupants that overlap each weigh their own nanoseconds.
        """
        shares: Shares = defaultdict(int)
        busy = [span.meet(row.start_ns, row.end_ns) for row in self._rows(node, span)]
        for replica in self._replicas(node, span):
            shares[REPLICA, replica] = sum(self.states(replica, node, span).values())
        for activity in self._uses(node, Unit.NODE_NS, span):
            # busy from its start for its busy time, within its bounds
            start_ns = activity.start_ns
            end_ns = min(start_ns + activity.quantity, activity.end_ns)
            inside = span.part_of(activity.quantity, start_ns, end_ns)
            shares[ACTIVITY, activity.source, activity.id] += inside
            busy.append(span.meet(start_ns, end_ns))
        busy_ns = sum(part.length_ns for part in merged(busy))
        shares[UNUSED, Unused.UNOCCUPIED] = span.length_ns - busy_ns
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

    def active(
        self,
        replica: ReplicaId,
        node: str,
        span: Span,
        method: Method,
        path_of: PathOf = _straight,
    ) -> ActiveTime:
        """The active nanoseconds of `replica` in `span` by call, with what no call explains."""
        question = ActiveQuestion(replica, node, span, method)
        if question not in self._active:
            active_ns = self.worked_ns(question)
            shares: Shares = {}
            if method in (Method.STEP_SHARE, Method.SHAPLEY):
                shares = self._shares_by_step(replica, node, span, method)
                method = method if shares else Method.WEIGHTED
            if not shares:  # methods M0 and M1: by the tokens of its legs, weighted
                tokens: Shares = defaultdict(int)
                timeline = self._legs.get(replica)
                for served in timeline.meeting(span) if timeline else ():
                    model = self._weights_of(served.call_id, served.leg.started_ns)
                    own = (1, 1) if method is Method.FLAT else (model.input, model.output)
                    _add_tokens(tokens, served, span, input_weight=own[0], output_weight=own[1])
                weights = _positive(tokens)
                if weights and active_ns:
                    shares = _positive(split_down(active_ns, weights, path_of))
            unexplained_ns = active_ns - sum(shares.values())
            if unexplained_ns > 0:
                nobody = (UNALLOCATED,)
                shares = {**shares, nobody: shares.get(nobody, 0) + unexplained_ns}
            self._active[question] = ActiveTime(method, shares)
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

    def node_work(
        self, node: str, span: Span, method: Method, path_of: PathOf = _straight
    ) -> Shares:
        """Nanoseconds of work on `node` in `span`, by call and activity; unused time left out."""
        shares: Shares = defaultdict(int)
        for replica in self._replicas(node, span):
            for leaf, work_ns in self.active(replica, node, span, method, path_of).shares.items():
                shares[leaf] += work_ns
        for leaf, busy_ns in self.occupants(node, span).items():
            if leaf[0] == ACTIVITY:
                shares[leaf] += busy_ns
        return _positive(shares)

    def peak_work(self, span: Span, method: Method, path_of: PathOf = _straight) -> Shares:
        """The work of all nodes in the busiest clock hour (UTC) of `span`; of equals, the first.

        The demand of that hour is what the fleet was sized for.
        """
        busy_ns = dict.fromkeys(span.hours(), 0)
        for hour, node in product(busy_ns, self.nodes):
            for replica in self._replicas(node, hour):
                busy_ns[hour] += self.states(replica, node, hour).get(State.ACTIVE, 0)
            for leaf, used_ns in self.occupants(node, hour).items():
                busy_ns[hour] += used_ns if leaf[0] == ACTIVITY else 0
        busiest = max(busy_ns, key=lambda hour: (busy_ns[hour], -hour.start_ns), default=span)
        shares: Shares = defaultdict(int)
        for node in sorted(self.nodes):
            for leaf, work_ns in self.node_work(node, busiest, method, path_of).items():
                shares[leaf] += work_ns
        return dict(shares)

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
        known = self._moved.get(span)
        if known:
            return known
        shares: Shares = {}
        for usage in self._calls.meeting(span):
            if span.holds(usage.opened_ns):
                # the attempt that served the call, or failed it last; empty when nothing was tried
                legs = usage.legs
                attempt = attempt_of(legs[-1], len(legs) - 1) if legs else ""
                leaf = (CALL, usage.call_id, "", attempt)
                shares[leaf] = usage.request_bytes + usage.response_bytes
        return self._moved.keep(span, _positive(shares))

    def provider_tokens(self, sale: Sale, span: Span) -> Shares:
        """Tokens in `span` of the legs that `sale` was of, by call: of its first level that has any."""
        known = self._bought.get((sale, span))
        if known:
            return known
        if sale not in self._levels:
            self._levels[sale] = sale.levels(self._sold, self.billing)
        for level in self._levels[sale]:
            shares: Shares = defaultdict(int)
            for sold in level.sold & self._sold.keys():
                for served in self._sold[sold].meeting(span):
                    _add_bought(shares, served, span, level.units)
            if any(shares.values()):
                return self._bought.keep((sale, span), _positive(shares))
        return self._bought.keep((sale, span), {})

    def _shares_by_step(self, replica: ReplicaId, node: str, span: Span, method: Method) -> Shares:
        """Methods M2 and M3: the nanoseconds of steps while provisioned in `span`, divided among calls.

        After a crash there may be steps whose capacity interval was never written; they have no cost.
        """
        divide = self.step_shares if method is Method.STEP_SHARE else self.shapley_shares
        steps = self._steps.get(replica, NO_STEPS)
        shares: Shares = defaultdict(int)
        for provisioned in merged(self._intervals(replica, node)):
            inside = span.meet(*provisioned)
            for step in steps.timeline.meeting(inside):
                inside_ns = inside.meet(step.start_ns, step.start_ns + step.duration_ns).length_ns
                for leaf, share_ns in divide(step, inside_ns).items() if inside_ns else ():
                    shares[leaf] += share_ns
        return _positive(shares)

    def step_shares(self, step: Step, duration_ns: int) -> Shares:
        """Method M2: `duration_ns` of `step` by leaf, summing to it exactly (theorem 6)."""
        weights: Shares = defaultdict(int)
        for leaf, tokens, context_tokens, model in self._parts(step):
            weigh = model.input_weight if leaf[2] == INPUT else model.output_weight
            weights[leaf] += weigh(tokens, context_tokens)
        return _divided(duration_ns, weights)

    def shapley_shares(self, step: Step, duration_ns: int) -> Shares:
        """Method M3: `duration_ns` of `step` by sampled Shapley values, summing to it exactly."""
        works: dict[Leaf, Work] = defaultdict(Work)
        fixed = 0
        for leaf, tokens, context_tokens, model in self._parts(step):
            linear, context = model.prefill, model.prefill_context
            if leaf[2] == OUTPUT:
                linear, context = model.decode, model.decode_context
            works[leaf] += Work(tokens * linear, tokens * context * context_tokens)
            fixed = max(fixed, model.step)
        seed = f"{step.replica} {step.start_ns} {step.seq}"
        return _divided(duration_ns, shapley_weights(works, fixed, seed))

    def _parts(self, step: Step) -> Iterator[tuple[Leaf, int, int, StepWeights]]:
        """The input and output sides of the calls of `step`: leaf, tokens, context tokens, weights."""
        attempt = f"{REPLICA}:{step.replica}"
        for call in step.calls:
            model = self._weights_of(call.call_id, step.start_ns)
            kind = CALL if call.call_id in self.usages else UNKNOWN_CALL
            if call.prefill_tokens:
                leaf = (kind, call.call_id, INPUT, attempt)
                yield leaf, call.prefill_tokens, call.context_tokens, model
            if call.decode_tokens:
                leaf = (kind, call.call_id, OUTPUT, attempt)
                yield leaf, call.decode_tokens, call.context_tokens, model

    def _weights_of(self, call_id: CallId, at_ns: int) -> StepWeights:
        if call_id not in self._weights:
            usage = self.usages.get(call_id)
            model, when_ns = (usage.model, usage.opened_ns) if usage else (ANY_MODEL, at_ns)
            self._weights[call_id] = self._catalog.weights(model, when_ns)
        return self._weights[call_id]

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
    shares: Shares, served: ServedLeg, span: Span, *, input_weight: int, output_weight: int
) -> None:
    """Add the weighted tokens of a leg inside `span`, input without what came from the cache."""
    leg, attempt = served.leg, served.attempt
    computed = leg.tokens.input - leg.tokens.cache_read
    weighted = {INPUT: computed * input_weight, OUTPUT: leg.tokens.output * output_weight}
    for direction, weight in weighted.items():
        shares[CALL, served.call_id, direction, attempt] += span.part_of(
            weight, leg.started_ns, leg.ended_ns
        )


def _add_bought(shares: Shares, served: ServedLeg, span: Span, units: Units) -> None:
    """Add the tokens of a leg inside `span` that fall into the buckets `units`, each counting the same."""
    if units == FLAT:
        return _add_tokens(shares, served, span, input_weight=1, output_weight=1)
    leg = served.leg
    sums = dict.fromkeys((DIRECTIONS[unit] for unit in units), 0)
    for unit, quantity in buckets(leg.tokens):
        if unit in units:
            sums[DIRECTIONS[unit]] += quantity
    for direction, quantity in sums.items():
        shares[CALL, served.call_id, direction, served.attempt] += span.part_of(
            quantity, leg.started_ns, leg.ended_ns
        )
    return None


def _divided(duration_ns: int, weights: Shares) -> Shares:
    """`duration_ns` by `weights`; unallocated when nothing weighs."""
    if not any(weights.values()):
        return {(UNALLOCATED,): duration_ns}
    return split(duration_ns, weights)


def _positive(shares: Shares) -> Shares:
    return {leaf: quantity for leaf, quantity in shares.items() if quantity > 0}


_Row = TypeVar("_Row")
_GroupKey = TypeVar("_GroupKey")


def _grouped(
    rows: Iterable[_Row], key_of: Callable[[_Row], _GroupKey]
) -> dict[_GroupKey, list[_Row]]:
    groups: dict[_GroupKey, list[_Row]] = defaultdict(list)
    for row in rows:
        groups[key_of(row)].append(row)
    return groups


def _legs(
    usages: Iterable[Usage],
) -> tuple[dict[ReplicaId, Timeline[ServedLeg]], dict[Sold, Timeline[ServedLeg]]]:
    """The legs that our replicas served, by replica, and those bought from others, by what was sold."""
    own: dict[ReplicaId, list[ServedLeg]] = defaultdict(list)
    bought: dict[Sold, list[ServedLeg]] = defaultdict(list)
    for usage in usages:
        for number, leg in enumerate(usage.legs):
            served = ServedLeg(usage.call_id, leg, number)
            if leg.replica is None:
                bought[leg.provider, usage.model].append(served)
            else:
                own[leg.replica].append(served)
    return (
        {replica: _leg_timeline(legs) for replica, legs in own.items()},
        {sold: _leg_timeline(legs) for sold, legs in bought.items()},
    )


def _leg_timeline(legs: Iterable[ServedLeg]) -> Timeline[ServedLeg]:
    return Timeline(
        legs,
        lambda served: (served.leg.started_ns, served.leg.ended_ns),
        lambda served: (served.call_id, f"{served.number:06d}"),
    )


def attempt_of(leg: Leg, number: int) -> str:
    """Return the name of an attempt in a leaf: by our own replica, else by the number of the leg."""
    return f"{LEG}:{number}" if leg.replica is None else f"{REPLICA}:{leg.replica}"
