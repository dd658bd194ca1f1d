"""Query: the time of a statement, and the rules that it is computed under."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Query(NamedTuple):
    """A period by name, or the time between two moments, and the rules for its statement."""

    period: str | None = None
    start_ns: int | None = None
    """Start without a named period; None for the start of all records."""
    end_ns: int | None = None
    policy: str | None = None
    """A shipped policy, one of the data folder or a file; None for the one in the settings."""
    pools_path: Path | None = None
    """A file of rules for cost pools; None for those that ship."""
    provisional: str = ""
    """A sentence on why the figures are not final; empty where they are."""

    def between(self, start_ns: int | None, end_ns: int | None) -> Query:
        """Return the same query for the time between two moments."""
        return self._replace(period=None, start_ns=start_ns, end_ns=end_ns)

    def marked(self, figures: dict[str, object]) -> dict[str, object]:
        """Return `figures` as JSON values, and whether they are provisional."""
        return figures | {"provisional": bool(self.provisional)}
