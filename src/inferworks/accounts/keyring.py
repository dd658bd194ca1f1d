"""The keys that a gateway has seen lately, so that authenticating a call of one reads no database.

Problem. There may be a million keys, of which a gateway sees some thousands an hour, and whoever revokes
one (`inferworks keys revoke`, in another process) expects it to end everywhere within a second. To read
all of them at the start and at each change takes seconds, gigabytes, and more of both with each customer.

Decision. A key is looked up by its public id when it comes for the first time, by an index: about 0.1 ms,
in the event loop. The keys found last (`_MOST_WARM`) stay *warm*, found by the whole secret in one look
into a dictionary. `look` asks the store every half second for the keys that changed since the version it
knew, and forgets those; they are looked up again when they come again. What changed is taken up in the
event loop, where look-ups run too: one that read the store before a change cannot put its key back after
it.

A wrong key costs what a cold one costs and leaves nothing: of what is unknown nothing is kept, so that
guesses fill no memory. A key of the right form has its hash computed whether or not there is one with its
id, and the two are compared in constant time, before anything else of the record is read: the time of an
answer does not tell which ids exist. Text that has not the form of a key is not looked up, which tells
what everybody can read here. A warm key is compared by its own text with the same text in memory, and
only when both have the same hash of 64 bits under a seed of this process, which nobody who guesses can
arrange.

A look may fail or hang: the file is locked, gone, on a disk that does not answer. Calls then go on with
the keys that are warm, for most disturbances are short and no key was revoked meanwhile. This grows less
certain with time: after `stale_s` without a successful look the keys are not fresh any more, and no key
is accepted (`api.admission` answers 503) until a look succeeds. A look waits in a thread of its own,
where neither the event loop nor a full thread pool can hold it up; a timer, and not the task, marks it
late, so that a look which never returns is late too. A key that is not warm cannot be told from a wrong
one meanwhile: it is answered with 503 as well, and while a look is under way for longer than `_LATE_S`
without asking the disk at all, which would hold up every call.

Where gateways share the accounts, the store is a mirror of them on the local disk, and `sync` brings it up
to date, beside the looks: a database that fails or hangs says nothing about the disk, so keys that are not
warm are found as ever. The keys are fresh then for `stale_s` from the last `sync`.

Rejected. All keys in memory (see above; a million took 1.5 GB); a filter of all ids, to spare the store
look-ups of wrong ones (it has to be read and kept up to date, to save a tenth of a millisecond); reading
changed keys again at once (nobody may ask for them).
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from inferworks.accounts.key import ANY_SOURCE, Key, fingerprint, is_old, public_id
from inferworks.accounts.pepper import Pepper
from inferworks.accounts.stores.base import KeyReads
from inferworks.errors import DataFolderError
from inferworks.ids import CustomerId, KeyId

_MOST_WARM: Final = 50_000
"""A warm key is about a kilobyte."""
_LATE_S: Final = 1.0

_log = logging.getLogger("inferworks.keys")


class KeyRing:
    """Finds a key by its secret. Revoked keys are known too, so that they can be told apart."""

    def __init__(
        self,
        accounts: KeyReads,
        pepper: Pepper,
        stale_s: float = 300.0,
        *,
        lookups: KeyReads | None = None,
        sync: Callable[[], object] | None = None,
        most_warm: int = _MOST_WARM,
        age_s: float = 0.0,
    ) -> None:
        """Keys that were last looked at `stale_s` seconds ago are not fresh; 0 for never.

        Cold keys are read from `lookups`, which waits for no look; the same store, unless given. `sync`
        brings the store up to what gateways share, where they do. What it has may be `age_s` old now.
        """
        self.fresh = not stale_s or age_s < stale_s
        """True while the keys may be relied on."""
        self._accounts = accounts
        self._lookups = lookups or accounts
        self._pepper = pepper
        self._stale_s = stale_s
        self._age_s = age_s
        self._most_warm = most_warm
        self._warm: dict[str, Key] = {}
        """The keys found last, by their secrets; valid secrets only."""
        self._secrets: dict[KeyId, str] = {}
        """The secret of each of them."""
        self._looks_since: float | None = None
        """The loop's time at which the look under way began."""
        self._turn = asyncio.Lock()
        """Held by the look under way."""
        self._thread = ThreadPoolExecutor(1, "keys")
        self._take_up = sync
        self._sync_thread = ThreadPoolExecutor(1, "shared-keys")
        self._timer: asyncio.TimerHandle | None = None
        self._version = self._lookups.version()

    def find(self, secret: str) -> Key | None:
        """Return the key with this secret; UserError when that cannot be known now."""
        return self._warm.get(secret) or self._find_cold(secret)

    def may_use(self, key: Key, source: str) -> bool:
        """Return whether `key` may report under `source`: made for it, or for all that nobody else has.

        UserError when that cannot be known now.
        """
        if source in key.sources:
            return source != ANY_SOURCE
        return ANY_SOURCE in key.sources and self._lookups.source_owner(source) in {
            None,
            key.customer,
        }

    def unknown(self, customers: Collection[CustomerId]) -> list[CustomerId]:
        """Return those of `customers` that there are not, sorted; UserError when that cannot be known."""
        return sorted(name for name in customers if not self._lookups.has_customer(name))

    def refresh(self) -> None:
        """Forget the keys that changed. When that fails, the known ones stay."""
        self._forget(*self._changes())

    async def look(self) -> None:
        """Refresh without blocking; the keys are fresh then, unless shared. Raises the store's errors."""
        self._start_timer()
        await self._look()
        if self._take_up is None:
            self._are_fresh()

    async def sync(self) -> None:
        """Take up what is shared, and refresh, without blocking; then the keys are fresh."""
        assert self._take_up is not None, "nothing is shared"
        self._start_timer()
        await asyncio.get_running_loop().run_in_executor(self._sync_thread, self._take_up)
        await self._look()
        self._are_fresh()

    def close(self) -> None:
        """Look no more."""
        self._thread.shutdown(cancel_futures=True)
        self._sync_thread.shutdown(cancel_futures=True)
        if self._timer is not None:
            self._timer.cancel()

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._turn:
            self._looks_since = loop.time()
            try:
                self._forget(*await loop.run_in_executor(self._thread, self._changes))
            finally:
                self._looks_since = None

    def _find_cold(self, secret: str) -> Key | None:
        key_id = public_id(secret)
        if key_id is None and not is_old(secret):
            return None
        since = self._looks_since
        if since is not None and asyncio.get_running_loop().time() - since > _LATE_S:
            raise DataFolderError("the accounts do not answer")
        if key_id is None:
            key = self._lookups.key_by_hash(fingerprint(secret))
        else:
            stored = self._lookups.secret_hash(key_id)
            is_it = hmac.compare_digest(self._pepper.hash(secret), stored)
            key = self._lookups.key(key_id) if is_it else None
        if key is not None:
            if len(self._warm) >= self._most_warm:
                oldest = next(iter(self._warm))
                del self._secrets[self._warm.pop(oldest).id]
            self._warm[secret], self._secrets[key.id] = key, secret
        return key

    def _changes(self) -> tuple[object, Collection[KeyId] | None]:
        """The store's version, and the keys that changed since the one that is known."""
        version = self._accounts.version()
        if version == self._version:
            return version, ()
        return version, self._accounts.changed_keys(self._version)

    def _forget(self, version: object, changed: Collection[KeyId] | None) -> None:
        """Take up a version of the store, in which the keys `changed` are others; None for any."""
        if changed is None:
            self._warm.clear()
            self._secrets.clear()
        else:
            for key_id in changed:
                if (secret := self._secrets.pop(key_id, None)) is not None:
                    del self._warm[secret]
        self._version = version

    def _start_timer(self) -> None:
        if self._timer is None:
            self._wind_up(self._stale_s - self._age_s)

    def _are_fresh(self) -> None:
        if not self.fresh:
            _log.warning("the keys can be looked at again; calls are served")
        self.fresh = True
        self._wind_up(self._stale_s)

    def _wind_up(self, left_s: float) -> None:
        """Let the keys grow stale after `left_s` seconds."""
        if self._timer is not None:
            self._timer.cancel()
        if self._stale_s:
            self._timer = asyncio.get_running_loop().call_later(left_s, self._grow_stale)

    def _grow_stale(self) -> None:
        self.fresh = False
        _log.error(
            "no look at the keys has succeeded for %g s; calls are refused until one does",
            self._stale_s,
        )
