"""The accounts seam: storage of customers, keys and price plans."""

from __future__ import annotations

from typing import Protocol

from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer, CustomerFact
from inferworks.accounts.key import Key
from inferworks.accounts.plan import PricePlan, WithdrawnPlan
from inferworks.ids import CustomerId


class AccountsReads(Protocol):
    """Queries that a running platform repeats."""

    def version(self) -> object:
        """Value that differs after any change, by any process."""
        ...

    def customers(self) -> list[Customer]:
        """All customers, by name."""
        ...

    def facts(self) -> list[CustomerFact]:
        """All facts of customers, in the order in which they were recorded."""
        ...

    def keys(self) -> list[Key]:
        """All keys that this program can read, oldest first, revoked ones included."""
        ...

    def plans(self) -> list[PricePlan]:
        """All price plans, by customer and effective date."""
        ...


class Accounts(AccountsReads, Protocol):
    """Customers, their keys and price plans. Nothing is deleted: a key is revoked, a plan withdrawn."""

    def withdrawn_plans(self) -> list[WithdrawnPlan]:
        """The plans that count no more, by customer, effective date and when they were withdrawn."""
        ...

    def credits(self) -> list[Credit]:
        """All purchases and refunds of credit that count, oldest first."""
        ...

    def voided_credits(self) -> list[Credit]:
        """Credits that were mistakes, oldest first."""
        ...

    def add_customer(self, customer: Customer, plan: PricePlan | None = None) -> None:
        """Keep a new customer, with its first plan; UserError when the name is taken."""
        ...

    def add_fact(self, fact: CustomerFact) -> None:
        """Keep a fact for ever; UserError when its customer, or the one it is merged with, is unknown."""
        ...

    def add_plan(self, plan: PricePlan) -> None:
        """Keep a new plan; UserError when its customer is unknown or has one from that moment."""
        ...

    def replace_plan(self, plan: PricePlan, withdrawn_ns: int) -> PricePlan:
        """Put `plan` in the place of its customer's from the same moment, which is withdrawn and returned.

        UserError when there is none, or it has the same terms.
        """
        ...

    def withdraw_plan(
        self, customer: CustomerId, effective_ns: int, withdrawn_ns: int
    ) -> PricePlan:
        """Take back the plan of `customer` from `effective_ns`; UserError when there is none."""
        ...

    def add_credit(self, credit: Credit) -> None:
        """Keep a purchase or refund of credit; UserError when its customer is unknown."""
        ...

    def void_credit(self, credit_id: str, voided_ns: int, reason: str) -> Credit:
        """Let a credit count no more; UserError when there is none that does."""
        ...

    def add_key(self, key: Key) -> None:
        """Keep a new key; UserError when its customer is unknown or another has one of its sources."""
        ...

    def revoke_key(self, key_id: str, revoked_ns: int) -> Key:
        """Revoke the key with this id; UserError when there is none. Revoking twice changes nothing."""
        ...
