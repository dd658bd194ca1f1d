"""Organisations, projects and members in memory, and the audit log: half of the fake of accounts."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from inferworks.accounts.audit import EMPTY, AuditEntry, AuditHead, Event
from inferworks.accounts.author import Author
from inferworks.accounts.customer import Customer
from inferworks.accounts.key import Key
from inferworks.accounts.limit import Limit, ScopeKind
from inferworks.accounts.limit import Scope as LimitScope
from inferworks.accounts.member import Member, MemberToken
from inferworks.accounts.organisation import Organisation, Project, refuse_project
from inferworks.accounts.roles import Action, Scope
from inferworks.accounts.stores.base import KeptAnswer, Page
from inferworks.accounts.stores.records import (
    Changes,
    limit_event,
    no_customer,
    no_key,
    no_member,
    no_organisation,
    no_project,
    no_token,
    organisation_in_use,
    organisation_taken,
    project_in_use,
    project_taken,
    refuse_closed,
    refuse_revision,
    refuse_taken_email,
)
from inferworks.ids import CustomerId, KeyId, MemberId, OrganisationId, ProjectId

T = TypeVar("T")


class StubRegistry:
    """`Registry` that lives as long as the object."""

    def __init__(self, author: Author) -> None:
        self.author = author
        self._customers: dict[str, Customer] = {}
        self._keys: dict[KeyId, Key] = {}
        self._organisations: dict[str, Organisation] = {}
        self._placed: dict[str, OrganisationId] = {}
        self._projects: dict[tuple[str, str], Project] = {}
        self._members: dict[str, Member] = {}
        self._tokens: dict[str, MemberToken] = {}
        self._limits: dict[str, Limit] = {}
        self._answers: dict[tuple[str, str], KeptAnswer] = {}
        self._audit: list[AuditEntry] = []
        self._version = 0
        self._prices_version = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make several changes at once, all or none."""
        before = {name: copy.copy(value) for name, value in vars(self).items() if name != "author"}
        try:
            yield
        except BaseException:
            vars(self).update(before)
            raise

    def organisations(self) -> list[Organisation]:
        """All organisations, by id."""
        return [self._organisations[name] for name in sorted(self._organisations)]

    def organisation(self, organisation: OrganisationId) -> Organisation | None:
        """Return one organisation."""
        return self._organisations.get(organisation)

    def organisations_page(self, scope: Scope, after: str, limit: int) -> Page[Organisation]:
        """Return at most `limit` organisations within a scope, by id, from the first after `after`."""
        return _page(self._organisations, after, limit,
                     lambda one: scope.holds(Scope(organisation=one.id)))  # fmt: skip

    def add_organisation(self, organisation: Organisation) -> None:
        """Keep a new organisation."""
        event = Event("organisations create", f"organisation {organisation.id}")
        with self._change() as changes:
            change = changes.of(Action.CHANGE_ORGANISATIONS, event)
            change.after = organisation
            if organisation.id in self._organisations:
                raise organisation_taken(organisation)
            self._organisations[organisation.id] = organisation

    def change_organisation(self, organisation: Organisation) -> None:
        """Replace the record of an organisation."""
        event = Event("organisations change", f"organisation {organisation.id}")
        with self._change() as changes:
            change = changes.of(Action.CHANGE_ORGANISATIONS, event)
            change.before, change.after = self._organisation(organisation.id), organisation
            count = list(self._placed.values()).count(organisation.id)
            if organisation.closed_ns is not None and count:
                raise organisation_in_use(organisation, count)
            self._organisations[organisation.id] = organisation

    def organisation_of(self, customer: CustomerId) -> OrganisationId | None:
        """Return the organisation of a customer."""
        return self._placed.get(customer)

    def place_customer(self, customer: CustomerId, organisation: OrganisationId | None) -> None:
        """Put a customer into an organisation, or into none."""
        event = Event("organisations place", f"customer {customer}", customer)
        with self._change(prices=True) as changes:
            change = changes.of(Action.CHANGE_ORGANISATIONS, event)
            self._known(customer)
            change.before, change.after = (
                None if one is None else {"organisation": one}
                for one in (self._placed.pop(customer, None), organisation)
            )
            if organisation is not None:
                refuse_closed(self._organisation(organisation))
                self._placed[customer] = organisation

    def placed_customers(self) -> dict[CustomerId, OrganisationId]:
        """Return the organisation of each customer that has one."""
        return {CustomerId(name): place for name, place in self._placed.items()}

    def limits(self) -> list[Limit]:
        """All limits, by id."""
        return [self._limits[name] for name in sorted(self._limits)]

    def limit(self, limit_id: str) -> Limit | None:
        """Return one limit."""
        return self._limits.get(limit_id)

    def limits_page(self, scope: Scope, after: str, limit: int) -> Page[Limit]:
        """Return at most `limit` limits on what lies in a scope."""
        return _page(self._limits, after, limit, lambda one: scope.holds(self.limited(one.scope)))

    def limited(self, scope: LimitScope) -> Scope:
        """Return the scope that what is limited lies in."""
        kind, name = scope
        if kind is ScopeKind.ORGANISATION:
            return Scope(organisation=OrganisationId(name))
        if kind is not ScopeKind.KEY:
            return self._scope(CustomerId(name.partition("/")[0]))
        key = self._keys.get(KeyId(name))
        return self._scope(CustomerId("") if key is None else key.customer)

    def add_limit(self, limit: Limit) -> None:
        """Keep a new limit."""
        with self._change(prices=True) as changes:
            changes.of(Action.CHANGE_LIMITS, limit_event("create", limit)).after = limit
            kind, name = limit.scope
            if kind is ScopeKind.ORGANISATION:
                refuse_closed(self._organisation(OrganisationId(name)))
            elif kind is ScopeKind.KEY and name not in self._keys:
                raise no_key(name)
            elif kind is not ScopeKind.KEY:
                self._known(name.partition("/")[0])
            self._limits[limit.id] = limit

    def change_limit(self, limit: Limit) -> None:
        """Replace the record of a limit by its next revision."""
        with self._change(prices=True) as changes:
            change = changes.of(Action.CHANGE_LIMITS, limit_event("change", limit))
            change.before, change.after = self._limits.get(limit.id), limit
            refuse_revision(self._limits.get(limit.id), limit)
            self._limits[limit.id] = limit

    def projects(self, customer: CustomerId | None = None) -> list[Project]:
        """The recorded projects of a customer, or all, by customer and id."""
        found = (self._projects[name] for name in sorted(self._projects))
        return [one for one in found if customer in (None, one.customer)]

    def add_project(self, project: Project) -> None:
        """Keep a new project."""
        event = Event("projects create", f"project {project.id}", project.customer)
        with self._change() as changes:
            change = changes.of(Action.CHANGE_PROJECTS, event)
            change.after = project
            self._known(project.customer)
            if (project.customer, project.id) in self._projects:
                raise project_taken(project)
            self._projects[project.customer, project.id] = project

    def close_project(self, customer: CustomerId, project: ProjectId, closed_ns: int) -> Project:
        """Close a project."""
        event = Event("projects close", f"project {project}", customer)
        with self._change() as changes:
            change = changes.of(Action.CHANGE_PROJECTS, event)
            old = self._projects.get((customer, project))
            if old is None:
                raise no_project(customer, project)
            change.before, change.after = old, old
            if old.closed_ns is not None:
                return old
            valid = [one for one in self._keys.values() if one.revoked_ns is None]
            count = [(one.customer, one.project) for one in valid].count((customer, project))
            if count:
                raise project_in_use(old, count)
            change.after = new = msgspec.structs.replace(old, closed_ns=closed_ns)
            self._projects[customer, project] = new
        return new

    def members(self) -> list[Member]:
        """All members, by id."""
        return [self._members[name] for name in sorted(self._members)]

    def member(self, member: MemberId) -> Member | None:
        """Return one member."""
        return self._members.get(member)

    def members_page(self, scope: Scope, after: str, limit: int) -> Page[Member]:
        """Return at most `limit` members of what lies in a scope."""
        return _page(self._members, after, limit,
                     lambda one: scope.holds(self.scope_of(one.scope)))  # fmt: skip

    def add_member(self, member: Member) -> None:
        """Keep a new member."""
        event = Event("members create", f"member {member.id}", member.customer or "")
        with self._change() as changes:
            change = changes.of(Action.CHANGE_MEMBERS, event, self.scope_of(member.scope))
            change.after = member
            self._check_member(member)
            self._members[member.id] = member

    def change_member(self, member: Member) -> None:
        """Replace the record of a member."""
        event = Event("members change", f"member {member.id}", member.customer or "")
        old, subject = self._member(member.id), self.scope_of(member.scope)
        with self._change() as changes:
            change = changes.of(Action.CHANGE_MEMBERS, event, self.scope_of(old.scope))
            changes.check(Action.CHANGE_MEMBERS, event, subject)
            change.before, change.after = old, member
            self._check_member(member)
            self._members[member.id] = member

    def member_tokens(self, member: MemberId) -> list[MemberToken]:
        """The tokens of a member, by id."""
        found = (self._tokens[name] for name in sorted(self._tokens))
        return [token for token in found if token.member == member]

    def add_member_token(self, token: MemberToken) -> None:
        """Keep a new token."""
        member = self._member(token.member)
        event = Event("members token", f"token {token.id}", member.customer or "")
        with self._change() as changes:
            change = changes.of(Action.CHANGE_MEMBERS, event, self.scope_of(member.scope))
            if member.withdrawn_ns is not None:
                raise no_member(token.member)
            change.after = self._tokens[token.id] = token

    def revoke_member_token(self, token_id: str, revoked_ns: int) -> MemberToken:
        """Revoke a token."""
        old = self._tokens.get(token_id)
        if old is None:
            raise no_token(token_id)
        scope = self._member(old.member).scope
        event = Event("members revoke", f"token {token_id}", scope.customer or "")
        with self._change() as changes:
            change = changes.of(Action.CHANGE_MEMBERS, event, self.scope_of(scope))
            change.before = change.after = new = old
            if old.revoked_ns is None:
                change.after = new = msgspec.structs.replace(old, revoked_ns=revoked_ns)
                self._tokens[token_id] = new
        return new

    def find_member(self, secret_sha256: bytes) -> tuple[Member, MemberToken] | None:
        """Return the token of a secret and its member."""
        for token in self._tokens.values():
            if token.secret_sha256 == secret_sha256:
                return self._member(token.member), token
        return None

    def customer(self, customer: CustomerId) -> Customer | None:
        """Return one customer."""
        return self._customers.get(customer)

    def customers_page(self, scope: Scope, after: str, limit: int) -> Page[Customer]:
        """Return at most `limit` customers of a scope, by id, from the first after `after`."""
        return _page(self._customers, after, limit, lambda one: scope.holds(self._scope(one.id)))

    def keys_page(self, scope: Scope, after: str, limit: int) -> Page[Key]:
        """Return at most `limit` keys of the customers of a scope, in the same way."""
        return _page(self._keys, after, limit,
                     lambda one: scope.holds(self._scope(one.customer)))  # fmt: skip

    def scope_of(self, scope: Scope) -> Scope:
        """Return `scope` with the organisation of its customer."""
        return scope if scope.customer is None else self._scope(scope.customer)

    def audit(self, after: int = 0, limit: int | None = None) -> list[AuditEntry]:
        """Rows of the audit log that follow the one of number `after`."""
        return self._audit[after : None if limit is None else after + limit]

    def audit_head(self) -> AuditHead:
        """Return the end of the audit log."""
        return AuditHead(len(self._audit), self._audit[-1].sha256) if self._audit else EMPTY

    def kept_answer(self, token: str, key: str) -> KeptAnswer | None:
        """Return the answer that was kept for an idempotency key."""
        return self._answers.get((token, key))

    def keep_answer(self, answer: KeptAnswer, *, expired_ns: int, most: int) -> None:
        """Keep an answer."""
        kept = {name: one for name, one in self._answers.items() if one.created_ns >= expired_ns}
        own = sorted(
            (one for one in kept.values() if one.token == answer.token),
            key=lambda one: (-one.created_ns, one.key),
        )
        for one in own[most - 1 :]:
            del kept[one.token, one.key]
        self._answers = kept | {(answer.token, answer.key): answer}

    @contextmanager
    def _change(self, *, prices: bool = False) -> Iterator[Changes]:
        """Make a change, all or nothing, with its rows in the audit log."""
        with self.transaction():
            head = self.audit_head()
            changes = Changes(
                self.author,
                self._scope,
                head,
                self._version + 1,
                self._audit.append,
                time.time_ns(),
            )
            yield changes
            changes.end()
            if changes.head != head:
                self._version += 1
                self._prices_version += prices

    def _scope(self, customer: CustomerId) -> Scope:
        return Scope(self.organisation_of(customer), customer)

    def _known(self, customer: str) -> None:
        if customer not in self._customers:
            raise no_customer(customer)

    def _organisation(self, name: OrganisationId) -> Organisation:
        if name not in self._organisations:
            raise no_organisation(name)
        return self._organisations[name]

    def _member(self, member: MemberId) -> Member:
        if member not in self._members:
            raise no_member(member)
        return self._members[member]

    def _check_project(self, key: Key, keys: Iterable[Key]) -> None:
        """UserError when the new key `key` may not name its project."""
        names = (one.project for one in keys if one.customer == key.customer)
        refuse_project(key.customer, key.project, self.projects(key.customer), names)

    def _check_member(self, member: Member) -> None:
        """UserError when the scope of `member` is not there, or its address is another's."""
        if member.organisation is not None:
            self._organisation(member.organisation)
        if member.customer is not None:
            self._known(member.customer)
        refuse_taken_email(member, self._members.values(), self._sees)

    def _sees(self, scope: Scope) -> bool:
        """Return whether the author of changes is told what lies in `scope`."""
        by = self.author.member
        return by is None or by.scope.holds(self.scope_of(scope))


def _page(
    records: Mapping[Any, T], after: str, limit: int, is_within: Callable[[T], bool]
) -> Page[T]:
    """Return at most `limit` records, by id, of those that are within."""
    within = [name for name in sorted(records) if name > after and is_within(records[name])]
    items = [records[name] for name in within[:limit]]
    return Page(items, within[limit - 1] if len(within) > limit else None)
