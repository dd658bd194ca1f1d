"""The fake of the limits seam."""

from inferworks.limits.stores.stub import MemoryLedger, MemoryLimits
from inferworks.testing.limits import check_limits_store


def test_conformance() -> None:
    """The fake keeps the promises of the seam."""
    ledger = MemoryLedger()
    check_limits_store(lambda: MemoryLimits(ledger))
