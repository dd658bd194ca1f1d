"""Members and their tokens: what is refused, what is kept, and when a token is valid."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from inferworks.accounts.key import PREFIX as KEY_PREFIX
from inferworks.accounts.member import MOST_DAYS, PREFIX, Member, mint_token, token_fingerprint
from inferworks.accounts.roles import Role
from inferworks.errors import UserError
from inferworks.ids import CustomerId, MemberId, OrganisationId

DAY_NS = 86_400 * 10**9


def test_a_token_is_kept_as_its_hash_and_expires() -> None:
    """The record has no part of the secret but four characters, and ends at its moment exactly."""
    token, secret = mint_token(MemberId("member_a"), 5, days=2)
    assert token.secret_sha256 == token_fingerprint(secret)
    assert (secret.startswith(PREFIX), secret.startswith(KEY_PREFIX)) == (True, False)
    assert secret[:-4] not in repr(token)
    assert len(secret) == len(PREFIX) + 43
    assert token.is_valid(5 + 2 * DAY_NS - 1)
    assert not token.is_valid(5 + 2 * DAY_NS)
    assert not replace(token, revoked_ns=6).is_valid(7)


@pytest.mark.parametrize("days", [0, -1, MOST_DAYS + 1])
def test_a_token_lives_for_a_bounded_time(days: int) -> None:
    """None is valid for ever."""
    with pytest.raises(UserError, match="1 to 366 days"):
        mint_token(MemberId("member_a"), 5, days=days)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "a name or an email"),
        ({"email": "no address"}, "is no email address"),
        ({"email": "a@b\nbcc: c@d"}, "is no email address"),
        (
            {"name": "x", "organisation": OrganisationId("g"), "customer": CustomerId("c")},
            "not to both",
        ),
    ],
)
def test_a_member_that_means_nothing_is_refused(fields: dict[str, str], words: str) -> None:
    """A member has something to be known by, and one scope."""
    with pytest.raises(UserError, match=words):
        Member(id=MemberId("member_a"), role=Role.OWNER, created_ns=1, **fields)  # type: ignore[arg-type]
