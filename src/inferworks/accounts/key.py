"""API key: the caller, and the purpose of its calls.

The secret (`iw_` and 43 characters of 256 random bits) is shown once and only its SHA-256 is kept: for
a secret of full entropy a slow, salted hash would add nothing but latency to every call.

What a key may report (`POST /v1/usage/events`) is said by `sources`, `reporter`, `ours` and `tells_cost`.
A report is named by its source and an id for ever, so a key that may use a source may take its names. A
source therefore belongs to one customer: that of the first key that names it. Keys are never deleted, so
it stays theirs when the key is revoked, and another key of theirs goes on under it. (Rejected: to own a
source by having used it first, for then the names of a source that the operator is about to connect could
be taken by anybody; to prefix the key's id, for then a key could not be replaced by another.)
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

import msgspec

from inferworks.ids import CustomerId, KeyId, ProjectId, new_id
from inferworks.purpose import Purpose

PREFIX = "iw_"
DEFAULT_PROJECT = ProjectId("default")
ANY_SOURCE = "*"
"""Wildcard among the `sources` of a key: every source that no key of another customer names."""


class Grant(msgspec.Struct, frozen=True):
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


SERVING: Final = Grant()
"""Grant of a key that serves paying customers, and may do nothing else."""


class Key(Grant, frozen=True, kw_only=True):
    """Record of a key, with its permissions; never the secret."""

    id: KeyId
    secret_sha256: bytes
    hint: str
    """The secret's last four characters, for people to tell keys apart."""
    name: str
    customer: CustomerId
    project: ProjectId
    created_ns: int
    revoked_ns: int | None = None


def mint(
    customer: CustomerId,
    created_ns: int,
    grant: Grant = SERVING,
    *,
    name: str = "",
    project: ProjectId = DEFAULT_PROJECT,
) -> tuple[Key, str]:
    """Return a new key and its secret. The secret exists nowhere else: show it once."""
    secret = PREFIX + secrets.token_urlsafe(32)
    permissions = msgspec.structs.replace(
        grant,
        allowed=tuple(sorted({grant.purpose, *grant.allowed})),
        sources=tuple(sorted(set(grant.sources))),
    )
    key = Key(
        **msgspec.structs.asdict(permissions),
        id=KeyId(new_id("key", created_ns)),
        secret_sha256=fingerprint(secret),
        hint=secret[-4:],
        name=name,
        customer=customer,
        project=project,
        created_ns=created_ns,
    )
    return key, secret


def fingerprint(secret: str) -> bytes:
    """Return the SHA-256 of a secret, the only part of it that is kept."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
