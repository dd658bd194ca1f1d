"""Answers that are kept for repeated requests: for whom, for how long, and unreadable to others."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from inferworks.accounts.customer import Customer
from inferworks.accounts.member import mint_token
from inferworks.accounts.stores.stub import StubAccounts
from inferworks.api.admin.errors import AdminError
from inferworks.api.admin.once import KEPT_NS, MOST, Answer, Repeatable, once
from inferworks.ids import CustomerId, MemberId

TOKEN, SECRET = mint_token(MemberId("member_a"), 1)
REQUEST = Repeatable("deploy-7", SECRET, TOKEN, b"POST /admin/v1/keys\n{}")
BODY = b'{"key":"iw_secret"}'


class Acts:
    """Function that is counted."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> Answer:
        """Answer with the body."""
        self.count += 1
        return 201, BODY


def test_the_same_request_is_acted_on_once_a_day() -> None:
    """Its answer comes back to the byte; after a day the key is free again."""
    accounts, act = StubAccounts(), Acts()
    for now_ns in (10, 11, 10 + KEPT_NS - 1):
        assert once(accounts, REQUEST, now_ns, act) == (201, BODY)
    assert act.count == 1
    assert once(accounts, REQUEST, 10 + KEPT_NS, act) == (201, BODY)
    assert act.count == 2


def test_another_request_with_the_key_is_refused() -> None:
    """Refused, and not acted on; the first answer stays."""
    accounts, act = StubAccounts(), Acts()
    once(accounts, REQUEST, 10, act)
    other = replace(REQUEST, content=REQUEST.content + b" ")
    with pytest.raises(AdminError) as refused:
        once(accounts, other, 11, act)
    assert (refused.value.status, refused.value.code) == (409, "idempotency_key_used")
    assert once(accounts, REQUEST, 12, act) == (201, BODY)
    assert act.count == 1


def test_what_is_kept_opens_with_the_token_alone() -> None:
    """Neither the body nor a part of it can be read, and no two answers are sealed alike."""
    accounts, act = StubAccounts(), Acts()
    once(accounts, REQUEST, 10, act)
    once(accounts, replace(REQUEST, key="another"), 10, act)
    kept = [accounts.kept_answer(TOKEN.id, key) for key in (REQUEST.key, "another")]
    bodies = [one.body for one in kept if one is not None]
    assert len(bodies) == 2
    assert bodies[0] != bodies[1]
    assert all(b"secret" not in body and len(body) == len(BODY) for body in bodies)
    assert SECRET not in repr(kept)
    stranger = replace(REQUEST, secret="iwm_" + "A" * 43)
    assert once(accounts, stranger, 11, act)[1] != BODY


def test_an_act_that_fails_keeps_nothing() -> None:
    """Neither an answer nor what was changed until then."""
    accounts, act = StubAccounts(), Acts()

    def fails() -> Answer:
        accounts.add_customer(Customer(CustomerId("acme"), 1))
        raise AdminError(422, "refused", "no")

    with pytest.raises(AdminError):
        once(accounts, REQUEST, 10, fails)
    assert accounts.customers() == []
    once(accounts, REQUEST, 11, act)
    assert act.count == 1


def test_only_so_many_answers_are_kept_for_a_token() -> None:
    """The oldest goes; one of another token stays."""
    accounts, act = StubAccounts(), Acts()
    other = replace(REQUEST, token=replace(TOKEN, id="token_b"))
    once(accounts, other, 1, act)
    for number in range(MOST + 1):
        once(accounts, replace(REQUEST, key=f"k{number}"), 10 + number, act)
    assert accounts.kept_answer(TOKEN.id, "k0") is None
    assert accounts.kept_answer(TOKEN.id, "k1") is not None
    assert accounts.kept_answer("token_b", REQUEST.key) is not None
