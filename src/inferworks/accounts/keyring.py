"""The keys in memory, so that authenticating a call reads no database.

Another process (`inferworks keys revoke`) may change the store at any moment; `refresh` notices by the
store's version and is called every second, so a revoked key stops working within about a second.
"""

from __future__ import annotations

from inferworks.accounts.key import Key, fingerprint
from inferworks.accounts.stores.base import Accounts


class KeyRing:
    """Finds a key by its secret. Revoked keys are known too, so that they can be told apart."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._version: int | None = None
        self._by_fingerprint: dict[bytes, Key] = {}
        self.refresh()

    def find(self, secret: str) -> Key | None:
        """The key whose secret this is."""
        return self._by_fingerprint.get(fingerprint(secret))

    def refresh(self) -> None:
        """Read the keys again if anything changed."""
        version = self._accounts.version()
        if version != self._version:
            self._by_fingerprint = {key.secret_sha256: key for key in self._accounts.keys()}
            self._version = version
