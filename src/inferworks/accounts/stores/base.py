"""The accounts seam: where customers, keys and price plans are kept."""

from __future__ import annotations

from typing import Protocol

from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer
from inferworks.accounts.key import Key
from inferworks.accounts.plan import PricePlan


class Accounts(Protocol):
    """Customers, their keys and their price plans. Nothing is deleted; a key is revoked."""

    def customers(self) -> list[Customer]:
        """All customers, by name."""
        ...

    def plans(self) -> list[PricePlan]:
        """All price plans, by customer and effective date."""
        ...

    def credits(self) -> list[Credit]:
        """All purchases of credit, oldest first."""
        ...

    def keys(self) -> list[Key]:
        """All keys, oldest first, revoked ones included."""
        ...

    def add_customer(self, customer: Customer, plan: PricePlan | None = None) -> None:
        """Keep a new customer, with its first plan; UserError when the name is taken."""
        ...

    def add_plan(self, plan: PricePlan) -> None:
        """Keep a new plan; UserError when its customer is unknown or has one from that moment."""
        ...

    def add_credit(self, credit: Credit) -> None:
        """Keep a purchase of credit; UserError when its customer is unknown."""
        ...

    def add_key(self, key: Key) -> None:
        """Keep a new key; UserError when its customer is unknown."""
        ...

    def revoke_key(self, key_id: str, revoked_ns: int) -> Key:
        """Revoke the key with this id; UserError when there is none. Revoking twice changes nothing."""
        ...

    def version(self) -> int:
        """A number that differs after any change, by whichever process."""
        ...
