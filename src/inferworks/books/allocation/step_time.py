"""The time that steps fill, and the division of an interval by it.

Problem. The meter gives a replica's states per interval, as sums: so much active, so much idle. A bill
for an hour may cut through an interval of ten, and its work may all lie in the last one.

Decision. Steps have exact times, so the active time they fill is where they are. Whatever else the
interval holds (idle, loading, active time that no step explains) is spread evenly over the time that no
step fills. Adjoining cuts sum to the interval, state by state, to the nanosecond.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

from inferworks.books.calendar.span import Span
from inferworks.books.calendar.timeline import Timeline
from inferworks.meter.capacity import Capacity, State, Step


class StepTime:
    """The steps of one replica, and how much of any stretch of time they fill."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self.timeline = Timeline(
            steps,
            lambda step: (step.start_ns, step.start_ns + step.duration_ns),
            lambda step: (f"{step.seq:020d}",),
        )
        self._starts_ns = [step.start_ns for step in self.timeline.things]
        durations_ns = (step.duration_ns for step in self.timeline.things)
        self._filled_ns = list(accumulate(durations_ns, initial=0))

    @property
    def total_ns(self) -> int:
        """Nanoseconds of all steps."""
        return self._filled_ns[-1]

    def before_ns(self, at_ns: int) -> int:
        """Nanoseconds of steps before `at_ns`."""
        filled_ns = self._filled_ns[bisect_left(self._starts_ns, at_ns)]
        for step in self.timeline.meeting(Span(at_ns, at_ns)):
            if step.start_ns < at_ns:
                filled_ns -= max(0, step.start_ns + step.duration_ns - at_ns)
        return filled_ns

    def inside_ns(self, span: Span) -> int:
        """Nanoseconds of steps in `span`."""
        return self.before_ns(span.end_ns) - self.before_ns(span.start_ns)

    def free_ns(self, span: Span) -> int:
        """Nanoseconds of `span` that no step fills."""
        return span.length_ns - self.inside_ns(span)


def state_inside_ns(row: Capacity, span: Span, steps: StepTime) -> int:
    """Return the part of the state of `row` inside `span`, in nanoseconds, exact where steps are known."""
    if span.start_ns <= row.start_ns and row.end_ns <= span.end_ns:
        return row.duration_ns
    interval = Span(row.start_ns, row.end_ns)
    inside = span.meet(*interval)
    if inside.length_ns == 0:
        return 0
    stepped_ns, stepped_inside_ns = 0, 0
    if row.state is State.ACTIVE:
        stepped_ns, stepped_inside_ns = steps.inside_ns(interval), steps.inside_ns(inside)
    free_before_ns = steps.free_ns(Span(row.start_ns, inside.start_ns))
    free = Span(free_before_ns, free_before_ns + steps.free_ns(inside))
    return stepped_inside_ns + free.part_of(
        row.duration_ns - stepped_ns, 0, steps.free_ns(interval)
    )


NO_STEPS = StepTime(())
"""A replica that reports none."""
