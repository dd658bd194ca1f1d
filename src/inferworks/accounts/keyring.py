"""The keys in memory, so that authenticating a call reads no database.

Another process (`inferworks keys revoke`) may change the store at any moment; `look` notices by the store's
version and is called every second, so a revoked key stops working within about a second.

A look may fail or hang: the file is locked, gone, on a disk that does not answer. Calls then go on with
the keys that are known, for most disturbances are short and no key was revoked meanwhile. This grows less
certain with time: after `stale_s` without a successful look the keys are not fresh any more, and no key
is accepted (`api.admission` answers 503) until a look succeeds. A look waits in a thread of its own,
where neither the event loop nor a full thread pool can hold it up; a timer, and not the task, marks it
late, so that a look which never returns is late too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from inferworks.accounts.key import ANY_SOURCE, Key, fingerprint
from inferworks.accounts.stores.base import AccountsReads
from inferworks.ids import CustomerId

_MOST_BY_SECRET: Final = 10_000
"""A hash is a hundredth of a small call. Secrets are in memory anyhow, in the heads of open connections."""

_log = logging.getLogger("inferworks.keys")


class KeyRing:
    """Finds a key by its secret. Revoked keys are known too, so that they can be told apart."""

    def __init__(self, accounts: AccountsReads, stale_s: float = 300.0) -> None:
        """Keys that were last looked at `stale_s` seconds ago are not fresh; 0 for never."""
        self.fresh = True
        """True while the keys may be relied on."""
        self._accounts = accounts
        self._stale_s = stale_s
        self._version: object = None
        self._by_fingerprint: Mapping[bytes, Key] = {}
        self._by_secret: dict[str, Key] = {}
        """Keys found since the last reading. Valid ones only, so that guesses do not fill memory."""
        self._owner_of: Mapping[str, CustomerId] = {}
        self.customers: frozenset[CustomerId] = frozenset()
        """The customers there are."""
        self._thread = ThreadPoolExecutor(1, "keys")
        self._timer: asyncio.TimerHandle | None = None
        self.refresh()

    def find(self, secret: str) -> Key | None:
        """Return the key with this secret."""
        by_secret = self._by_secret  # first: a refresh meanwhile leaves this one to be forgotten
        key = by_secret.get(secret)
        if key is None:
            key = self._by_fingerprint.get(fingerprint(secret))
            if key is not None and len(by_secret) < _MOST_BY_SECRET:
                by_secret[secret] = key
        return key

    def may_use(self, key: Key, source: str) -> bool:
        """Return whether `key` may report under `source`: made for it, or for all that nobody else has."""
        if source in key.sources:
            return source != ANY_SOURCE
        return (
            ANY_SOURCE in key.sources and self._owner_of.get(source, key.customer) == key.customer
        )

    def refresh(self) -> None:
        """Read the keys again if anything changed. When that fails, the known ones stay."""
        version = self._accounts.version()
        if version != self._version:
            keys = self._accounts.keys()
            self._by_fingerprint = {key.secret_sha256: key for key in keys}
            self._by_secret = {}  # after it, see `find`
            self._owner_of = {source: key.customer for key in keys for source in key.sources}
            self.customers = frozenset(customer.id for customer in self._accounts.customers())
            self._version = version

    async def look(self) -> None:
        """Refresh without blocking; then the keys are fresh. Raises the store's errors."""
        if self._timer is None:
            self._wind_up()
        await asyncio.get_running_loop().run_in_executor(self._thread, self.refresh)
        if not self.fresh:
            _log.warning("the keys can be looked at again; calls are served")
        self.fresh = True
        self._wind_up()

    def close(self) -> None:
        """Look no more."""
        self._thread.shutdown(cancel_futures=True)
        if self._timer is not None:
            self._timer.cancel()

    def _wind_up(self) -> None:
        """Count the time from now on."""
        if self._timer is not None:
            self._timer.cancel()
        if self._stale_s:
            self._timer = asyncio.get_running_loop().call_later(self._stale_s, self._grow_stale)

    def _grow_stale(self) -> None:
        self.fresh = False
        _log.error(
            "no look at the keys has succeeded for %g s; calls are refused until one does",
            self._stale_s,
        )
