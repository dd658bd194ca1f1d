"""Questions, at import, about lines of a bill that no call explains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

from inferworks.books.allocation.billed_usage import Sold, sale_of
from inferworks.books.calendar.span import Span, merged
from inferworks.books.charge import Charge
from inferworks.books.statement.unexplained_lines import open_questions
from inferworks.books.workspace.estimating import estimated, is_api_bill_under
from inferworks.books.workspace.gathering import charges_of, rules_of
from inferworks.books.workspace.recorded import RecordedSource
from inferworks.books.workspace.settings import Settings
from inferworks.catalog.billing import billing_of
from inferworks.meter.usage import Usage

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
        self._sorts: dict[tuple[str | None, ...], bool] = {}
        self._spans: set[tuple[int, int]] = set()
        self._files: set[str] = set()

    def look_at(self, charge: Charge) -> None:
        """Look at one line while it is imported."""
        if self._is_unexplained(charge):
            self._spans.add((charge.period_start_ns, charge.period_end_ns))
            self._files.add(charge.file_sha256)

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
            if sold:
                notes += self._questions_of(span, usages, sold)
        return notes

    def _questions_of(self, span: Span, usages: Sequence[Usage], sold: Set[Sold]) -> Iterable[str]:
        bills, currency = charges_of(self._settings, span)
        booked = estimated(self._folder, bills, usages, self._rules, span, currency).booked
        lines = [
            bill
            for bill in bills
            if bill.file_sha256 in self._files
            and span.holds(bill.period_start_ns)
            and self._is_unexplained(bill)
        ]
        unexplained = {
            line.id
            for line in lines
            if not sale_of(line, self._billing).levels(sold, self._billing)
        }
        return open_questions([*lines, *booked], unexplained, self._billing)

    def _is_unexplained(self, charge: Charge) -> bool:
        """Looked up once for all lines that are alike in what decides it: a bill has few sorts of them."""
        other = dict(charge.other)
        sort = (
            charge.provider,
            charge.issuer,
            charge.service_name,
            charge.service_category,
            charge.charge_category,
            charge.resource_type,
            charge.department,
            other.get("CommitmentDiscountStatus"),
            other.get("Tags"),
        )
        found = self._sorts.get(sort)
        if found is None:
            if len(self._sorts) == _MOST_SORTS:
                self._sorts.clear()
            found = not self._is_known(charge) and self._is_api_bill(charge)
            self._sorts[sort] = found
        return found

    def _is_known(self, charge: Charge) -> bool:
        names = (charge.provider, charge.issuer, charge.service_name)
        return self._billing.seller(*names).known
