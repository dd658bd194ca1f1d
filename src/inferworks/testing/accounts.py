"""Conformance suite of the accounts store seam."""

from __future__ import annotations

import msgspec
import pytest

from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer, CustomerFact
from inferworks.accounts.key import ANY_SOURCE, NO_HASH, Grant, mint
from inferworks.accounts.keyring import KeyRing
from inferworks.accounts.plan import PricePlan, WithdrawnPlan, plan_at
from inferworks.accounts.stores.base import Accounts
from inferworks.errors import UserError
from inferworks.ids import CustomerId, KeyId
from inferworks.purpose import Purpose
from inferworks.testing.facts import A_PEPPER
from inferworks.testing.registry import check_registry

ACME = CustomerId("acme")


def check_accounts(accounts: Accounts) -> None:
    """Check a new, empty `accounts` against the contract of the seam."""
    assert accounts.customers() == []
    before = accounts.version()
    accounts.add_customer(Customer(ACME, 1))
    assert accounts.customers() == [Customer(ACME, 1)]
    assert accounts.version() != before
    with pytest.raises(UserError, match="exists already"):
        accounts.add_customer(Customer(ACME, 2))
    assert accounts.customers() == [Customer(ACME, 1)]
    _check_plans(accounts)
    _check_credits(accounts)
    _check_keys(accounts)
    _check_facts(accounts)
    check_registry(accounts)


def _check_facts(accounts: Accounts) -> None:
    """Check that facts stand in the order in which they were recorded, whatever their dates."""
    burns = CustomerId("burns-ltd")
    accounts.add_customer(Customer(burns, 2))
    before = accounts.version()
    renamed = CustomerFact(
        customer=ACME, effective_ns=9, recorded_ns=10, by="ann", reason="why", display_name="Acme"
    )
    merged = CustomerFact(
        customer=burns, effective_ns=5, recorded_ns=11, by="ann", merged_into=ACME
    )
    for fact in (renamed, merged):
        accounts.add_fact(fact)
    assert accounts.facts() == [renamed, merged]
    assert accounts.version() != before
    nobody = CustomerId("nobody")
    for unknown in (
        msgspec.structs.replace(renamed, customer=nobody),
        msgspec.structs.replace(merged, merged_into=nobody),
    ):
        with pytest.raises(UserError, match="no customer nobody"):
            accounts.add_fact(unknown)
    assert accounts.facts() == [renamed, merged]


def _check_plans(accounts: Accounts) -> None:
    first = PricePlan.per_million(ACME, 10, "USD", "0.50", "1.50")
    second = PricePlan.per_million(ACME, 20, "USD", "0.60", "1.80")
    accounts.add_plan(second)
    accounts.add_plan(first)
    assert accounts.plans() == [first, second]
    assert plan_at(accounts.plans(), ACME, 9) is None
    assert plan_at(accounts.plans(), ACME, 19) == first
    with pytest.raises(UserError, match="no customer nobody"):
        accounts.add_plan(PricePlan.per_token(CustomerId("nobody"), 1, "USD", 1, 1))
    with pytest.raises(UserError, match="has a plan from that moment"):
        accounts.add_plan(PricePlan.per_token(ACME, 20, "USD", 1, 1))
    assert accounts.plans() == [first, second]
    # a plan that was a mistake counts no more, and stays on record
    mended = PricePlan.per_million(ACME, 20, "USD", "0.70", "1.90")
    with pytest.raises(UserError, match="no plan from that moment"):
        accounts.replace_plan(PricePlan.per_token(ACME, 21, "USD", 1, 1), 30)
    with pytest.raises(UserError, match="this very plan"):
        accounts.replace_plan(second, 30)
    assert (accounts.plans(), accounts.withdrawn_plans()) == ([first, second], [])
    before = accounts.version()
    assert accounts.replace_plan(mended, 30) == second
    assert accounts.version() != before
    assert (accounts.plans(), accounts.withdrawn_plans()) == (
        [first, mended],
        [WithdrawnPlan(second, 30)],
    )
    assert accounts.withdraw_plan(ACME, 20, 40) == mended
    with pytest.raises(UserError, match="no plan from that moment"):
        accounts.withdraw_plan(ACME, 20, 50)
    assert accounts.plans() == [first]
    accounts.add_plan(second)
    assert accounts.plans() == [first, second]
    assert accounts.withdrawn_plans() == [WithdrawnPlan(second, 30), WithdrawnPlan(mended, 40)]


def _check_credits(accounts: Accounts) -> None:
    first, second = (Credit(name, ACME, ns, 10**30, "USD", 99) for name, ns in (("b", 5), ("a", 6)))
    before = accounts.version()
    accounts.add_credit(second)
    accounts.add_credit(first)
    assert accounts.credits() == [first, second]
    assert accounts.version() != before
    with pytest.raises(UserError, match="no customer nobody"):
        accounts.add_credit(Credit("c", CustomerId("nobody"), 1, 1, "USD"))
    refund = Credit("r", ACME, 7, -5, "USD", reason="asked for")
    accounts.add_credit(refund)
    before = accounts.version()
    voided = accounts.void_credit("a", 8, "typed twice")
    assert voided == msgspec.structs.replace(second, voided_ns=8, reason="typed twice")
    assert accounts.version() != before
    assert (accounts.credits(), accounts.voided_credits()) == ([first, refund], [voided])
    for gone in ("a", "nothing"):
        with pytest.raises(UserError, match=f"no credit {gone} that counts"):
            accounts.void_credit(gone, 9, "again")


def _check_keys(accounts: Accounts) -> None:
    assert (accounts.keys(), accounts.has_keys()) == ([], False)
    key, secret = mint(
        ACME, 5, Grant(allowed=(Purpose.SERVE_FREE,)), name="laptop", pepper=A_PEPPER
    )
    before = accounts.version()
    with pytest.raises(UserError, match="no customer nobody"):
        accounts.add_key(key, mint(CustomerId("nobody"), 5, pepper=A_PEPPER)[0])
    assert (accounts.keys(), accounts.version()) == ([], before)
    ring = KeyRing(accounts, A_PEPPER)
    assert ring.find(secret) is None
    accounts.add_key(key)
    with pytest.raises(UserError, match=f"{key.id} is there already"):
        accounts.add_key(key)
    ring.refresh()
    assert ring.find(secret) == key
    assert ring.find(secret[:-1] + "~") is None
    assert (accounts.key(key.id), accounts.secret_hash(key.id)) == (key, A_PEPPER.hash(secret))
    assert accounts.key_by_hash(key.secret_hash) == key
    unknown = KeyId("key_nothing")
    assert (accounts.key(unknown), accounts.secret_hash(unknown)) == (None, NO_HASH)
    assert accounts.key_by_hash(bytes(32)) is None
    assert secret not in repr(accounts.keys())
    assert accounts.revoke_key(key.id, 7).revoked_ns == 7
    assert accounts.revoke_key(key.id, 8).revoked_ns == 7
    assert [k.revoked_ns for k in accounts.keys()] == [7]
    # the permissions of a key are kept with it
    scoped = Grant(
        models=("gpt-*",), operations=("embeddings",), regions=("eu-",), networks=("10.0.0.0/8",)
    )
    flagged = [
        mint(ACME, 6, Grant(monitor=True), pepper=A_PEPPER)[0],
        mint(ACME, 7, Grant(log_content=True, reporter=True), pepper=A_PEPPER)[0],
        mint(ACME, 8, Grant(sources=("b", "a, é"), ours=True, tells_cost=True), pepper=A_PEPPER)[0],
        mint(ACME, 9, scoped, pepper=A_PEPPER)[0],
    ]
    accounts.add_key(*flagged)
    assert accounts.keys()[1:] == accounts.keys(ACME)[1:] == flagged
    assert accounts.keys(CustomerId("nobody")) == []
    assert accounts.has_keys()
    _check_changes(accounts, flagged[0].id)
    _check_pepper(accounts)
    _check_sources(accounts)
    for change in (accounts.revoke_key, accounts.expire_key):
        with pytest.raises(UserError, match="no key nothing"):
            change("nothing", 9)


def _check_changes(accounts: Accounts, key_id: KeyId) -> None:
    """Check that a change of a key is heard of, and that an end is only ever put forward."""
    before = accounts.version()
    assert list(accounts.changed_keys(before) or ()) == []
    for at_ns, expires_ns in ((50, 50), (60, 50), (40, 40)):
        assert accounts.expire_key(key_id, at_ns).expires_ns == expires_ns
    assert list(accounts.changed_keys(before) or ()) == [key_id]
    between = accounts.version()
    another, _ = mint(ACME, 9, pepper=A_PEPPER)
    accounts.add_key(another)
    accounts.revoke_key(another.id, 10)
    assert list(accounts.changed_keys(between) or ()) == [another.id]
    assert {*(accounts.changed_keys(before) or ())} == {key_id, another.id}
    assert accounts.changed_keys(object()) is None, "a value that `version` never returned"
    prices = accounts.prices_version()
    accounts.expire_key(another.id, 12)
    assert accounts.prices_version() == prices, "a key is no price"
    accounts.add_plan(PricePlan.per_token(ACME, 99, "USD", 1, 1))
    assert accounts.prices_version() != prices


def _check_pepper(accounts: Accounts) -> None:
    """Check that a pepper is recorded once."""
    assert accounts.pepper_id() == ""
    for _ in range(2):
        accounts.bind_pepper(A_PEPPER.id)
    with pytest.raises(UserError, match="another pepper"):
        accounts.bind_pepper("another")
    assert accounts.pepper_id() == A_PEPPER.id


def _check_sources(accounts: Accounts) -> None:
    """A source belongs to one customer, also when its key was revoked; one of all is one of them."""
    other = CustomerId("burns")
    accounts.add_customer(Customer(other, 1))
    first, secret = mint(ACME, 9, Grant(sources=("gateway-b",)), pepper=A_PEPPER)
    anything, reporter = mint(other, 10, Grant(sources=(ANY_SOURCE,)), pepper=A_PEPPER)
    accounts.add_key(first, anything)
    accounts.revoke_key(first.id, 11)
    before = accounts.version()
    for sources in (("c", "gateway-b"), (ANY_SOURCE,)):
        customer = ACME if ANY_SOURCE in sources else other
        with pytest.raises(UserError, match="belongs to customer"):
            accounts.add_key(mint(customer, 12, Grant(sources=sources), pepper=A_PEPPER)[0])
    assert accounts.version() == before
    assert (accounts.source_owner("gateway-b"), accounts.source_owner("c")) == (ACME, None)
    after, _ = mint(ACME, 13, Grant(sources=("gateway-b",)), pepper=A_PEPPER)
    accounts.add_key(after)
    ring = KeyRing(accounts, A_PEPPER)
    assert ring.unknown({CustomerId("nobody"), ACME, other}) == ["nobody"]
    assert ring.may_use(after, "gateway-b")
    assert not ring.may_use(after, "another")
    assert not ring.may_use(anything, "gateway-b")
    assert ring.may_use(anything, "another")
    assert not ring.may_use(anything, ANY_SOURCE), "it is a right, and no name"
    assert ring.find(secret) == accounts.revoke_key(first.id, 14)
    assert ring.find(reporter) == anything
