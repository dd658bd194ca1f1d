"""The conformance suite of accounts finds a store that breaks the contract of the seam."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer, CustomerFact
from inferworks.accounts.key import Key
from inferworks.accounts.plan import PricePlan
from inferworks.accounts.stores.stub import StubAccounts
from inferworks.testing.accounts import check_accounts


class NeverChanges(StubAccounts):
    """Shows no version of its own."""

    def version(self) -> int:
        """Return the same number."""
        return 1


class SortsFacts(StubAccounts):
    """Has facts by their date in place of the order in which they were recorded."""

    def facts(self) -> list[CustomerFact]:
        """Return them sorted."""
        return sorted(super().facts(), key=lambda fact: fact.effective_ns)


class CountsVoided(StubAccounts):
    """Lists credits that were mistakes among the others."""

    def credits(self) -> list[Credit]:
        """Return all of them."""
        return super().credits() + super().voided_credits()


class RevokesAgain(StubAccounts):
    """Moves the moment of a revoked key."""

    def revoke_key(self, key_id: str, revoked_ns: int) -> Key:
        """Return the key as of this revocation."""
        return msgspec.structs.replace(
            super().revoke_key(key_id, revoked_ns), revoked_ns=revoked_ns
        )


class TakesAnyCustomer(StubAccounts):
    """Keeps a customer twice."""

    def add_customer(self, customer: Customer, plan: PricePlan | None = None) -> None:
        """Keep it unless it is there."""
        if customer.id not in {one.id for one in self.customers()}:
            super().add_customer(customer, plan)


class ForgetsWithdrawn(StubAccounts):
    """Has no record of plans that were mistakes."""

    def withdrawn_plans(self) -> list[Any]:
        """Return none."""
        return []


@pytest.mark.parametrize(
    "kind",
    [NeverChanges, SortsFacts, CountsVoided, TakesAnyCustomer, ForgetsWithdrawn, RevokesAgain],
)
def test_accounts_that_break_the_contract_are_found(kind: type[StubAccounts]) -> None:
    """A wrong answer fails an assertion, and a refusal that does not come fails as well."""
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check_accounts(kind())


def test_accounts_are_tested_empty() -> None:
    """Others are refused at once."""
    accounts = StubAccounts()
    check_accounts(accounts)
    with pytest.raises(AssertionError):
        check_accounts(accounts)
