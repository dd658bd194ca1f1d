"""The accounts seam: storage of customers, keys and price plans, and of who may change them.

Every change leaves one row in the audit log, in its own transaction, and is refused where the author is a
member whose role or scope does not allow it (`accounts/roles.py`).
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Generic, NamedTuple, Protocol, TypeVar

from inferworks.accounts.audit import AuditEntry, AuditHead
from inferworks.accounts.author import Author
from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer, CustomerFact
from inferworks.accounts.key import Key
from inferworks.accounts.limit import Limit
from inferworks.accounts.limit import Scope as LimitScope
from inferworks.accounts.member import Member, MemberToken
from inferworks.accounts.organisation import Organisation, Project
from inferworks.accounts.plan import PricePlan, WithdrawnPlan
from inferworks.accounts.roles import Scope
from inferworks.ids import CustomerId, KeyId, MemberId, OrganisationId, ProjectId

T = TypeVar("T")


class Page(NamedTuple, Generic[T]):
    """Some of a list."""

    items: list[T]
    after: str | None
    """Id after which the rest of the list follows; None when there is no rest."""


class KeptAnswer(NamedTuple):
    """Answer to a request with an idempotency key, for when the request is repeated."""

    token: str
    """Id of the token that the request was made with."""
    key: str
    request_sha256: bytes
    status: int
    body: bytes
    """Body, sealed so that only the secret of the token opens it: it may show a new secret."""
    created_ns: int


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

    def secret_hash(self, key_id: KeyId) -> bytes:
        """The hash of the secret of the key with this id, `NO_HASH` without one: both in one time."""
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
        """Value that differs after any change of a plan, fact, credit or limit, or of who is limited."""
        ...

    def facts(self, customer: CustomerId | None = None) -> list[CustomerFact]:
        """All facts of customers, or those of `customer`, in the order in which they were recorded."""
        ...

    def plans(self, customer: CustomerId | None = None) -> list[PricePlan]:
        """All price plans, or those of `customer`, by customer and effective date."""
        ...

    def limits(self) -> list[Limit]:
        """All limits, by id, withdrawn ones included."""
        ...

    def credits(self, customer: CustomerId | None = None) -> list[Credit]:
        """All credit that counts, or that of `customer`, in the order of purchase."""
        ...

    def voided_credits(self, customer: CustomerId | None = None) -> list[Credit]:
        """All credit that was voided, or that of `customer`."""
        ...

    def placed_customers(self) -> dict[CustomerId, OrganisationId]:
        """Return the organisation of each customer that has one."""
        ...


class Registry(Protocol):
    """Organisations, projects and members, and the audit log of all accounts."""

    author: Author
    """Author of changes from now on."""

    def transaction(self) -> AbstractContextManager[None]:
        """Make several changes at once, all or none; one within another is part of it."""
        ...

    def organisations(self) -> list[Organisation]:
        """All organisations, by id."""
        ...

    def organisation(self, organisation: OrganisationId) -> Organisation | None:
        """Return one organisation."""
        ...

    def organisations_page(self, scope: Scope, after: str, limit: int) -> Page[Organisation]:
        """Return at most `limit` organisations within a scope, by id, from the first after `after`."""
        ...

    def add_organisation(self, organisation: Organisation) -> None:
        """Keep a new organisation; UserError when the id is taken."""
        ...

    def change_organisation(self, organisation: Organisation) -> None:
        """Replace the record of an organisation.

        UserError when there is none, or one that has customers would be closed.
        """
        ...

    def organisation_of(self, customer: CustomerId) -> OrganisationId | None:
        """Return the organisation of a customer."""
        ...

    def place_customer(self, customer: CustomerId, organisation: OrganisationId | None) -> None:
        """Put a customer into an organisation, or into none.

        UserError when either is unknown, or the organisation is closed.
        """
        ...

    def projects(self, customer: CustomerId | None = None) -> list[Project]:
        """The recorded projects of a customer, or all, by customer and id."""
        ...

    def add_project(self, project: Project) -> None:
        """Keep a new project; UserError when its customer is unknown or has it."""
        ...

    def close_project(self, customer: CustomerId, project: ProjectId, closed_ns: int) -> Project:
        """Close a project; UserError when there is none or a valid key names it. Twice changes nothing."""
        ...

    def limit(self, limit_id: str) -> Limit | None:
        """Return one limit, withdrawn or not."""
        ...

    def limits_page(self, scope: Scope, after: str, limit: int) -> Page[Limit]:
        """Return at most `limit` limits on what lies in a scope, as `organisations_page`."""
        ...

    def limited(self, scope: LimitScope) -> Scope:
        """Return the scope that what is limited lies in; without any name where there is no such key."""
        ...

    def add_limit(self, limit: Limit) -> None:
        """Keep a new limit; UserError when what it is set on is unknown."""
        ...

    def change_limit(self, limit: Limit) -> None:
        """Replace the record of a limit by its next revision, also to withdraw it.

        UserError when it is not in force, was changed meanwhile, or would become another limit.
        """
        ...

    def members(self) -> list[Member]:
        """All members, by id, withdrawn ones included."""
        ...

    def member(self, member: MemberId) -> Member | None:
        """Return one member, withdrawn or not."""
        ...

    def members_page(self, scope: Scope, after: str, limit: int) -> Page[Member]:
        """Return at most `limit` members of what lies in a scope, as `organisations_page`."""
        ...

    def add_member(self, member: Member) -> None:
        """Keep a new member; UserError when its scope is unknown, or another member has its address."""
        ...

    def change_member(self, member: Member) -> None:
        """Replace the record of a member, in the same way; UserError when there is none."""
        ...

    def member_tokens(self, member: MemberId) -> list[MemberToken]:
        """The tokens of a member, by id, those that are valid no more included."""
        ...

    def add_member_token(self, token: MemberToken) -> None:
        """Keep a new token; UserError when its member is unknown or withdrawn."""
        ...

    def revoke_member_token(self, token_id: str, revoked_ns: int) -> MemberToken:
        """Revoke a token; UserError when there is none. Twice changes nothing."""
        ...

    def find_member(self, secret_sha256: bytes) -> tuple[Member, MemberToken] | None:
        """Return the token of a secret and its member, valid or not."""
        ...

    def customer(self, customer: CustomerId) -> Customer | None:
        """Return one customer."""
        ...

    def scope_of(self, scope: Scope) -> Scope:
        """Return `scope` with the organisation of its customer."""
        ...

    def customers_page(self, scope: Scope, after: str, limit: int) -> Page[Customer]:
        """Return at most `limit` customers of a scope, by id, from the first after `after`."""
        ...

    def keys_page(self, scope: Scope, after: str, limit: int) -> Page[Key]:
        """Return at most `limit` keys of the customers of a scope, in the same way."""
        ...

    def audit(self, after: int = 0, limit: int | None = None) -> list[AuditEntry]:
        """Rows of the audit log that follow the one of number `after`."""
        ...

    def audit_head(self) -> AuditHead:
        """Return the end of the audit log, as it was written with the last row."""
        ...

    def kept_answer(self, token: str, key: str) -> KeptAnswer | None:
        """Return the answer that was kept for an idempotency key."""
        ...

    def keep_answer(self, answer: KeptAnswer, *, expired_ns: int, most: int) -> None:
        """Keep an answer; forget those made before `expired_ns`, and the token's oldest beyond `most`."""
        ...


class Accounts(KeyReads, PriceReads, Registry, Protocol):
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

    def credits(self, customer: CustomerId | None = None) -> list[Credit]:
        """All purchases and refunds of credit that count, or those of `customer`, oldest first."""
        ...

    def voided_credits(self, customer: CustomerId | None = None) -> list[Credit]:
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

        UserError when a customer is unknown or has not one of the sources, because another has it, and when
        a key may not name its project (`refuse_project`).
        """
        ...

    def revoke_key(self, key_id: str, revoked_ns: int) -> Key:
        """Revoke the key with this id; UserError when there is none. Revoking twice changes nothing."""
        ...

    def expire_key(self, key_id: str, expires_ns: int) -> Key:
        """Let a key end at a moment, unless it ends sooner; UserError when there is none."""
        ...
