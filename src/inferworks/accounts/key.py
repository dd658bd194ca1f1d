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

import msgspec

from inferworks.ids import CustomerId, KeyId, ProjectId, new_id
from inferworks.purpose import Purpose

PREFIX = "iw_"
DEFAULT_PROJECT = ProjectId("default")
ANY_SOURCE = "*"
"""Wildcard among the `sources` of a key: every source that no key of another customer names."""


class Key(msgspec.Struct, frozen=True):
    """Record of a key, with its permissions; never the secret."""

    id: KeyId
    secret_sha256: bytes
    hint: str
    """The secret's last four characters, for people to tell keys apart."""
    name: str
    customer: CustomerId
    project: ProjectId
    purpose: Purpose
    """Purpose of its calls unless a call says otherwise."""
    allowed: tuple[Purpose, ...]
    """The purposes a call may name in `x-inferworks-purpose`; always holds `purpose`."""
    created_ns: int
    revoked_ns: int | None = None
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


def mint(
    customer: CustomerId,
    created_ns: int,
    *,
    name: str = "",
    project: ProjectId = DEFAULT_PROJECT,
    purpose: Purpose = Purpose.SERVE_PAID,
    allowed: tuple[Purpose, ...] = (),
    reporter: bool = False,
    monitor: bool = False,
    log_content: bool = False,
    sources: tuple[str, ...] = (),
    ours: bool = False,
    tells_cost: bool = False,
) -> tuple[Key, str]:
    """A new key and its secret. The secret exists nowhere else: show it once."""
    secret = PREFIX + secrets.token_urlsafe(32)
    key = Key(
        id=KeyId(new_id("key", created_ns)),
        secret_sha256=fingerprint(secret),
        hint=secret[-4:],
        name=name,
        customer=customer,
        project=project,
        purpose=purpose,
        allowed=tuple(sorted({purpose, *allowed})),
        created_ns=created_ns,
        reporter=reporter,
        monitor=monitor,
        log_content=log_content,
        sources=tuple(sorted(set(sources))),
        ours=ours,
        tells_cost=tells_cost,
    )
    return key, secret


def fingerprint(secret: str) -> bytes:
    """Return the SHA-256 of a secret, the only part of it that is kept."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
