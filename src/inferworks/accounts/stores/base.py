"""The accounts seam: storage of customers, keys and price plans."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer, CustomerFact
from inferworks.accounts.key import Key
from inferworks.accounts.plan import PricePlan, WithdrawnPlan
from inferworks.ids import CustomerId, KeyId


class KeyReads(Protocol):
    """Queries of a gateway while it serves, each of them by an index: none reads more than it returns.

    Those by one name are asked in the event loop, about a key that was not seen lately. Every one raises
    UserError when the store cannot be read, and waits for nobody who writes.
    """

    def version(self) -> object:
        """Value that differs after any change, by any process."""
        ...

    def changed_keys(self, since: object) -> Collection[KeyId] | None:
        """The keys that were added or changed after `version` returned `since`.

        It may name more. None when it cannot tell, or there are too many: then any may have changed.
        """
        ...

    def secret_hash(self, key_id: KeyId) -> bytes | None:
        """The hash of the secret of the key with this id."""
        ...

    def key(self, key_id: KeyId) -> Key | None:
        """The key with this id; None as well when this program cannot read it."""
        ...

    def key_by_hash(self, secret_hash: bytes) -> Key | None:
        """The key with this hash of its secret."""
        ...

    def source_owner(self, source: str) -> CustomerId | None:
        """The customer to whom `source` belongs; None while no key names it."""
        ...

    def has_customer(self, customer: CustomerId) -> bool:
        """True when there is such a customer."""
        ...


class PriceReads(Protocol):
    """Queries of whoever prices calls."""

    def prices_version(self) -> object:
        """Value that differs after any change of a plan or a fact, by any process."""
        ...

    def facts(self) -> list[CustomerFact]:
        """All facts of customers, in the order in which they were recorded."""
        ...

    def plans(self) -> list[PricePlan]:
        """All price plans, by customer and effective date."""
        ...


class Accounts(KeyReads, PriceReads, Protocol):
    """Customers, their keys and price plans. Nothing is deleted: a key is revoked, a plan withdrawn."""

    def customers(self) -> list[Customer]:
        """All customers, by name."""
        ...

    def has_keys(self) -> bool:
        """True when there was ever a key."""
        ...

    def keys(self, customer: CustomerId | None = None) -> list[Key]:
        """All keys that this program can read, or those of `customer`, oldest first, also revoked ones."""
        ...

    def pepper_id(self) -> str:
        """Fingerprint of the pepper under which keys are hashed; empty for none yet."""
        ...

    def bind_pepper(self, pepper_id: str) -> None:
        """Record the pepper, once and for ever; UserError when another one is recorded."""
        ...

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

    def add_key(self, *keys: Key) -> None:
        """Keep new keys, all or none.

        UserError when a customer is unknown or has not one of the sources, because another has it.
        """
        ...

    def revoke_key(self, key_id: str, revoked_ns: int) -> Key:
        """Revoke the key with this id; UserError when there is none. Revoking twice changes nothing."""
        ...

    def expire_key(self, key_id: str, expires_ns: int) -> Key:
        """Let a key end at a moment, unless it ends sooner; UserError when there is none."""
        ...
