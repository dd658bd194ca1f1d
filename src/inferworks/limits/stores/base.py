"""The seam of limits: rows of budgets, rates, slices and gateways, changed in transactions.

A store does no arithmetic: the functions of `limits.ledger` do, in its transaction. `stub.MemoryLimits` is
the fake that ships, `sqlite.SqliteLimits` serves one node, `postgres.PostgresLimits` any number. All pass
`inferworks.testing.limits.check_limits_store`, and so should yours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from inferworks.limits.ledger import Rows

T = TypeVar("T")


class LimitsStore(Protocol):
    """Store of the ledger. Used by one thread at a time."""

    def transact(self, work: Callable[[Rows], T]) -> T:
        """Run `work` in one transaction and return what it returns; durable when this returns.

        LimitsError when the store cannot be reached, and nothing is changed then, or it is not known
        whether all of it was. `work` may be run again from the beginning where two transactions were in
        each other's way, so it does nothing but read and put rows. Errors of `work` take all of it back.
        """
        ...

    def close(self) -> None:
        """Let go of everything; closing twice is harmless."""
        ...
