"""Answers that are kept for requests with an idempotency key, so that a repeated one changes nothing twice.

Problem. A client that lost an answer cannot know whether a key was made. It repeats the request, and
should get the answer that it missed, the new secret included; but the store must not hold a secret that
can be read.

Decision. The answer is kept in the transaction of the change, so there is one exactly when there is the
other. Its body is sealed: combined with a stream of SHAKE-256 of the member's token, of which the store
has only the SHA-256, and of the request, which no two answers share. So only who shows the same token
again can open it. Answers are kept for a day, and a thousand for each token. Refusals are not kept: they
changed nothing.

Rejected. Keeping the answer without the secret (a client that lost it would have a key that nobody can
use); keeping it in memory (a restart is when clients repeat themselves).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import msgspec

from inferworks.accounts.member import MemberToken
from inferworks.accounts.stores.base import Accounts, KeptAnswer
from inferworks.api.admin.errors import AdminError
from inferworks.units import NS_PER_SECOND

KEPT_NS: Final = 86_400 * NS_PER_SECOND
MOST: Final = 1000
"""Answers kept for one token."""

Answer = tuple[int, bytes]


class Repeatable(msgspec.Struct, frozen=True):
    """A request that may be repeated: its idempotency key, the token that was shown, and its content."""

    key: str
    secret: str
    token: MemberToken
    content: bytes
    """Method, target and body."""


def once(accounts: Accounts, request: Repeatable, now_ns: int, act: Callable[[], Answer]) -> Answer:
    """Return the answer that was kept for `request`; else act, and keep the answer.

    AdminError 409 when the key was used with another content.
    """
    sha256 = hashlib.sha256(request.content).digest()
    with accounts.transaction():
        kept = accounts.kept_answer(request.token.id, request.key)
        if kept is not None and now_ns - kept.created_ns < KEPT_NS:
            if kept.request_sha256 != sha256:
                raise AdminError(
                    409,
                    "idempotency_key_used",
                    "this idempotency key was used with another request; use a new one",
                )
            return kept.status, _sealed(kept.body, request, kept.created_ns)
        status, body = act()
        sealed = _sealed(body, request, now_ns)
        answer = KeptAnswer(request.token.id, request.key, sha256, status, sealed, now_ns)
        accounts.keep_answer(answer, expired_ns=now_ns - KEPT_NS, most=MOST)
    return status, body


def _sealed(body: bytes, request: Repeatable, created_ns: int) -> bytes:
    """Return `body` combined with its stream; the same again opens it."""
    seed = msgspec.json.encode(
        ["inferworks kept answer", request.secret, request.key, created_ns, request.content]
    )
    stream = hashlib.shake_256(seed).digest(len(body))
    mixed = int.from_bytes(body, "big") ^ int.from_bytes(stream, "big")
    return mixed.to_bytes(len(body), "big")
