"""API key: the caller, the purpose of its calls, and what they may use.

A key is `iw_`, a public id of 80 random bits in 16 characters, `_`, and 256 random bits in 43. The public
id is that of the key itself without `key_`: it tells nothing (no time, no customer, no number), may stand
in a log, and finds the record with one look into an index. The rest is shown once; what is kept is a
keyed hash of the whole (`accounts.pepper`).

Keys of before there were public ids (`iw_` and 43 characters) are found by their plain SHA-256, which is
what was kept of them; they are as long as ever and go on working. The two forms differ in length, so
neither is taken for the other.

What a key may report (`POST /v1/usage/events`) is said by `sources`, `reporter`, `ours` and `tells_cost`.
A report is named by its source and an id for ever, so a key that may use a source may take its names. A
source therefore belongs to one customer: that of the first key that names it. Keys are never deleted, so
it stays theirs when the key is revoked, and another key of theirs goes on under it. (Rejected: to own a
source by having used it first, for then the names of a source that the operator is about to connect could
be taken by anybody; to prefix the key's id, for then a key could not be replaced by another.)

What its calls may use is narrowed by its scopes (`accounts.scopes`).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Final

import msgspec

from inferworks.accounts.pepper import Pepper
from inferworks.accounts.scopes import Scopes, check_scopes
from inferworks.ids import CustomerId, KeyId, ProjectId
from inferworks.purpose import Purpose

PREFIX = "iw_"
DEFAULT_PROJECT = ProjectId("default")
NODE_SOURCE = "node:"
"""Prefix of the source of a key that ships the records of a node to its hub, and may do nothing else."""
ANY_SOURCE = "*"
"""Wildcard among the `sources` of a key: every source that no key of another customer names."""

NO_HASH: Final = bytes(32)
"""Hash of no secret, in the place of that of a key that there is not."""
_ID = "key_"
_ID_BYTES: Final = 10
_ID_END: Final = len(PREFIX) + 16
_SECRET_BYTES: Final = 32
_OLD_LENGTH: Final = len(PREFIX) + 43
_LENGTH: Final = _ID_END + 1 + 43


class Grant(Scopes, frozen=True):
    """Permissions of a key, and the purpose of its calls."""

    purpose: Purpose = Purpose.SERVE_PAID
    """Purpose of its calls unless a call says otherwise."""
    allowed: tuple[Purpose, ...] = ()
    """The purposes a call may name in `x-inferworks-purpose`; a key always has `purpose` among them."""
    reporter: bool = False
    """True if it may report for every customer there is, for every purpose, and what is `ours`."""
    monitor: bool = False
    """True if it may read the metrics (`GET /metrics`); then it may do nothing else."""
    log_content: bool = False
    """True if the prompts and answers of its calls are kept in transcripts."""
    sources: tuple[str, ...] = ()
    """The sources under which it may report usage, for its own customer and purposes; none: it may not."""
    ours: bool = False
    """True if it may report our own use (no customer)."""
    tells_cost: bool = False
    """True if its reports may state a provider's charge for a call."""

    @property
    def ships(self) -> str:
        """Name of the node whose records it ships; empty for a key that ships none."""
        named = (source for source in self.sources if source.startswith(NODE_SOURCE))
        return next(named, "").removeprefix(NODE_SOURCE)


SERVING: Final = Grant()
"""Grant of a key that serves paying customers, and may do nothing else."""


class Key(Grant, frozen=True, kw_only=True):
    """Record of a key, with its permissions; never the secret."""

    id: KeyId
    secret_hash: bytes
    """Hash of the whole key, under the pepper; the plain SHA-256 of one without a public id."""
    hint: str
    """The secret's last four characters, for people to tell keys apart."""
    name: str
    customer: CustomerId
    project: ProjectId
    created_ns: int
    revoked_ns: int | None = None
    expires_ns: int | None = None
    """Moment from which on it is refused."""


def mint(
    customer: CustomerId,
    created_ns: int,
    grant: Grant = SERVING,
    *,
    pepper: Pepper,
    name: str = "",
    project: ProjectId = DEFAULT_PROJECT,
) -> tuple[Key, str]:
    """Return a new key and its secret. The secret exists nowhere else: show it once.

    UserError when the scopes of `grant` mean nothing.
    """
    check_scopes(grant)
    public = base64.b32encode(secrets.token_bytes(_ID_BYTES)).decode().lower()
    secret = f"{PREFIX}{public}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    permissions = msgspec.structs.replace(
        grant,
        allowed=tuple(sorted({grant.purpose, *grant.allowed})),
        sources=tuple(sorted(set(grant.sources))),
    )
    key = Key(
        **msgspec.structs.asdict(permissions),
        id=KeyId(_ID + public),
        secret_hash=pepper.hash(secret),
        hint=secret[-4:],
        name=name,
        customer=customer,
        project=project,
        created_ns=created_ns,
    )
    return key, secret


def public_id(secret: str) -> KeyId | None:
    """Return the id of the key that `secret` would be; None when it has not the form of one with an id."""
    if len(secret) != _LENGTH or not secret.startswith(PREFIX) or secret[_ID_END] != "_":
        return None
    return KeyId(_ID + secret[len(PREFIX) : _ID_END])


def is_old(secret: str) -> bool:
    """Return whether `secret` has the form of a key without a public id."""
    return len(secret) == _OLD_LENGTH and secret.startswith(PREFIX)


def fingerprint(secret: str) -> bytes:
    """Return the SHA-256 of a secret, which is what is kept of keys without a public id."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
