"""What every accounts store must do."""

from __future__ import annotations

import pytest

from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer
from inferworks.accounts.key import fingerprint, mint
from inferworks.accounts.keyring import KeyRing
from inferworks.accounts.plan import PricePlan, plan_at
from inferworks.accounts.stores.base import Accounts
from inferworks.errors import UserError
from inferworks.ids import CustomerId
from inferworks.purpose import Purpose

ACME = CustomerId("acme")


def check_accounts(accounts: Accounts) -> None:
    """Check a new, empty `accounts` against the contract of the seam."""
    _check_customers(accounts)
    _check_plans(accounts)
    _check_credits(accounts)
    _check_keys(accounts)


def _check_customers(accounts: Accounts) -> None:
    assert accounts.customers() == []
    before = accounts.version()
    accounts.add_customer(Customer(ACME, 1))
    assert accounts.customers() == [Customer(ACME, 1)]
    assert accounts.version() != before
    with pytest.raises(UserError, match="exists already"):
        accounts.add_customer(Customer(ACME, 2))
    assert accounts.customers() == [Customer(ACME, 1)]


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


def _check_credits(accounts: Accounts) -> None:
    first, second = (Credit(name, ACME, ns, 10**30, "USD", 99) for name, ns in (("b", 5), ("a", 6)))
    before = accounts.version()
    accounts.add_credit(second)
    accounts.add_credit(first)
    assert accounts.credits() == [first, second]
    assert accounts.version() != before
    with pytest.raises(UserError, match="no customer nobody"):
        accounts.add_credit(Credit("c", CustomerId("nobody"), 1, 1, "USD"))


def _check_keys(accounts: Accounts) -> None:
    key, secret = mint(ACME, 5, name="laptop", allowed=(Purpose.SERVE_FREE,))
    with pytest.raises(UserError, match="no customer nobody"):
        accounts.add_key(mint(CustomerId("nobody"), 5)[0])
    ring = KeyRing(accounts)
    assert ring.find(secret) is None
    accounts.add_key(key)
    ring.refresh()
    assert ring.find(secret) == key
    assert ring.find(secret + "x") is None
    assert key.secret_sha256 == fingerprint(secret)
    assert secret not in repr(accounts.keys())
    assert accounts.revoke_key(key.id, 7).revoked_ns == 7
    assert accounts.revoke_key(key.id, 8).revoked_ns == 7
    assert [k.revoked_ns for k in accounts.keys()] == [7]
    _check_flags(accounts)
    with pytest.raises(UserError, match="no key nothing"):
        accounts.revoke_key("nothing", 9)


def _check_flags(accounts: Accounts) -> None:
    """What a key may is kept with it."""
    flagged = [mint(ACME, 6, monitor=True)[0], mint(ACME, 7, log_content=True, reporter=True)[0]]
    for key in flagged:
        accounts.add_key(key)
    assert accounts.keys()[1:] == flagged
