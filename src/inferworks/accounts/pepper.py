"""The pepper: the secret under which the secrets of keys are hashed.

Problem. Whoever reads `accounts.db` (a copy on a laptop, a disk that was sold, a query that somebody
found a way to make) should learn nothing that helps to test a key, and whoever can write to it should not
be able to put in a key of his own.

Decision. The store has HMAC-SHA256 of each key under a pepper that is not in it: one line of text, in a
file beside it (`accounts.pepper`, for its owner only) or wherever `gateway.key_pepper` says, for all
gateways of one store the same. The store knows the pepper's own fingerprint (`id`), so a pepper that is
lost or mistaken is refused at the start with a line that says so, and not at each call as a wrong key. A
lost pepper cannot be made again: the keys hashed under it are lost with it. So the file is durable before
the store is bound to it, and a backup has it beside the accounts, unless it is kept elsewhere.

Rejected. A slow hash (a key has 256 random bits: nobody guesses it, and each cold call would pay for it);
a salt per key, for the same reason; the pepper in the store, where whoever reads the one reads the other.
"""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from inferworks.errors import ConfigError, DataFolderError
from inferworks.files import regular_file
from inferworks.folder import sync_names
from inferworks.secrets import Secret, SecretReference, resolve

_LEAST: Final = 32
"""Characters of the shortest pepper that is accepted."""


class Pepper:
    """A pepper, and its fingerprint."""

    __slots__ = ("_value", "id")

    def __init__(self, value: str) -> None:
        self._value = value.encode()
        self.id = self.hash("inferworks pepper").hex()[:16]
        """Fingerprint of the pepper, of which nothing about it can be learned."""

    def hash(self, secret: str) -> bytes:
        """Return the keyed hash of a secret, the only part of it that is kept."""
        return hmac.digest(self._value, secret.encode("utf-8", "surrogatepass"), "sha256")

    def __repr__(self) -> str:
        return f"Pepper({self.id})"


class RecordsPepper(Protocol):
    """Store that knows under which pepper its keys are hashed."""

    def pepper_id(self) -> str:
        """Fingerprint of the pepper; empty for none yet."""
        ...

    def bind_pepper(self, pepper_id: str) -> None:
        """Record it, once and for ever."""
        ...


def load_pepper(accounts: RecordsPepper, path: Path, secret: Secret | None = None) -> Pepper:
    """Return the pepper of `accounts`: `secret`, else what the file at `path` has.

    Accounts without one are given it, and the file is made if need be. ConfigError or DataFolderError
    when it is not there, or is another than that of their keys.
    """
    recorded = accounts.pepper_id()
    if secret is None:
        if not recorded:
            _make(path)
        try:
            secret = resolve(SecretReference("file", str(path)), {})
        except ConfigError as error:
            raise DataFolderError(
                f"{error}: keys are hashed under what was in it, and without it none of them is known; "
                "restore it from a backup (docs/backup.md); where gateways share the accounts, copy it "
                "from one that runs, or set gateway.key_pepper on each of them"
            ) from error
    pepper = Pepper(secret.reveal())
    if len(secret.reveal()) < _LEAST:
        raise ConfigError(f"{secret.reference} has fewer than {_LEAST} characters")
    if recorded not in {"", pepper.id}:
        raise ConfigError(
            f"{secret.reference} is another pepper than the one that the keys are hashed under; restore "
            "that one, with the accounts that it belongs to (docs/backup.md); gateways that share accounts "
            "have the same"
        )
    if not recorded:
        accounts.bind_pepper(pepper.id)
    return pepper


def _make(path: Path) -> None:
    """Have a durable file at `path`: that of a new pepper, for its owner only, unless there is one.

    The content is durable first, then its name. Both are made so for a file that is there, too: whoever
    made it may not have come so far yet, or may have died. Accounts bound to it now would outlive it.
    """
    made = path.with_name(f"{path.name}-{secrets.token_hex(8)}")
    try:
        if not path.exists():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(made, flags, 0o600), "w", encoding="ascii") as file:
                file.write(f"{secrets.token_urlsafe(32)}\n")
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):  # another process was sooner: its pepper holds
                os.link(made, path)
        with regular_file(path) as found:
            os.fsync(found.fileno())
        sync_names(path.parent)
    except OSError as error:
        raise DataFolderError(f"{path} cannot be made: {error.strerror or error}") from error
    finally:
        made.unlink(missing_ok=True)
