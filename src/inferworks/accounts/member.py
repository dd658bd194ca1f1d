"""Members: people and services that may use the admin API, and the tokens they show there.

A token (`iwm_` and 43 characters of 256 random bits) is shown once and expires; only its SHA-256 is kept,
for the reason that `key.py` gives. It is no key: the gateway knows only keys, and the admin API only
tokens.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from enum import StrEnum
from typing import Final

import msgspec

from inferworks.accounts.roles import Role, Scope
from inferworks.errors import UserError
from inferworks.ids import CustomerId, MemberId, OrganisationId, new_id
from inferworks.units import NS_PER_SECOND

PREFIX: Final = "iwm_"
_DAY_NS: Final = 86_400 * NS_PER_SECOND
DEFAULT_DAYS: Final = 90
MOST_DAYS: Final = 366
_EMAIL = re.compile(r"[^\s@]{1,64}@[^\s@]{1,189}")


class MemberKind(StrEnum):
    """Kind of member."""

    PERSON = "person"
    SERVICE = "service"


class Member(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person or a service that may use the admin API, within a scope."""

    id: MemberId
    role: Role
    created_ns: int
    kind: MemberKind = MemberKind.PERSON
    name: str = ""
    email: str = ""
    organisation: OrganisationId | None = None
    """Organisation that it is limited to."""
    customer: CustomerId | None = None
    """Customer that it is limited to."""
    withdrawn_ns: int | None = None
    """Moment from which it is a member no more, and its tokens are refused."""

    @property
    def scope(self) -> Scope:
        """Part of the installation that it sees."""
        return Scope(self.organisation, self.customer)

    def __post_init__(self) -> None:
        if not self.name and not self.email:
            raise UserError("a member has a name or an email address; give one")
        if self.email and not _EMAIL.fullmatch(self.email):
            raise UserError(f"{self.email[:80]!r} is no email address")
        if self.organisation is not None and self.customer is not None:
            raise UserError("a member is limited to an organisation or to a customer, not to both")


class MemberToken(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Record of a token; never the secret."""

    id: str
    member: MemberId
    secret_sha256: bytes
    hint: str
    """The secret's last four characters, for people to tell tokens apart."""
    created_ns: int
    expires_ns: int
    revoked_ns: int | None = None

    def is_valid(self, now_ns: int) -> bool:
        """Return whether it may be used at `now_ns`."""
        return self.revoked_ns is None and now_ns < self.expires_ns


def mint_token(
    member: MemberId, created_ns: int, days: int = DEFAULT_DAYS
) -> tuple[MemberToken, str]:
    """Return a new token and its secret. The secret exists nowhere else: show it once."""
    if not 1 <= days <= MOST_DAYS:
        raise UserError(f"a token is valid for 1 to {MOST_DAYS} days")
    secret = PREFIX + secrets.token_urlsafe(32)
    token = MemberToken(
        id=new_id("token", created_ns),
        member=member,
        secret_sha256=token_fingerprint(secret),
        hint=secret[-4:],
        created_ns=created_ns,
        expires_ns=created_ns + days * _DAY_NS,
    )
    return token, secret


def token_fingerprint(secret: str) -> bytes:
    """Return the SHA-256 of a secret, the only part of it that is kept."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
