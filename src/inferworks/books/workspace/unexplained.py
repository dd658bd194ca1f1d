"""Questions, at import, about lines of a bill that no call explains."""

from __future__ import annotations

from inferworks.books.allocation.billed_usage import sale_of
from inferworks.books.calendar.span import merged
from inferworks.books.charge import Charge
from inferworks.books.deliveries.arriving import ArrivingLines, Sort, sort_of
from inferworks.books.statement.unexplained_lines import open_questions
from inferworks.books.workspace.estimating import estimated, is_api_bill_under
from inferworks.books.workspace.gathering import charges_of, rules_of
from inferworks.books.workspace.recorded import RecordedSource
from inferworks.books.workspace.settings import Settings
from inferworks.catalog.billing import billing_of

_MOST_SORTS = 50_000


class Unexplained:
    """Collects the lines for API calls whose sellers no row of the table of names knows.

    Only what these may be for is looked up among the calls, which may be many.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._folder = settings, settings.folder
        self._rules = rules_of(settings, None)
        self._billing = billing_of(self._rules.billing)
        self._is_api_bill = is_api_bill_under(self._rules)
        self._sorts: dict[Sort, bool] = {}
        self._spans: set[tuple[int, int]] = set()
        self._files: set[str] = set()

    def look_at(self, lines: ArrivingLines) -> None:
        """Look at lines while they are imported."""
        unexplained = set()
        for place, sort in enumerate(lines.sorts):
            found = self._sorts.get(sort)
            if found is None:
                found = self._look_up(sort, lines.charge(lines.sort_places.index(place)))
            if found:
                unexplained.add(place)
        if unexplained:
            spans = zip(lines.sort_places, lines.starts_ns, lines.ends_ns, strict=True)
            self._spans.update((start, end) for sort, start, end in spans if sort in unexplained)
            self._files.add(lines.file_sha256)

    def questions(self) -> list[str]:
        """Return the questions on those lines, where calls of their time have no bill."""
        notes: list[str] = []
        for span in merged(sorted(self._spans)):
            usages = tuple(RecordedSource(self._settings).bought(span))
            sold = {
                (leg.provider, usage.model)
                for usage in usages
                for leg in usage.legs
                if leg.replica is None
            }
            if not sold:
                continue
            bills, currency = charges_of(self._settings, span)
            booked = estimated(self._folder, bills, usages, self._rules, span, currency).booked
            lines: list[Charge] = []
            for bill in bills:
                if bill.file_sha256 in self._files and span.holds(bill.period_start_ns):
                    sort = sort_of(bill)
                    found = self._sorts.get(sort)
                    if self._look_up(sort, bill) if found is None else found:
                        lines.append(bill)
            unexplained = {
                line.id
                for line in lines
                if not sale_of(line, self._billing).levels(sold, self._billing)
            }
            notes += open_questions([*lines, *booked], unexplained, self._billing)
        return notes

    def _look_up(self, sort: Sort, charge: Charge) -> bool:
        """Return True if `charge` is unexplained, and so all lines of its sort."""
        if len(self._sorts) == _MOST_SORTS:
            self._sorts.clear()
        names = (charge.provider, charge.issuer, charge.service_name)
        found = not self._billing.seller(*names).known and self._is_api_bill(charge)
        self._sorts[sort] = found
        return found
