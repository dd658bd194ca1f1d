"""Limits of a running gateway: definitions from the accounts, and the ledger of what is used.

The ledger is `limits.db` in the data folder, or a PostgreSQL database that several gateways share
(`store.url`). What an earlier run of this gateway left open is settled first: a call that ended has spent
what its log says, one that a crash cut off what its recovered record says.
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from inferworks.accounts.key import Key
from inferworks.accounts.limit import Limit
from inferworks.accounts.limit_index import LimitIndex
from inferworks.accounts.prepaid_limit import Expiry, credited
from inferworks.accounts.stores.base import PriceReads
from inferworks.api.call_limits import CallLimits
from inferworks.api.pricing import PricingTable
from inferworks.clock import Clock
from inferworks.config import Store
from inferworks.errors import LimitsError, NewerStoreError
from inferworks.extras import required
from inferworks.folder import DataFolder
from inferworks.ids import new_id
from inferworks.limits.ledger import Gateway, in_use
from inferworks.limits.limiter import BEAT_S, Limiter, account_id
from inferworks.limits.outbox import Outbox
from inferworks.limits.slice_log import LeftLog, SliceLog, left_logs
from inferworks.limits.stores.base import LimitsStore
from inferworks.limits.stores.sqlite import SqliteLimits
from inferworks.meter.usage import Usage
from inferworks.supervise import Supervisor, ending
from inferworks.wiring.sharing import shared_url
from inferworks.wiring.webhooks import Endpoint, sending_webhooks

SHARED_PATIENCE_S: Final = 5.0
"""Seconds for which a store that gateways share may fail or hang before health names it."""
_LOOK_S = 1.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Definitions:
    """Limits in force, read again when they change."""

    def __init__(self, accounts: PriceReads) -> None:
        self._accounts = accounts
        self._version: object = None
        self.index = LimitIndex(())
        self._placed: dict[str, str] = {}
        self._expiries: list[Expiry] = []
        self.refresh()

    def refresh(self) -> None:
        """Read the limits again if anything changed. When that fails, those that are known stay."""
        version = self._accounts.prices_version()
        if version != self._version:
            placed = {str(name): str(of) for name, of in self._accounts.placed_customers().items()}
            reads = self._accounts
            limits, expiries = reads.limits(), list[Expiry]()
            if any(limit.spent_before is not None for limit in limits):
                limits, expiries = credited(limits, reads.credits(), reads.voided_credits())
            self.index, self._placed, self._expiries = LimitIndex(limits), placed, expiries
            self._version = version

    def expired(self, now_ns: int) -> list[Expiry]:
        """Return the expiries of credit by `now_ns`, the last of each limit, once after each change."""
        expiries = self._expiries  # a refresh in another thread replaces them
        past = [one for one in expiries if one.at_ns <= now_ns]
        if past:
            self._expiries = expiries[len(past) :]
        newest = {one.limit.id: one for one in past if one.limit.withdrawn_ns is None}
        return list(newest.values())

    def organisation_of(self, key: Key) -> str:
        """Return the organisation that a key's customer is in; empty for none."""
        return self._placed.get(key.customer, "")


class Left(NamedTuple):
    """Traces that earlier runs left, as far as one process is to settle them.

    Each worker settles what its predecessor left, whose calls it has closed itself: so it knows what they
    have used. The first one also settles what workers left that are no more; their calls count as all that
    they held, which is the most they can have used.
    """

    recovered: Sequence[Usage]
    """Records of calls that a crash cut off, and that this process has closed."""
    number: int
    """Number of the worker, from 1; 0 where one process is all."""
    workers: int

    def folder(self, slices: Path) -> Path:
        """Return the folder of this process's log."""
        return slices / str(self.number) if self.number else slices

    def logs(self, slices: Path) -> list[LeftLog]:
        """Return the logs that are for this process to settle."""
        found = left_logs(self.folder(slices))
        if self.number <= 1 and slices.exists():
            running = range(1, self.workers + 1) if self.number else range(0)
            others = [slices] if self.number else []
            others += [path for path in slices.iterdir() if path.is_dir()]
            for path in others:
                if not (path.name.isdecimal() and int(path.name) in running):
                    found += left_logs(path)
        return found


class Kept(NamedTuple):
    """Limits that are kept."""

    calls: CallLimits
    outbox: Outbox | None
    """Sender of warnings; None where they have no receiver, or another worker sends them."""
    definitions: Definitions

    def uses(self, most: int) -> list[tuple[str, int]]:
        """Return the `most` used limits in force, and what is used of each in millionths of its amount."""
        return self.calls.limiter.uses(most, self.definitions.index.ids)


@asynccontextmanager
async def limiting(
    store: Store,
    folder: DataFolder,
    pricing: tuple[PriceReads, PricingTable],
    clock: Clock,
    supervisor: Supervisor,
    left: Left,
    endpoint: Endpoint | None = None,
) -> AsyncIterator[Kept]:
    """Keep limits while the block runs, settle what earlier runs `left`, and warn `endpoint`."""
    accounts, table = pricing
    own = left.folder(folder.slices)
    ledger = limits_store(store, folder)
    with closing(ledger):
        await asyncio.to_thread(_refuse_newer, ledger)
        place = f"{socket.gethostname()}:{folder.path.absolute()}"
        gateway = Gateway(new_id("run"), place, boot_id(), 0)
        logs = await asyncio.to_thread(left.logs, folder.slices)
        log = SliceLog(own, gateway.run, gateway.boot)
        limiter = Limiter(ledger, log, gateway, clock, sends_warnings=endpoint is not None)
        definitions = Definitions(accounts)
        limits = CallLimits(limiter, lambda: definitions.index, table, definitions.organisation_of)
        spent = {usage.call_id: limits.used(usage) for usage in left.recovered}

        expired: list[Expiry] = []

        async def settle_left() -> None:
            nonlocal logs
            if logs:
                await limiter.settle_left(logs, spent)
                logs = []

        async def beat() -> None:
            await settle_left()
            nonlocal expired
            expired += definitions.expired(clock.now_ns())
            if expired:
                await limiter.write_off([(one.limit, one.least) for one in expired])
                expired = []
            if definitions.index or limiter.is_in_use:
                await limiter.beat()

        try:
            # Where the store is away, calls without limits are served, and the beat goes on.
            with suppress(LimitsError):
                await settle_left()
            look = partial(asyncio.to_thread, definitions.refresh)
            looks = supervisor.every(_LOOK_S, "limits", look)
            beats = supervisor.every(BEAT_S, "limits-store", beat, patience_s=SHARED_PATIENCE_S)
            async with ending(looks), ending(beats), AsyncExitStack() as stack:
                outbox = None
                if endpoint is not None and left.number <= 1:
                    own_store = limits_store(store, folder)
                    sending = sending_webhooks(endpoint, own_store, clock, supervisor)
                    outbox = await stack.enter_async_context(sending)
                yield Kept(limits, outbox, definitions)
        finally:
            await limiter.close()


def _refuse_newer(ledger: LimitsStore) -> None:
    """Raise NewerStoreError when a newer version of this program has laid the store out."""
    try:
        ledger.transact(lambda rows: rows.now_ns())
    except LimitsError as error:  # one that is away is no reason not to start
        if isinstance(error.__cause__, NewerStoreError):
            raise NewerStoreError(str(error)) from error


def boot_id() -> str:
    """Return the id of this start of the machine; one that no other has where the system tells none.

    Then what a dead run left is forfeited, as after a power failure.
    """
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else uuid.uuid4().hex


def limits_store(store: Store, folder: DataFolder) -> LimitsStore:
    """Return the store of the ledger; ConfigError when it is none that there is."""
    url = shared_url(store)
    if not url:
        return SqliteLimits(folder.limits)
    module = required("inferworks.limits.stores.postgres", "postgres", "store.url")
    made: LimitsStore = module.PostgresLimits(url)
    return made


class LimitsUse:
    """Use of limits, as the ledger has it."""

    def __init__(self, store: Store, folder: DataFolder) -> None:
        self._store = store
        self._folder = folder

    def in_use(self, limits: Sequence[Limit], at_ns: int) -> dict[str, int]:
        """Return what is taken of `limits` in the windows of `at_ns`, by id: used, or held by gateways.

        LimitsError when the ledger cannot be reached.
        """
        names = {limit.id: account_id(limit, limit.window_ns(at_ns)[0]) for limit in limits}
        with closing(limits_store(self._store, self._folder)) as store:
            found = store.transact(partial(in_use, names=names.values()))
        return {limit_id: found.get(name, 0) for limit_id, name in names.items()}
