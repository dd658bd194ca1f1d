"""Calls as metrics: a fold over the records themselves.

Problem. Counters that are raised here and there along the way of a call disagree with the records sooner
or later: one way out of the code forgets to count, another counts twice.

Decision. Nothing is counted but the `Usage` in which a call ends, in the one place where it is made. So as
many calls are counted as are recorded, whatever happened to them, and a count can be checked against the
journal. It costs one look-up per call and one per attempt, because all that is counted under the same
labels lies together; text is only made when somebody asks.

*Cardinality is bounded.* A model that is not configured is `other`, since callers can invent names; and
when there are `most_series` sets of labels, a new one is counted as `other` in every label that could grow.
Customers, keys and end users are no labels at all.

Rejected. An instrument with labels per measurement (a look-up for each of eight counts); folding later
in batches (the same work, and memory for the calls that wait).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from typing import Final, NamedTuple, TypeAlias

from inferworks.meter.usage import Confidence, Leg, Outcome, Usage
from inferworks.observe.conventions import operation_name, provider_name
from inferworks.observe.metric import (
    FIRST_TOKEN_NS,
    PER_TOKEN_NS,
    SECONDS_NS,
    TOKENS,
    Family,
    Histogram,
    Metric,
    Sample,
)
from inferworks.observe.table import (
    ATTEMPT_DURATION,
    CALLS,
    FIRST_TOKEN,
    PER_TOKEN,
    REQUEST_DURATION,
    RETRIES,
    TOKEN_PARTS,
    TOKEN_USAGE,
)

OTHER: Final = "other"
"""Label value for everything beyond the limit of label values."""


class _Call(NamedTuple):
    """Labels that calls are counted by."""

    operation: str
    provider: str
    """Provider of the attempt that served it, or was the last to try; empty when none was made."""
    model: str
    error: str | None
    outcome: Outcome
    confidence: Confidence
    stream: bool


class _Attempt(NamedTuple):
    """Labels that attempts are counted by."""

    operation: str
    provider: str
    model: str
    outcome: Outcome
    status: int


_CallKey: TypeAlias = tuple[str, str, str, str | None, Outcome, Confidence, bool]
_AttemptKey: TypeAlias = tuple[str, str, str, Outcome, int]
"""The same as plain tuples, which are made in a third of the time."""


class _CallCounts:
    """Counts of the calls with one set of labels."""

    __slots__ = ("calls", "duration", "first_token", "per_token", "retries")

    def __init__(self) -> None:
        self.calls = 0
        self.retries = 0
        self.duration = Histogram(SECONDS_NS)
        self.first_token = Histogram(FIRST_TOKEN_NS)
        self.per_token = Histogram(PER_TOKEN_NS)

    def take(self, usage: Usage) -> None:
        """Count one call."""
        self.calls += 1
        self.duration.take(usage.closed_ns - usage.opened_ns)
        if usage.stream and usage.outcome is Outcome.ANSWERED and usage.first_byte_ns is not None:
            self.first_token.take(usage.first_byte_ns - usage.opened_ns)
            after_first = usage.tokens.output - 1
            if after_first > 0:
                self.per_token.take((usage.closed_ns - usage.first_byte_ns) // after_first)


class _AttemptCounts:
    """Counts of the attempts with one set of labels."""

    __slots__ = ("cache_read", "cache_write", "duration", "input", "output", "reasoning")

    def __init__(self) -> None:
        self.duration = Histogram(SECONDS_NS)
        self.input = Histogram(TOKENS)
        self.output = Histogram(TOKENS)
        self.cache_read = self.cache_write = self.reasoning = 0

    def take(self, leg: Leg) -> None:
        """Count one attempt."""
        self.duration.take(leg.ended_ns - leg.started_ns)
        tokens = leg.tokens
        if tokens.input or tokens.output:
            self.input.take(tokens.input)
            self.output.take(tokens.output)
            self.cache_read += tokens.cache_read
            self.cache_write += tokens.cache_write
            self.reasoning += tokens.reasoning


class CallMetrics:
    """Counts calls, each by the Usage in which it ended. For one thread; `families` may be another's."""

    def __init__(
        self,
        models: Callable[[], Container[str]] = lambda: frozenset(),
        *,
        most_series: int = 1000,
    ) -> None:
        """`models` are the names that are configured; any other is counted as `other`."""
        self._models = models
        self._most_series = most_series
        self._calls: dict[_CallKey, _CallCounts] = {}
        self._attempts: dict[_AttemptKey, _AttemptCounts] = {}

    def take(self, usage: Usage) -> None:
        """Count the call that ended as `usage`, and its attempts."""
        legs = usage.legs
        endpoint, model = usage.endpoint, usage.model
        provider = legs[-1].provider if legs else ""
        how = (usage.error_code, usage.outcome, usage.confidence, usage.stream)
        counts = self._calls.get((endpoint, provider, model, *how))
        if counts is None:
            counts = self._new_call(usage, provider)
        counts.take(usage)
        for leg in legs:
            of_attempt = self._attempts.get(
                (endpoint, leg.provider, model, leg.outcome, leg.status)
            )
            if of_attempt is None:
                of_attempt = self._new_attempt(usage, leg)
            of_attempt.take(leg)
        if len(legs) > 1:
            counts.retries += len(legs) - 1

    def families(self) -> Iterator[Family]:
        """All that was counted, as metrics."""
        calls = [(_Call(*key), counts) for key, counts in list(self._calls.items())]
        attempts = [(_Attempt(*key), counts) for key, counts in list(self._attempts.items())]
        yield _summed(
            CALLS,
            (
                (
                    (
                        *_labels(c),
                        str(c.outcome),
                        str(c.confidence),
                        "true" if c.stream else "false",
                    ),
                    n.calls,
                )
                for c, n in calls
            ),
        )
        yield _merged(REQUEST_DURATION, ((_labels(c), n.duration) for c, n in calls))
        yield _merged(FIRST_TOKEN, ((_labels(c)[:3], n.first_token) for c, n in calls))
        yield _merged(PER_TOKEN, ((_labels(c)[:3], n.per_token) for c, n in calls))
        yield _merged(ATTEMPT_DURATION, ((_tried(a), n.duration) for a, n in attempts))
        yield _merged(
            TOKEN_USAGE,
            (
                ((*_tried(a)[:3], side), tokens)
                for a, n in attempts
                for side, tokens in (("input", n.input), ("output", n.output))
            ),
        )
        yield _summed(
            TOKEN_PARTS,
            (
                ((*_tried(a)[:3], part), tokens)
                for a, n in attempts
                for part, tokens in (
                    ("cache_read", n.cache_read),
                    ("cache_write", n.cache_write),
                    ("reasoning", n.reasoning),
                )
            ),
        )
        yield _summed(RETRIES, (((_labels(c)[0], c.model), n.retries) for c, n in calls))

    def _new_call(self, usage: Usage, provider: str) -> _CallCounts:
        model, error = self._known(usage.model), usage.error_code
        if len(self._calls) >= self._most_series:
            provider, model, error = OTHER, OTHER, OTHER if error else None
        how = (usage.outcome, usage.confidence, usage.stream)
        key = _Call(usage.endpoint, provider, model, error, *how)
        return self._calls.setdefault(key, _CallCounts())

    def _new_attempt(self, usage: Usage, leg: Leg) -> _AttemptCounts:
        provider, model, status = leg.provider, self._known(usage.model), leg.status
        if len(self._attempts) >= self._most_series:
            provider, model, status = OTHER, OTHER, 0
        key = _Attempt(usage.endpoint, provider, model, leg.outcome, status)
        return self._attempts.setdefault(key, _AttemptCounts())

    def _known(self, model: str) -> str:
        """`model` if it is configured, or was not named at all; else `other`."""
        return model if not model or model in self._models() else OTHER


def _labels(call: _Call) -> tuple[str, str, str, str]:
    error = "" if call.outcome is Outcome.ANSWERED else call.error or str(call.outcome)
    return operation_name(call.operation), provider_name(call.provider), call.model, error


def _tried(attempt: _Attempt) -> tuple[str, str, str, str]:
    failed = attempt.outcome is not Outcome.ANSWERED
    error = str(attempt.status) if attempt.status >= 400 else str(attempt.outcome)
    return (
        operation_name(attempt.operation),
        provider_name(attempt.provider),
        attempt.model,
        error if failed else "",
    )


def _merged(metric: Metric, parts: Iterable[tuple[tuple[str, ...], Histogram]]) -> Family:
    """`parts` added up where their labels are the same."""
    whole: dict[tuple[str, ...], Histogram] = {}
    for labels, part in parts:
        into = whole.setdefault(labels, Histogram(metric.bounds))
        into.sum += part.sum
        into.counts = [a + b for a, b in zip(into.counts, part.counts, strict=True)]
    return Family(metric, [Sample(labels, histogram) for labels, histogram in whole.items()])


def _summed(metric: Metric, parts: Iterable[tuple[tuple[str, ...], int]]) -> Family:
    """`parts` added up where their labels are the same; nothing for what is zero."""
    whole: dict[tuple[str, ...], int] = {}
    for labels, part in parts:
        if part:
            whole[labels] = whole.get(labels, 0) + part
    return Family(metric, [Sample(labels, number) for labels, number in whole.items()])
