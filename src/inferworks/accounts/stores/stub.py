"""Accounts in memory: the fake that ships with the seam."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer, CustomerFact
from inferworks.accounts.key import Key
from inferworks.accounts.plan import PricePlan, WithdrawnPlan
from inferworks.errors import UserError
from inferworks.ids import CustomerId


class StubAccounts:
    """`Accounts` that live as long as the object."""

    def __init__(self) -> None:
        self._customers: dict[str, Customer] = {}
        self._facts: list[CustomerFact] = []
        self._plans: list[PricePlan] = []
        self._withdrawn: list[WithdrawnPlan] = []
        self._credits: list[Credit] = []
        self._keys: dict[str, Key] = {}
        self._version = 0

    def customers(self) -> list[Customer]:
        """All customers, by name."""
        return sorted(self._customers.values(), key=lambda customer: customer.id)

    def facts(self) -> list[CustomerFact]:
        """All facts of customers, in the order in which they were recorded."""
        return list(self._facts)

    def plans(self) -> list[PricePlan]:
        """All price plans, by customer and effective date."""
        return sorted(self._plans, key=lambda plan: (plan.customer, plan.effective_ns))

    def withdrawn_plans(self) -> list[WithdrawnPlan]:
        """The plans that count no more, by customer, effective date and when they were withdrawn."""
        return sorted(
            self._withdrawn, key=lambda w: (w.plan.customer, w.plan.effective_ns, w.withdrawn_ns)
        )

    def credits(self) -> list[Credit]:
        """All purchases and refunds of credit that count, oldest first."""
        return [credit for credit in self._all_credits() if credit.voided_ns is None]

    def voided_credits(self) -> list[Credit]:
        """Credits that were mistakes, oldest first."""
        return [credit for credit in self._all_credits() if credit.voided_ns is not None]

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

    def add_fact(self, fact: CustomerFact) -> None:
        """Keep a fact for ever."""
        for customer in (fact.customer, fact.merged_into):
            if customer is not None:
                self._known(customer)
        self._facts.append(fact)
        self._version += 1

    def add_credit(self, credit: Credit) -> None:
        """Keep a purchase or refund of credit."""
        self._known(credit.customer)
        self._credits.append(credit)
        self._version += 1

    def void_credit(self, credit_id: str, voided_ns: int, reason: str) -> Credit:
        """Let a credit count no more."""
        for number, credit in enumerate(self._credits):
            if credit.id == credit_id and credit.voided_ns is None:
                voided = msgspec.structs.replace(credit, voided_ns=voided_ns, reason=reason)
                self._credits[number] = voided
                self._version += 1
                return voided
        raise no_credit(credit_id)

    def add_plan(self, plan: PricePlan) -> None:
        """Keep a new plan."""
        self._known(plan.customer)
        if self._plan(plan.customer, plan.effective_ns) is not None:
            raise plan_taken(plan)
        self._plans.append(plan)
        self._version += 1

    def replace_plan(self, plan: PricePlan, withdrawn_ns: int) -> PricePlan:
        """Put `plan` in the place of its customer's from the same moment, which is returned."""
        old = self._plan(plan.customer, plan.effective_ns)
        if old == plan:
            raise same_plan(plan)
        old = self.withdraw_plan(plan.customer, plan.effective_ns, withdrawn_ns)
        self._plans.append(plan)
        return old

    def withdraw_plan(
        self, customer: CustomerId, effective_ns: int, withdrawn_ns: int
    ) -> PricePlan:
        """Take back the plan of `customer` from `effective_ns`."""
        old = self._plan(customer, effective_ns)
        if old is None:
            raise no_plan(customer)
        self._plans.remove(old)
        self._withdrawn.append(WithdrawnPlan(old, withdrawn_ns))
        self._version += 1
        return old

    def add_key(self, key: Key) -> None:
        """Keep a new key."""
        self._known(key.customer)
        refuse_taken_sources(key, self._keys.values())
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

    def _all_credits(self) -> list[Credit]:
        return sorted(self._credits, key=lambda credit: (credit.bought_ns, credit.id))

    def _plan(self, customer: CustomerId, effective_ns: int) -> PricePlan | None:
        wanted = (customer, effective_ns)
        return next((p for p in self._plans if (p.customer, p.effective_ns) == wanted), None)

    def _known(self, customer: str) -> None:
        if customer not in self._customers:
            raise no_customer(customer)


def taken(name: str) -> UserError:
    """The error of creating a customer twice."""
    return UserError(f"customer {name} exists already")


def plan_taken(plan: PricePlan) -> UserError:
    """The error of giving a customer a second plan from the same moment."""
    return UserError(
        f"customer {plan.customer} has a plan from that moment already; replace it with: "
        f"inferworks customers price {plan.customer} --plan FILE"
    )


def same_plan(plan: PricePlan) -> UserError:
    """The error of replacing a plan by itself."""
    return UserError(f"customer {plan.customer} has this very plan from that moment already")


def no_credit(credit_id: str) -> UserError:
    """The error of voiding a credit that is not there, or counts no more."""
    return UserError(
        f"no credit {credit_id} that counts; list them with: inferworks customers credits NAME"
    )


def no_plan(customer: str) -> UserError:
    """The error of withdrawing a plan that is not there."""
    return UserError(
        f"customer {customer} has no plan from that moment; list them with: "
        f"inferworks customers plans {customer}"
    )


def refuse_taken_sources(key: Key, keys: Iterable[Key]) -> None:
    """UserError when a source of `key` belongs to another customer, by one of `keys`."""
    for other in keys:
        for source in set(key.sources) & set(other.sources):
            if other.customer != key.customer:
                raise UserError(
                    f"source {source!r} belongs to customer {other.customer}, by key {other.id}; what is "
                    "reported under it is named by it for ever, so choose another name"
                )


def no_customer(name: str) -> UserError:
    """The error of naming a customer that is not there."""
    return UserError(f"no customer {name}; create it with: inferworks customers create {name}")


def no_key(key_id: str) -> UserError:
    """The error of naming a key that is not there."""
    return UserError(f"no key {key_id}; list them with: inferworks keys list")
