"""An API key: who calls and for what purpose.

The secret (`iw_` and 43 characters of 256 random bits) is shown once and only its SHA-256 is kept: for
a secret of full entropy a slow, salted hash would add nothing but latency to every call.
"""

from __future__ import annotations

import hashlib
import secrets

import msgspec

from inferworks.ids import CustomerId, KeyId, ProjectId, new_id
from inferworks.purpose import Purpose

PREFIX = "iw_"
DEFAULT_PROJECT = ProjectId("default")


class Key(msgspec.Struct, frozen=True):
    """What is known of a key; never the secret."""

    id: KeyId
    secret_sha256: bytes
    hint: str
    """The secret's last four characters, for people to tell keys apart."""
    name: str
    customer: CustomerId
    project: ProjectId
    purpose: Purpose
    """What its calls are for unless a call says otherwise."""
    allowed: tuple[Purpose, ...]
    """The purposes a call may name in `x-inferworks-purpose`; always holds `purpose`."""
    created_ns: int
    revoked_ns: int | None = None
    reporter: bool = False
    """Whether it may report usage for every customer and purpose (`POST /v1/usage/events`)."""
    monitor: bool = False
    """Whether it may read the metrics (`GET /metrics`); then it may do nothing else."""
    log_content: bool = False
    """Whether the prompts and answers of its calls are kept in transcripts."""


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
) -> tuple[Key, str]:
    """A new key and its secret. The secret exists nowhere else: show it once."""
    secret = PREFIX + secrets.token_urlsafe(32)
    key = Key(
        id=KeyId(new_id("key")),
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
    )
    return key, secret


def fingerprint(secret: str) -> bytes:
    """What is kept of a secret: its SHA-256."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
