"""Reading what one customer has used: from sums by day where they will do, else from the rows.

Problem. A customer asks what it has used so far. The books would read every call of everybody to tell it.

Decision. What is in the journals is summed by SQLite, by an index of time. What is archived comes from the
sums by day of each segment (`archive.sums`) where an interval holds the whole day and nobody asks for
projects or keys. Else the rows of the segment are read, but only where its sums say that the customer has
any there. How many rows that will be is known before one of them is read, so a limit can be kept.

The order in which journals and manifest are read is that of `archive.reader`: each call counts once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from inferworks.arrow import compute, pa, pq
from inferworks.errors import LakeError, UserError
from inferworks.ids import CustomerId
from inferworks.meter.archive.manifest import Segment, Sums, read_manifest
from inferworks.meter.archive.reader import LakeReader, meeting
from inferworks.meter.archive.schema import DAY_NS
from inferworks.meter.archive.seal import keys_of, read_segment, read_sums
from inferworks.meter.archive.sums import TooLargeError, batches, grouped, summands
from inferworks.meter.events import reported_call_id
from inferworks.meter.facts import Facts
from inferworks.meter.usage import COUNT_COLUMNS, Outcome
from inferworks.meter.used import USED_UNITS, Used, UsedBy, summed
from inferworks.on_demand import OnDemand
from inferworks.purpose import Purpose

if TYPE_CHECKING:
    import numpy as np
else:
    np = OnDemand("numpy")

MOST_SUMS: Final = 100_000
"""Most sums of one question, by interval, project, key, model, purpose and outcome."""
_KIND: Final = "calls"
_LABELS: Final = ("project", "key_id", "model", "purpose", "outcome")
_COUNTED: Final = ("calls", *USED_UNITS)


class TooMuchError(UserError):
    """A question would have more read, or more answered, than is allowed."""


class UseReader(LakeReader):
    """Reader of the calls of one customer in a lake and its journals."""

    def used(
        self, customer: CustomerId, edges_ns: Sequence[int], *, by_key: bool, most_rows: int
    ) -> list[Used]:
        """Return what `customer` has used in each interval between two of `edges_ns`, in order.

        Without `by_key`, over all projects and keys. TooMuchError when more than `most_rows` archived rows
        would have to be read, or there are more than `MOST_SUMS`; other errors are those of `LakeReader`.
        """
        start_ns, end_ns = edges_ns[0], edges_ns[-1]
        with ExitStack() as stack:
            reader = stack.enter_context(self._reader())
            journals = stack.enter_context(reader.moment())
            manifest = read_manifest(self._lake)
            segments = meeting(manifest, start_ns, end_ns)
            own = Facts((), (), (), (), reader.retracted(start_ns, end_ns))
            taken_back = self._retracted(own, segments, start_ns, end_ns)
            left_out = {str(reported_call_id(one.source, one.id)) for one in taken_back}
            gone = {
                str(call_id)
                for segment in self._between(journals, manifest)
                if segment.table == "usage" and segment in segments["usage"]
                for (call_id,) in keys_of(self._lake, segment)
            }
            recent = reader.used(
                customer, edges_ns, left_out | gone, by_key=by_key, most=MOST_SUMS + 1
            )
            found = _bounded(summed(recent))
        sums = {one.of: one for one in manifest.sums if one.kind == _KIND}
        cut = {one.start_ns // DAY_NS for one in taken_back}
        to_read = list[Segment]()
        for segment in segments["usage"]:
            own_sums = self._own_sums(sums.get(segment.name), customer)
            day = segment.start_ns // DAY_NS
            interval = _interval_of(day, edges_ns)
            if own_sums is None or (own_sums and (by_key or interval is None or day in cut)):
                to_read.append(segment)
            elif interval is not None:
                found += (_used_of(row, interval) for row in own_sums)
        rows = sum(segment.rows for segment in to_read)
        if rows > most_rows:
            raise TooMuchError(f"{rows} rows would have to be read, and {most_rows} may be")
        found = _bounded(summed(found))
        for segment in to_read:
            own_rows = self._own_rows(segment, customer, edges_ns, left_out, by_key=by_key)
            found = _bounded(summed([*found, *own_rows]))
        return found

    def _own_sums(
        self, sums: Sums | None, customer: CustomerId
    ) -> list[Mapping[str, str | int]] | None:
        """Return the sums of a customer in a file of sums; None when there is no such file."""
        if sums is None or not self.sound(sums):
            return None
        file = read_sums(self._lake, sums)
        groups = [n for n in range(file.num_row_groups) if _may_hold(file, n, customer)]
        rows = file.read_row_groups(groups)
        own: list[Mapping[str, str | int]] = rows.filter(
            compute.equal(rows["customer"], customer)
        ).to_pylist()
        return own

    def _own_rows(
        self,
        segment: Segment,
        customer: CustomerId,
        edges_ns: Sequence[int],
        left_out: Collection[str],
        *,
        by_key: bool,
    ) -> Iterator[Used]:
        """Yield the sums of a customer's rows in a segment, by part of the file."""
        edges, others = np.array(edges_ns), pa.array(sorted(left_out), pa.string())
        labels = _LABELS if by_key else _LABELS[2:]
        names = ("call_id", "customer", "opened_ns", *labels, *COUNT_COLUMNS)
        for batch in batches(read_segment(self._lake, segment), names):
            own = batch.filter(compute.equal(batch.column("customer"), customer))
            own = own.filter(compute.invert(compute.is_in(own.column("call_id"), others)))
            columns = summands(own)
            intervals = np.searchsorted(edges, own.column("opened_ns").to_numpy(), "right") - 1
            table = pa.table({**columns, "interval": pa.array(intervals, pa.int64())})
            within = (intervals >= 0) & (intervals < len(edges_ns) - 1)
            own_rows = table.filter(pa.array(within))
            try:
                rows = grouped(own_rows, ("interval", *labels), _COUNTED, ("least",))
            except TooLargeError as error:
                raise LakeError(f"{segment.name}: a sum of {error} leaves 64 bits") from error
            yield from (_used_of(row, row["interval"]) for row in rows.to_pylist())


def _bounded(found: list[Used]) -> list[Used]:
    if len(found) > MOST_SUMS:
        raise TooMuchError(f"there are more than {MOST_SUMS} sums")
    return found


def _used_of(row: Mapping[str, str | int], interval: int) -> Used:
    text = [str(row.get(name, "")) for name in _LABELS]
    project, key_id, model, purpose, outcome = text
    label = UsedBy(interval, project, key_id, model, Purpose(purpose), Outcome(outcome))
    counts = tuple(int(row[unit]) for unit in USED_UNITS)
    return Used(label, int(row["calls"]), counts, int(row["least"]) >= 0)


def _interval_of(day: int, edges_ns: Sequence[int]) -> int | None:
    """Return the interval that holds the whole of `day` (days since 1970); None when none does."""
    interval = bisect_right(edges_ns, day * DAY_NS) - 1
    if 0 <= interval < len(edges_ns) - 1 and (day + 1) * DAY_NS <= edges_ns[interval + 1]:
        return interval
    return None


def _may_hold(file: pq.ParquetFile, group: int, customer: CustomerId) -> bool:
    """Return whether rows of a customer may be in a group of rows, which are in the order of customers."""
    place = file.schema_arrow.names.index("customer")
    told = file.metadata.row_group(group).column(place).statistics
    return told is None or not told.has_min_max or told.min <= customer <= told.max
