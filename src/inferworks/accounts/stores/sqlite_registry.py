"""Organisations, projects and members in SQLite, and kept answers of the admin API.

Their records are JSON, so that a later version adds a field without another layout.
"""

from __future__ import annotations

import sqlite3
from typing import Final, TypeVar

import msgspec

from inferworks.accounts.audit import Event
from inferworks.accounts.customer import Customer
from inferworks.accounts.key import Key
from inferworks.accounts.limit import Limit, ScopeKind
from inferworks.accounts.limit import Scope as LimitScope
from inferworks.accounts.member import Member, MemberToken
from inferworks.accounts.organisation import Organisation, Project, refuse_project
from inferworks.accounts.roles import Action, Scope
from inferworks.accounts.stores.base import KeptAnswer, Page
from inferworks.accounts.stores.records import (
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
from inferworks.accounts.stores.sqlite_tables import Tables
from inferworks.ids import CustomerId, MemberId, OrganisationId, ProjectId

REGISTRY: Final = (
    """
    CREATE TABLE IF NOT EXISTS organisation (
        id TEXT PRIMARY KEY,
        body TEXT NOT NULL,
        checksum INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS customer_organisation (
        customer TEXT PRIMARY KEY REFERENCES customer,
        organisation TEXT NOT NULL REFERENCES organisation,
        checksum INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE INDEX IF NOT EXISTS customers_of_organisation
    ON customer_organisation (organisation, customer)
    """,
    """
    CREATE TABLE IF NOT EXISTS project (
        customer TEXT NOT NULL REFERENCES customer,
        id TEXT NOT NULL,
        body TEXT NOT NULL,
        checksum INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (customer, id)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS member (
        id TEXT PRIMARY KEY,
        body TEXT NOT NULL,
        checksum INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS member_token (
        id TEXT PRIMARY KEY,
        member TEXT NOT NULL REFERENCES member,
        secret_sha256 BLOB NOT NULL UNIQUE,
        body TEXT NOT NULL,
        checksum INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS tokens_of_member ON member_token (member, id)",
    """
    CREATE TABLE IF NOT EXISTS kept_answer (
        token TEXT NOT NULL,
        key TEXT NOT NULL,
        request_sha256 BLOB NOT NULL,
        status INTEGER NOT NULL,
        body BLOB NOT NULL,
        created_ns INTEGER NOT NULL,
        checksum INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (token, key)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS kept_answer_age ON kept_answer (created_ns)",
    "CREATE INDEX IF NOT EXISTS facts_of_customer ON customer_fact (customer)",
    "CREATE INDEX IF NOT EXISTS credits_of_customer ON credit (customer)",
    """
    CREATE TABLE IF NOT EXISTS audit (
        number INTEGER PRIMARY KEY,
        at_ns INTEGER NOT NULL,
        who TEXT NOT NULL,
        origin TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        customer TEXT NOT NULL,
        before TEXT NOT NULL,
        after TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        checksum INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    """
    CREATE TABLE IF NOT EXISTS audit_head (
        rows INTEGER PRIMARY KEY,
        sha256 TEXT NOT NULL,
        checksum INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    """
    CREATE TRIGGER IF NOT EXISTS audit_stays BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'a row of the audit log is never changed'); END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS audit_is_kept BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'a row of the audit log is never deleted'); END
    """,
    """
    CREATE TABLE IF NOT EXISTS usage_limit (
        id TEXT PRIMARY KEY,
        body TEXT NOT NULL,
        checksum INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID
    """,
)
"""Layout; each statement may be run again."""


_LIMITED_KIND: Final = "json_extract(usage_limit.body, '$.scope[0]')"
_LIMITED: Final = "json_extract(usage_limit.body, '$.scope[1]')"
_LIMITED_ORGANISATION: Final = (
    f"CASE {_LIMITED_KIND} WHEN '{ScopeKind.ORGANISATION}' THEN {_LIMITED} END"
)
_LIMITED_CUSTOMER: Final = (
    f"CASE {_LIMITED_KIND} WHEN '{ScopeKind.CUSTOMER}' THEN {_LIMITED} "
    f"WHEN '{ScopeKind.PROJECT}' THEN substr({_LIMITED}, 1, instr({_LIMITED}, '/') - 1) "
    f"WHEN '{ScopeKind.KEY}' THEN (SELECT customer FROM key WHERE key.id = {_LIMITED}) END"
)
"""SQL of who a limit is on."""

R = TypeVar("R")


class SqliteRegistry(Tables):
    """`Registry` in the tables of an open file."""

    def organisations(self) -> list[Organisation]:
        """All organisations, by id."""
        rows = self._checked("organisation", "ORDER BY id")
        return [msgspec.json.decode(row[-1], type=Organisation) for row in rows]

    def organisation(self, organisation: OrganisationId) -> Organisation | None:
        """Return one organisation."""
        rows = self._checked("organisation", "WHERE id = ?", (organisation,))
        return next((msgspec.json.decode(row[-1], type=Organisation) for row in rows), None)

    def organisations_page(self, scope: Scope, after: str, limit: int) -> Page[Organisation]:
        """Return at most `limit` organisations within a scope, by id, from the first after `after`."""
        return self._page_of(
            "organisation", Organisation, _owned(scope, "id", "NULL"), after, limit
        )

    def add_organisation(self, organisation: Organisation) -> None:
        """Keep a new organisation."""
        event = Event("organisations create", f"organisation {organisation.id}")
        with self._change() as changes:
            change = changes.of(Action.CHANGE_ORGANISATIONS, event)
            change.after = organisation
            try:
                self._insert("organisation", (organisation.id, _json(organisation)))
            except sqlite3.IntegrityError:
                raise organisation_taken(organisation) from None

    def change_organisation(self, organisation: Organisation) -> None:
        """Replace the record of an organisation."""
        event = Event("organisations change", f"organisation {organisation.id}")
        with self._change() as changes:
            change = changes.of(Action.CHANGE_ORGANISATIONS, event)
            change.before, change.after = self._organisation(organisation.id), organisation
            if organisation.closed_ns is not None:
                query = "SELECT count(*) FROM customer_organisation WHERE organisation = ?"
                (count,) = self._database.execute(query, (organisation.id,)).fetchone()
                if count:
                    raise organisation_in_use(organisation, count)
            self._replace("organisation", (organisation.id, _json(organisation)))

    def organisation_of(self, customer: CustomerId) -> OrganisationId | None:
        """Return the organisation of a customer."""
        for _, organisation in self._checked(
            "customer_organisation", "WHERE customer = ?", (customer,)
        ):
            return OrganisationId(organisation)
        return None

    def place_customer(self, customer: CustomerId, organisation: OrganisationId | None) -> None:
        """Put a customer into an organisation, or into none."""
        event = Event("organisations place", f"customer {customer}", customer)
        with self._change(prices=True) as changes:
            change = changes.of(Action.CHANGE_ORGANISATIONS, event)
            self._known(customer)
            change.before, change.after = (
                None if one is None else {"organisation": one}
                for one in (self.organisation_of(customer), organisation)
            )
            self._database.execute(
                "DELETE FROM customer_organisation WHERE customer = ?", (customer,)
            )
            if organisation is not None:
                refuse_closed(self._organisation(organisation))
                self._insert("customer_organisation", (customer, organisation))

    def placed_customers(self) -> dict[CustomerId, OrganisationId]:
        """Return the organisation of each customer that has one."""
        rows = self._checked("customer_organisation")
        return {CustomerId(customer): OrganisationId(name) for customer, name in rows}

    def limits(self) -> list[Limit]:
        """All limits, by id."""
        rows = self._checked("usage_limit", "ORDER BY id")
        return [msgspec.json.decode(row[-1], type=Limit) for row in rows]

    def limit(self, limit_id: str) -> Limit | None:
        """Return one limit."""
        rows = self._checked("usage_limit", "WHERE id = ?", (limit_id,))
        return next((msgspec.json.decode(row[-1], type=Limit) for row in rows), None)

    def limits_page(self, scope: Scope, after: str, limit: int) -> Page[Limit]:
        """Return at most `limit` limits on what lies in a scope."""
        where = _owned(scope, _LIMITED_ORGANISATION, _LIMITED_CUSTOMER)
        return self._page_of("usage_limit", Limit, where, after, limit)

    def limited(self, scope: LimitScope) -> Scope:
        """Return the scope that what is limited lies in."""
        kind, name = scope
        if kind is ScopeKind.ORGANISATION:
            return Scope(organisation=OrganisationId(name))
        customer = name.partition("/")[0]
        if kind is ScopeKind.KEY:
            query = "SELECT customer FROM key WHERE id = ?"
            [customer] = self._database.execute(query, (name,)).fetchone() or ("",)
        return self._scope(CustomerId(customer))

    def add_limit(self, limit: Limit) -> None:
        """Keep a new limit."""
        with self._change(prices=True) as changes:
            changes.of(Action.CHANGE_LIMITS, limit_event("create", limit)).after = limit
            self._check_scope(limit.scope)
            self._insert("usage_limit", (limit.id, _json(limit)))

    def change_limit(self, limit: Limit) -> None:
        """Replace the record of a limit by its next revision."""
        with self._change(prices=True) as changes:
            change = changes.of(Action.CHANGE_LIMITS, limit_event("change", limit))
            change.before = old = self.limit(limit.id)
            change.after = limit
            refuse_revision(old, limit)
            self._replace("usage_limit", (limit.id, _json(limit)))

    def projects(self, customer: CustomerId | None = None) -> list[Project]:
        """The recorded projects of a customer, or all, by customer and id."""
        where, values = ("", ()) if customer is None else ("WHERE customer = ? ", (customer,))
        rows = self._checked("project", f"{where}ORDER BY customer, id", values)
        return [msgspec.json.decode(row[-1], type=Project) for row in rows]

    def add_project(self, project: Project) -> None:
        """Keep a new project."""
        event = Event("projects create", f"project {project.id}", project.customer)
        with self._change() as changes:
            change = changes.of(Action.CHANGE_PROJECTS, event)
            change.after = project
            self._known(project.customer)
            try:
                self._insert("project", (project.customer, project.id, _json(project)))
            except sqlite3.IntegrityError:
                raise project_taken(project) from None

    def close_project(self, customer: CustomerId, project: ProjectId, closed_ns: int) -> Project:
        """Close a project."""
        event = Event("projects close", f"project {project}", customer)
        with self._change() as changes:
            change = changes.of(Action.CHANGE_PROJECTS, event)
            found = [one for one in self.projects(customer) if one.id == project]
            if not found:
                raise no_project(customer, project)
            old = new = found[0]
            if old.closed_ns is None:
                query = "SELECT count(*) FROM key WHERE customer = ? AND project = ? AND revoked_ns IS NULL"
                (count,) = self._database.execute(query, (customer, project)).fetchone()
                if count:
                    raise project_in_use(old, count)
                new = msgspec.structs.replace(old, closed_ns=closed_ns)
                self._replace("project", (customer, project, _json(new)))
            change.before, change.after = old, new
        return new

    def members(self) -> list[Member]:
        """All members, by id."""
        rows = self._checked("member", "ORDER BY id")
        return [msgspec.json.decode(row[-1], type=Member) for row in rows]

    def member(self, member: MemberId) -> Member | None:
        """Return one member."""
        rows = self._checked("member", "WHERE id = ?", (member,))
        return next((msgspec.json.decode(row[-1], type=Member) for row in rows), None)

    def members_page(self, scope: Scope, after: str, limit: int) -> Page[Member]:
        """Return at most `limit` members of what lies in a scope."""
        where = _owned(
            scope, "json_extract(body, '$.organisation')", "json_extract(body, '$.customer')"
        )
        return self._page_of("member", Member, where, after, limit)

    def add_member(self, member: Member) -> None:
        """Keep a new member."""
        event = Event("members create", f"member {member.id}", member.customer or "")
        with self._change() as changes:
            change = changes.of(Action.CHANGE_MEMBERS, event, self.scope_of(member.scope))
            change.after = member
            self._check_member(member)
            self._insert("member", (member.id, _json(member)))

    def change_member(self, member: Member) -> None:
        """Replace the record of a member."""
        event = Event("members change", f"member {member.id}", member.customer or "")
        old = next((one for one in self.members() if one.id == member.id), None)
        if old is None:
            raise no_member(member.id)
        with self._change() as changes:
            change = changes.of(Action.CHANGE_MEMBERS, event, self.scope_of(old.scope))
            changes.check(Action.CHANGE_MEMBERS, event, self.scope_of(member.scope))
            change.before, change.after = old, member
            self._check_member(member)
            self._replace("member", (member.id, _json(member)))

    def member_tokens(self, member: MemberId) -> list[MemberToken]:
        """The tokens of a member, by id."""
        rows = self._checked("member_token", "WHERE member = ? ORDER BY id", (member,))
        return [msgspec.json.decode(row[-1], type=MemberToken) for row in rows]

    def add_member_token(self, token: MemberToken) -> None:
        """Keep a new token."""
        member = self._member(token.member)
        event = Event("members token", f"token {token.id}", member.customer or "")
        with self._change() as changes:
            change = changes.of(Action.CHANGE_MEMBERS, event, self.scope_of(member.scope))
            if member.withdrawn_ns is not None:
                raise no_member(token.member)
            change.after = token
            row = (token.id, token.member, token.secret_sha256, _json(token))
            self._insert("member_token", row)

    def revoke_member_token(self, token_id: str, revoked_ns: int) -> MemberToken:
        """Revoke a token."""
        with self.transaction():
            rows = list(self._checked("member_token", "WHERE id = ?", (token_id,)))
            if not rows:
                raise no_token(token_id)
            old = new = msgspec.json.decode(rows[0][-1], type=MemberToken)
            scope = self._member(old.member).scope
            event = Event("members revoke", f"token {token_id}", scope.customer or "")
            with self._change() as changes:
                change = changes.of(Action.CHANGE_MEMBERS, event, self.scope_of(scope))
                if old.revoked_ns is None:
                    new = msgspec.structs.replace(old, revoked_ns=revoked_ns)
                    self._replace("member_token", (*rows[0][:-1], _json(new)))
                change.before, change.after = old, new
        return new

    def find_member(self, secret_sha256: bytes) -> tuple[Member, MemberToken] | None:
        """Return the token of a secret and its member."""
        for row in self._checked("member_token", "WHERE secret_sha256 = ?", (secret_sha256,)):
            token = msgspec.json.decode(row[-1], type=MemberToken)
            return self._member(token.member), token
        return None

    def customer(self, customer: CustomerId) -> Customer | None:
        """Return one customer."""
        rows = self._checked("customer", "WHERE id = ?", (customer,))
        return next((Customer(*row) for row in rows), None)

    def customers_page(self, scope: Scope, after: str, limit: int) -> Page[Customer]:
        """Return at most `limit` customers of a scope, by id, from the first after `after`."""
        where, values = _within(scope, "id")
        query = f"WHERE id > ? AND {where} ORDER BY id LIMIT ?"
        rows = list(self._checked("customer", query, (after, *values, limit + 1)))
        return Page([Customer(*row) for row in rows[:limit]], _next(rows, limit))

    def keys_page(self, scope: Scope, after: str, limit: int) -> Page[Key]:
        """Return at most `limit` keys of the customers of a scope, in the same way."""
        where, values = _within(scope, "customer")
        query = f"WHERE id > ? AND {where} ORDER BY id LIMIT ?"
        rows = list(self._rows("key", query, (after, *values, limit + 1)))
        found = [key for row in rows[:limit] if (key := self._key(row)) is not None]
        return Page(found, _next(rows, limit))

    def scope_of(self, scope: Scope) -> Scope:
        """Return `scope` with the organisation of its customer."""
        return scope if scope.customer is None else self._scope(scope.customer)

    def kept_answer(self, token: str, key: str) -> KeptAnswer | None:
        """Return the answer that was kept for an idempotency key."""
        rows = self._checked("kept_answer", "WHERE token = ? AND key = ?", (token, key))
        return next((KeptAnswer(*row) for row in rows), None)

    def keep_answer(self, answer: KeptAnswer, *, expired_ns: int, most: int) -> None:
        """Keep an answer."""
        with self.transaction():
            self._database.execute("DELETE FROM kept_answer WHERE created_ns < ?", (expired_ns,))
            self._database.execute(
                "DELETE FROM kept_answer WHERE token = ? AND key IN (SELECT key FROM kept_answer "
                "WHERE token = ? ORDER BY created_ns DESC, key LIMIT -1 OFFSET ?)",
                (answer.token, answer.token, most - 1),
            )
            self._insert("kept_answer", answer)

    def _page_of(
        self,
        table: str,
        kind: type[R],
        where: tuple[str, tuple[str, ...]],
        after: str,
        limit: int,
    ) -> Page[R]:
        """Return at most `limit` records of `table`, by id, of those that the SQL in `where` picks."""
        condition, values = where
        query = f"WHERE id > ? AND {condition} ORDER BY id LIMIT ?"
        rows = list(self._checked(table, query, (after, *values, limit + 1)))
        found = [msgspec.json.decode(row[-1], type=kind) for row in rows[:limit]]
        return Page(found, _next(rows, limit))

    def _key(self, row: tuple[object, ...]) -> Key | None:
        """Return the key in `row`; None when it cannot be used."""
        raise NotImplementedError

    def _known(self, customer: str) -> None:
        found = self._database.execute("SELECT 1 FROM customer WHERE id = ?", (customer,))
        if found.fetchone() is None:
            raise no_customer(customer)

    def _scope(self, customer: CustomerId) -> Scope:
        return Scope(self.organisation_of(customer), customer)

    def _organisation(self, name: OrganisationId) -> Organisation:
        for row in self._checked("organisation", "WHERE id = ?", (name,)):
            return msgspec.json.decode(row[-1], type=Organisation)
        raise no_organisation(name)

    def _member(self, member: MemberId) -> Member:
        for row in self._checked("member", "WHERE id = ?", (member,)):
            return msgspec.json.decode(row[-1], type=Member)
        raise no_member(member)

    def _check_project(self, key: Key) -> None:
        """UserError when the new key `key` may not name its project."""
        recorded = self.projects(key.customer)
        if recorded:
            names = "SELECT DISTINCT project FROM key WHERE customer = ?"
            rows = self._database.execute(names, (key.customer,))
            refuse_project(key.customer, key.project, recorded, (name for (name,) in rows))

    def _check_scope(self, scope: LimitScope) -> None:
        """UserError when what a limit is set on is not there."""
        kind, name = scope
        if kind is ScopeKind.ORGANISATION:
            refuse_closed(self._organisation(OrganisationId(name)))
        elif kind is ScopeKind.KEY:
            query = "SELECT 1 FROM key WHERE id = ?"
            if self._database.execute(query, (name,)).fetchone() is None:
                raise no_key(name)
        else:
            self._known(name.partition("/")[0])

    def _check_member(self, member: Member) -> None:
        """UserError when the scope of `member` is not there, or its address is another's."""
        if member.organisation is not None:
            self._organisation(member.organisation)
        if member.customer is not None:
            self._known(member.customer)
        refuse_taken_email(member, self.members(), self._sees)

    def _sees(self, scope: Scope) -> bool:
        """Return whether the author of changes is told what lies in `scope`."""
        by = self.author.member
        return by is None or by.scope.holds(self.scope_of(scope))


def _within(scope: Scope, column: str) -> tuple[str, tuple[str, ...]]:
    """Return the SQL and its values by which `column` names a customer of `scope`."""
    if scope.customer is not None:
        return f"{column} = ?", (scope.customer,)
    if scope.organisation is not None:
        members = "SELECT customer FROM customer_organisation WHERE organisation = ?"
        return f"{column} IN ({members})", (scope.organisation,)
    return "1", ()


def _owned(scope: Scope, organisation: str, customer: str) -> tuple[str, tuple[str, ...]]:
    """Return the same for a row of an organisation or of a customer, which SQL of ours names."""
    where, values = _within(scope, customer)
    if scope.customer is None and scope.organisation is not None:
        return f"({organisation} = ? OR {where})", (scope.organisation, *values)
    return where, values


def _next(rows: list[tuple[object, ...]], limit: int) -> str | None:
    return str(rows[limit - 1][0]) if len(rows) > limit else None


def _json(record: msgspec.Struct) -> str:
    return msgspec.json.encode(record).decode()
