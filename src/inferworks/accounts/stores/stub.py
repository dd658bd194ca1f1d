"""Accounts in memory: the fake that ships with the seam."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer, CustomerFact
from inferworks.accounts.key import Key
from inferworks.accounts.plan import PricePlan, WithdrawnPlan
from inferworks.errors import UserError
from inferworks.ids import CustomerId, KeyId


class StubAccounts:
    """`Accounts` that live as long as the object."""

    def __init__(self) -> None:
        self._customers: dict[str, Customer] = {}
        self._facts: list[CustomerFact] = []
        self._plans: list[PricePlan] = []
        self._withdrawn: list[WithdrawnPlan] = []
        self._credits: list[Credit] = []
        self._keys: dict[KeyId, Key] = {}
        self._changed: dict[KeyId, int] = {}
        """The version in which each key was changed last."""
        self._owners: dict[str, Key] = {}
        """The first key that named each source."""
        self._pepper_id = ""
        self._version = 0
        self._prices_version = 0

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

    def keys(self, customer: CustomerId | None = None) -> list[Key]:
        """All keys, or those of `customer`, oldest first."""
        found = (key for key in self._keys.values() if customer in {None, key.customer})
        return sorted(found, key=lambda key: (key.created_ns, key.id))

    def add_customer(self, customer: Customer, plan: PricePlan | None = None) -> None:
        """Keep a new customer, with its first plan."""
        if customer.id in self._customers:
            raise taken(customer.id)
        self._customers[customer.id] = customer
        if plan is not None:
            self._plans.append(plan)
            self._prices_version += 1
        self._version += 1

    def add_fact(self, fact: CustomerFact) -> None:
        """Keep a fact for ever."""
        for customer in (fact.customer, fact.merged_into):
            if customer is not None:
                self._known(customer)
        self._facts.append(fact)
        self._version += 1
        self._prices_version += 1

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
        self._prices_version += 1

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
        self._prices_version += 1
        return old

    def add_key(self, *keys: Key) -> None:
        """Keep new keys, all or none."""
        found, owners = dict(self._keys), dict(self._owners)
        for key in keys:
            self._known(key.customer)
            if key.id in found:
                raise same_key(key)
            for source in key.sources:
                owner = owners.setdefault(source, key)
                if owner.customer != key.customer:
                    raise source_taken(source, owner.customer, owner.id)
            found[key.id] = key
        self._version += 1
        self._changed |= dict.fromkeys(found.keys() - self._keys.keys(), self._version)
        self._keys, self._owners = found, owners

    def revoke_key(self, key_id: str, revoked_ns: int) -> Key:
        """Revoke a key."""
        key = self._found(key_id)
        return self._put(key, revoked_ns=revoked_ns) if key.revoked_ns is None else key

    def expire_key(self, key_id: str, expires_ns: int) -> Key:
        """Let a key end at a moment, unless it ends sooner."""
        key = self._found(key_id)
        is_sooner = key.expires_ns is None or expires_ns < key.expires_ns
        return self._put(key, expires_ns=expires_ns) if is_sooner else key

    def has_keys(self) -> bool:
        """True when there was ever a key."""
        return bool(self._keys)

    def changed_keys(self, since: object) -> Collection[KeyId] | None:
        """The keys that were added or changed after `version` returned `since`."""
        if not isinstance(since, int):
            return None
        return [key_id for key_id, version in self._changed.items() if version > since]

    def secret_hash(self, key_id: KeyId) -> bytes | None:
        """The hash of the secret of the key with this id."""
        key = self._keys.get(key_id)
        return None if key is None else key.secret_hash

    def key(self, key_id: KeyId) -> Key | None:
        """The key with this id."""
        return self._keys.get(key_id)

    def key_by_hash(self, secret_hash: bytes) -> Key | None:
        """The key with this hash of its secret."""
        return next((k for k in self._keys.values() if k.secret_hash == secret_hash), None)

    def source_owner(self, source: str) -> CustomerId | None:
        """The customer to whom `source` belongs."""
        owner = self._owners.get(source)
        return None if owner is None else owner.customer

    def has_customer(self, customer: CustomerId) -> bool:
        """True when there is such a customer."""
        return customer in self._customers

    def pepper_id(self) -> str:
        """Fingerprint of the pepper under which keys are hashed; empty for none yet."""
        return self._pepper_id

    def bind_pepper(self, pepper_id: str) -> None:
        """Record the pepper, once and for ever."""
        if self._pepper_id not in {"", pepper_id}:
            raise other_pepper()
        self._pepper_id = pepper_id

    def prices_version(self) -> int:
        """A number that differs after any change of a plan or a fact."""
        return self._prices_version

    def version(self) -> int:
        """A number that differs after any change."""
        return self._version

    def _all_credits(self) -> list[Credit]:
        return sorted(self._credits, key=lambda credit: (credit.bought_ns, credit.id))

    def _plan(self, customer: CustomerId, effective_ns: int) -> PricePlan | None:
        wanted = (customer, effective_ns)
        return next((p for p in self._plans if (p.customer, p.effective_ns) == wanted), None)

    def _found(self, key_id: str) -> Key:
        key = self._keys.get(KeyId(key_id))
        if key is None:
            raise no_key(key_id)
        return key

    def _put(self, key: Key, **changes: int) -> Key:
        changed = self._keys[key.id] = msgspec.structs.replace(key, **changes)
        self._version += 1
        self._changed[key.id] = self._version
        return changed

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


def source_taken(source: str, customer: str, key_id: str) -> UserError:
    """The error of naming a source that belongs to another customer."""
    return UserError(
        f"source {source!r} belongs to customer {customer}, by key {key_id}; what is "
        "reported under it is named by it for ever, so choose another name"
    )


def same_key(key: Key) -> UserError:
    """The error of keeping a key twice."""
    return UserError(f"{key.id} is there already")


def other_pepper() -> UserError:
    """The error of recording a second pepper."""
    return UserError("keys are hashed under another pepper than this already")


def no_customer(name: str) -> UserError:
    """The error of naming a customer that is not there."""
    return UserError(f"no customer {name}; create it with: inferworks customers create {name}")


def no_key(key_id: str) -> UserError:
    """The error of naming a key that is not there."""
    return UserError(f"no key {key_id}; list them with: inferworks keys list")
