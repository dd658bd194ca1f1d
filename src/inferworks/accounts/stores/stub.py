"""Accounts in memory: the fake that ships with the seam."""

from __future__ import annotations

import msgspec

from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer
from inferworks.accounts.key import Key
from inferworks.accounts.plan import PricePlan
from inferworks.errors import UserError


class StubAccounts:
    """`Accounts` that live as long as the object."""

    def __init__(self) -> None:
        self._customers: dict[str, Customer] = {}
        self._plans: list[PricePlan] = []
        self._credits: list[Credit] = []
        self._keys: dict[str, Key] = {}
        self._version = 0

    def customers(self) -> list[Customer]:
        """All customers, by name."""
        return sorted(self._customers.values(), key=lambda customer: customer.id)

    def plans(self) -> list[PricePlan]:
        """All price plans, by customer and effective date."""
        return sorted(self._plans, key=lambda plan: (plan.customer, plan.effective_ns))

    def credits(self) -> list[Credit]:
        """All purchases of credit, oldest first."""
        return sorted(self._credits, key=lambda credit: (credit.bought_ns, credit.id))

    def keys(self) -> list[Key]:
        """All keys, oldest first."""
        return sorted(self._keys.values(), key=lambda key: (key.created_ns, key.id))

    def add_customer(self, customer: Customer, plan: PricePlan | None = None) -> None:
        """Keep a new customer, with its first plan."""
        if customer.id in self._customers:
            raise taken(customer.id)
        self._customers[customer.id] = customer
        if plan is not None:
            self._plans.append(plan)
        self._version += 1

    def add_credit(self, credit: Credit) -> None:
        """Keep a purchase of credit."""
        self._known(credit.customer)
        self._credits.append(credit)
        self._version += 1

    def add_plan(self, plan: PricePlan) -> None:
        """Keep a new plan."""
        self._known(plan.customer)
        if any(
            (p.customer, p.effective_ns) == (plan.customer, plan.effective_ns) for p in self._plans
        ):
            raise plan_taken(plan)
        self._plans.append(plan)
        self._version += 1

    def add_key(self, key: Key) -> None:
        """Keep a new key."""
        self._known(key.customer)
        self._keys[key.id] = key
        self._version += 1

    def revoke_key(self, key_id: str, revoked_ns: int) -> Key:
        """Revoke a key."""
        if key_id not in self._keys:
            raise no_key(key_id)
        key = self._keys[key_id]
        if key.revoked_ns is None:
            key = self._keys[key_id] = msgspec.structs.replace(key, revoked_ns=revoked_ns)
            self._version += 1
        return key

    def version(self) -> int:
        """A number that differs after any change."""
        return self._version

    def _known(self, customer: str) -> None:
        if customer not in self._customers:
            raise no_customer(customer)


def taken(name: str) -> UserError:
    """The error of creating a customer twice."""
    return UserError(f"customer {name} exists already")


def plan_taken(plan: PricePlan) -> UserError:
    """The error of giving a customer a second plan from the same moment."""
    return UserError(
        f"customer {plan.customer} has a plan from that moment already; plans are never edited, so "
        "let the new one begin later"
    )


def no_customer(name: str) -> UserError:
    """The error of naming a customer that is not there."""
    return UserError(f"no customer {name}; create it with: inferworks customers create {name}")


def no_key(key_id: str) -> UserError:
    """The error of naming a key that is not there."""
    return UserError(f"no key {key_id}; list them with: inferworks keys list")
