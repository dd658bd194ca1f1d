"""Accounts in memory: the fake that ships with the seam."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from inferworks.accounts.audit import Event
from inferworks.accounts.author import Author, process_author
from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer, CustomerFact
from inferworks.accounts.key import NO_HASH, Key
from inferworks.accounts.plan import PricePlan, WithdrawnPlan
from inferworks.accounts.roles import WHOLE, Action
from inferworks.accounts.stores.records import no_key, plan_event
from inferworks.accounts.stores.stub_registry import StubRegistry
from inferworks.errors import UserError
from inferworks.ids import CustomerId, KeyId


class StubAccounts(StubRegistry):
    """`Accounts` that live as long as the object."""

    def __init__(self, author: Author | None = None) -> None:
        super().__init__(author or process_author())
        self._facts: list[CustomerFact] = []
        self._plans: list[PricePlan] = []
        self._withdrawn: list[WithdrawnPlan] = []
        self._credits: list[Credit] = []
        self._changed: dict[KeyId, int] = {}
        """The version in which each key was changed last."""
        self._owners: dict[str, Key] = {}
        """The first key that named each source."""
        self._pepper_id = ""

    def customers(self) -> list[Customer]:
        """All customers, by name."""
        return sorted(self._customers.values(), key=lambda customer: customer.id)

    def facts(self, customer: CustomerId | None = None) -> list[CustomerFact]:
        """All facts of customers, or those of `customer`, in the order in which they were recorded."""
        return [fact for fact in self._facts if customer in {None, fact.customer}]

    def plans(self, customer: CustomerId | None = None) -> list[PricePlan]:
        """All price plans, or those of `customer`, by customer and effective date."""
        found = (plan for plan in self._plans if customer in {None, plan.customer})
        return sorted(found, key=lambda plan: (plan.customer, plan.effective_ns))

    def withdrawn_plans(self) -> list[WithdrawnPlan]:
        """The plans that count no more, by customer, effective date and when they were withdrawn."""
        return sorted(
            self._withdrawn, key=lambda w: (w.plan.customer, w.plan.effective_ns, w.withdrawn_ns)
        )

    def credits(self, customer: CustomerId | None = None) -> list[Credit]:
        """All purchases and refunds of credit that count, or those of `customer`, oldest first."""
        return [one for one in self._all_credits(customer) if one.voided_ns is None]

    def voided_credits(self, customer: CustomerId | None = None) -> list[Credit]:
        """Credits that were mistakes, oldest first."""
        return [one for one in self._all_credits(customer) if one.voided_ns is not None]

    def keys(self, customer: CustomerId | None = None) -> list[Key]:
        """All keys, or those of `customer`, oldest first."""
        found = (key for key in self._keys.values() if customer in {None, key.customer})
        return sorted(found, key=lambda key: (key.created_ns, key.id))

    def add_customer(self, customer: Customer, plan: PricePlan | None = None) -> None:
        """Keep a new customer, with its first plan."""
        event = Event("customers create", f"customer {customer.id}", customer.id)
        with self._change(prices=True) as changes:
            changes.of(Action.CREATE_CUSTOMERS, event, WHOLE).after = customer
            if customer.id in self._customers:
                raise taken(customer.id)
            self._customers[customer.id] = customer
            if plan is not None:
                changes.of(Action.CHANGE_PLANS, plan_event("set", plan.customer)).after = plan
                self._plans.append(plan)

    def add_fact(self, fact: CustomerFact) -> None:
        """Keep a fact for ever."""
        event = Event("customers change", f"customer {fact.customer}", fact.customer)
        with self._change(prices=True) as changes:
            changes.of(Action.CHANGE_CUSTOMERS, event).after = fact
            for customer in (fact.customer, fact.merged_into):
                if customer is not None:
                    self._known(customer)
            self._facts.append(fact)

    def add_credit(self, credit: Credit) -> None:
        """Keep a purchase or refund of credit."""
        event = Event("credits add", f"credit {credit.id}", credit.customer)
        with self._change(prices=True) as changes:
            changes.of(Action.CHANGE_CREDITS, event).after = credit
            self._known(credit.customer)
            self._credits.append(credit)

    def void_credit(self, credit_id: str, voided_ns: int, reason: str) -> Credit:
        """Let a credit count no more."""
        for number, credit in enumerate(self._credits):
            if credit.id == credit_id and credit.voided_ns is None:
                voided = msgspec.structs.replace(credit, voided_ns=voided_ns, reason=reason)
                event = Event("credits void", f"credit {credit_id}", credit.customer)
                with self._change(prices=True) as changes:
                    change = changes.of(Action.CHANGE_CREDITS, event)
                    change.before, change.after = credit, voided
                    self._credits[number] = voided
                return voided
        raise no_credit(credit_id)

    def add_plan(self, plan: PricePlan) -> None:
        """Keep a new plan."""
        with self._change(prices=True) as changes:
            changes.of(Action.CHANGE_PLANS, plan_event("set", plan.customer)).after = plan
            self._known(plan.customer)
            if self._plan(plan.customer, plan.effective_ns) is not None:
                raise plan_taken(plan)
            self._plans.append(plan)

    def replace_plan(self, plan: PricePlan, withdrawn_ns: int) -> PricePlan:
        """Put `plan` in the place of its customer's from the same moment, which is returned."""
        with self._change(prices=True) as changes:
            change = changes.of(Action.CHANGE_PLANS, plan_event("replace", plan.customer))
            old = self._withdraw(plan.customer, plan.effective_ns, withdrawn_ns)
            change.before, change.after = old, plan
            if old == plan:
                raise same_plan(plan)
            self._plans.append(plan)
        return old

    def withdraw_plan(
        self, customer: CustomerId, effective_ns: int, withdrawn_ns: int
    ) -> PricePlan:
        """Take back the plan of `customer` from `effective_ns`."""
        with self._change(prices=True) as changes:
            change = changes.of(Action.CHANGE_PLANS, plan_event("withdraw", customer))
            change.before = old = self._withdraw(customer, effective_ns, withdrawn_ns)
        return old

    def _withdraw(self, customer: CustomerId, effective_ns: int, withdrawn_ns: int) -> PricePlan:
        old = self._plan(customer, effective_ns)
        if old is None:
            raise no_plan(customer)
        self._plans.remove(old)
        self._withdrawn.append(WithdrawnPlan(old, withdrawn_ns))
        return old

    def add_key(self, *keys: Key) -> None:
        """Keep new keys, all or none."""
        with self._change() as changes:
            for key in keys:
                changes.add_key(key)
                self._known(key.customer)
                self._check_project(key, self._keys.values())
                if key.id in self._keys:
                    raise same_key(key)
                for source in key.sources:
                    owner = self._owners.setdefault(source, key)
                    if owner.customer != key.customer:
                        raise source_taken(source, owner.customer, owner.id)
                self._keys[key.id] = key
                self._changed[key.id] = changes.number

    def revoke_key(self, key_id: str, revoked_ns: int) -> Key:
        """Revoke a key."""
        key = self._found(key_id)
        ends_ns = revoked_ns if key.revoked_ns is None else key.revoked_ns
        return self._put("revoke", key, revoked_ns=ends_ns)

    def expire_key(self, key_id: str, expires_ns: int) -> Key:
        """Let a key end at a moment, unless it ends sooner."""
        key = self._found(key_id)
        sooner_ns = expires_ns if key.expires_ns is None else min(expires_ns, key.expires_ns)
        return self._put("expire", key, expires_ns=sooner_ns)

    def has_keys(self) -> bool:
        """True when there was ever a key."""
        return bool(self._keys)

    def changed_keys(self, since: object) -> Collection[KeyId] | None:
        """The keys that were added or changed after `version` returned `since`."""
        if not isinstance(since, int):
            return None
        return [key_id for key_id, version in self._changed.items() if version > since]

    def secret_hash(self, key_id: KeyId) -> bytes:
        """The hash of the secret of the key with this id, `NO_HASH` without one."""
        key = self._keys.get(key_id)
        return NO_HASH if key is None else key.secret_hash

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
        with self._change() as changes:
            change = changes.note(Event("keys pepper", f"pepper {pepper_id}"))
            if self._pepper_id not in {"", pepper_id}:
                raise other_pepper()
            if not self._pepper_id:
                change.after = {"pepper": pepper_id}
            self._pepper_id = pepper_id

    def prices_version(self) -> int:
        """A number that differs after any change of a plan or a fact."""
        return self._prices_version

    def version(self) -> int:
        """A number that differs after any change."""
        return self._version

    def _all_credits(self, customer: CustomerId | None) -> list[Credit]:
        found = (one for one in self._credits if customer in {None, one.customer})
        return sorted(found, key=lambda credit: (credit.bought_ns, credit.id))

    def _plan(self, customer: CustomerId, effective_ns: int) -> PricePlan | None:
        wanted = (customer, effective_ns)
        return next((p for p in self._plans if (p.customer, p.effective_ns) == wanted), None)

    def _found(self, key_id: str) -> Key:
        key = self._keys.get(KeyId(key_id))
        if key is None:
            raise no_key(key_id)
        return key

    def _put(self, verb: str, key: Key, **changed: int) -> Key:
        event = Event(f"keys {verb}", f"key {key.id}", key.customer)
        with self._change() as changes:
            change = changes.of(Action.CHANGE_KEYS, event)
            put = msgspec.structs.replace(key, **changed)
            change.before, change.after = key, put
            if put != key:
                self._keys[key.id] = put
                self._changed[key.id] = changes.number
        return put


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
