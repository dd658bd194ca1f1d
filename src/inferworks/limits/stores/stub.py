"""Limits in memory: the fake that ships, as strict as a database.

It serves many gateways at once, as a database does: each has a `MemoryLimits` on one `MemoryLedger`. Rows
that are written without having been locked are refused, and so is anything outside of a transaction.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from inferworks.errors import LimitsError
from inferworks.limits.ledger import Budget, Gateway, Rate, Slice, SliceState
from inferworks.limits.warnings import LimitWarning

T = TypeVar("T")


class MemoryLedger:
    """Rows of the ledger, for as many stores as there are gateways."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.now_ns = now_ns
        self.turn = threading.Lock()
        self.accounts: dict[str, Budget | Rate] = {}
        self.slices: dict[str, Slice] = {}
        self.unclosed: dict[str, Slice] = {}
        """Slices of them that are not closed."""
        self.gateways: dict[str, Gateway] = {}
        self.warnings: dict[str, LimitWarning] = {}

    def forget(self, account_id: str) -> None:
        """Forget an account with its slices and warnings."""
        self.accounts.pop(account_id, None)
        for name in [one.id for one in self.slices.values() if one.budget == account_id]:
            del self.slices[name]
            self.unclosed.pop(name, None)
        for warning in [one for one in self.warnings.values() if one.account == account_id]:
            del self.warnings[warning.id]


class MemoryLimits:
    """Store of one gateway on a ledger in memory."""

    def __init__(self, ledger: MemoryLedger | None = None) -> None:
        self._ledger = ledger or MemoryLedger()
        self.unreachable = False
        """True while every transaction fails, as when the network is cut."""
        self._closed = False

    def transact(self, work: Callable[[_MemoryRows], T]) -> T:
        """Run `work`; what it puts is kept when it returns, and all of it is dropped when it raises."""
        if self.unreachable or self._closed:
            raise LimitsError("the store of limits cannot be reached")
        ledger = self._ledger
        with ledger.turn:
            rows = _MemoryRows(ledger)
            result = work(rows)
            rows.is_over = True
            ledger.accounts |= rows.new_accounts
            ledger.slices |= rows.new_slices
            for part in rows.new_slices.values():
                ledger.unclosed[part.id] = part
                if part.state is SliceState.CLOSED:
                    del ledger.unclosed[part.id]
            ledger.gateways |= rows.new_gateways
            ledger.warnings |= rows.new_warnings
            for name in rows.removed_accounts:
                ledger.forget(name)
            for name in rows.removed_slices:
                ledger.slices.pop(name, None)
            for run in rows.removed:
                ledger.gateways.pop(run, None)
            return result

    def close(self) -> None:
        """Refuse everything from now on."""
        self._closed = True


class _MemoryRows:
    """Rows as one transaction sees them."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger
        self._locked: set[str] = set()
        self.new_accounts: dict[str, Budget | Rate] = {}
        self.new_slices: dict[str, Slice] = {}
        self.new_gateways: dict[str, Gateway] = {}
        self.new_warnings: dict[str, LimitWarning] = {}
        self.removed: set[str] = set()
        self.removed_accounts: set[str] = set()
        self.removed_slices: set[str] = set()
        self.is_over = False

    def now_ns(self) -> int:
        self._check()
        return self._ledger.now_ns()

    def accounts(self, ids: Iterable[str]) -> Mapping[str, Budget | Rate]:
        self._check()
        asked = set(ids)
        self._locked |= asked
        found = {}
        for one in sorted(asked):
            account = self.new_accounts.get(one) or self._ledger.accounts.get(one)
            if account is not None:
                found[one] = account
        return found

    def slices(self, ids: Iterable[str]) -> Mapping[str, Slice]:
        self._check()
        found = {one: self.new_slices.get(one) or self._ledger.slices.get(one) for one in ids}
        return {one: part for one, part in found.items() if part is not None}

    def slices_in(self, budget: str) -> Sequence[Slice]:
        return [one for one in self._unclosed() if one.budget == budget]

    def slices_of(self, run: str) -> Sequence[Slice]:
        return [one for one in self._unclosed() if one.run == run]

    def recalled(self, run: str) -> Mapping[str, int]:
        own = self.slices_of(run)
        accounts = self._ledger.accounts | self.new_accounts
        newest = {one.budget: _recall(accounts.get(one.budget)) for one in own}
        return {one.budget: newest[one.budget] for one in own if one.recalled < newest[one.budget]}

    def gateways(self) -> Sequence[Gateway]:
        self._check()
        every = self._ledger.gateways | self.new_gateways
        return [one for run, one in sorted(every.items()) if run not in self.removed]

    def put(self, row: Budget | Rate | Slice | Gateway) -> None:
        self._check()
        if isinstance(row, Slice):
            self.new_slices[row.id] = row
        elif isinstance(row, Gateway):
            self.new_gateways[row.run] = row
        elif row.id in self._locked:
            self.new_accounts[row.id] = row
        else:
            raise RuntimeError(f"{row.id} is written without a lock")

    def remove(self, gateway: Gateway) -> None:
        self._check()
        self.removed.add(gateway.run)

    def budget_ids(self, after: str, most: int) -> Sequence[str]:
        self._check()
        every = self._ledger.accounts | self.new_accounts
        return sorted(n for n, one in every.items() if isinstance(one, Budget) and n > after)[:most]

    def remove_account(self, account_id: str) -> None:
        self._check()
        if account_id not in self._locked:
            raise RuntimeError(f"{account_id} is removed without a lock")
        self.removed_accounts.add(account_id)

    def remove_closed(self, run: str | None, before_ns: int, most: int) -> None:
        self._check()
        found = (
            one.id
            for one in self._ledger.slices.values()
            if one.state is SliceState.CLOSED
            and one.closed_ns < before_ns
            and run in (None, one.run)
        )
        self.removed_slices |= set(islice(found, most))

    def warnings(self, ids: Iterable[str]) -> Mapping[str, LimitWarning]:
        every = self._warnings()
        return {one: every[one] for one in ids if one in every}

    def due_warnings(self, most: int) -> Sequence[LimitWarning]:
        now_ns = self.now_ns()
        due = [one for one in self._warnings().values() if 0 < one.due_ns <= now_ns]
        return sorted(due, key=lambda one: (one.due_ns, one.id))[:most]

    def newest_warnings(self, most: int) -> Sequence[LimitWarning]:
        newest = sorted(self._warnings().values(), key=lambda one: (-one.raised_ns, one.id))
        return newest[:most]

    def put_warning(self, warning: LimitWarning) -> None:
        self._check()
        self.new_warnings[warning.id] = warning

    def _warnings(self) -> dict[str, LimitWarning]:
        self._check()
        return self._ledger.warnings | self.new_warnings

    def _unclosed(self) -> Sequence[Slice]:
        self._check()
        every = self._ledger.unclosed | self.new_slices
        return [one for _, one in sorted(every.items()) if one.state is not SliceState.CLOSED]

    def _check(self) -> None:
        if self.is_over:
            raise RuntimeError("the transaction is over")


def _recall(account: Budget | Rate | None) -> int:
    return account.recall if isinstance(account, Budget) else 0
