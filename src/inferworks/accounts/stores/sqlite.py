"""Accounts in a SQLite file, shared by the running platform and the command line."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer
from inferworks.accounts.key import Key
from inferworks.accounts.plan import PricePlan, Terms
from inferworks.accounts.stores.stub import no_customer, no_key, plan_taken, taken
from inferworks.errors import DataFolderError
from inferworks.ids import CustomerId, KeyId, ProjectId
from inferworks.purpose import Purpose

_VERSION = 3
_FLAT_PLANS = 1
"""The version in which a plan was two prices."""
_NO_MONITORS = 2
"""The version in which no key could read metrics, or have its content kept."""
_OLDER = frozenset({_FLAT_PLANS, _NO_MONITORS})

_PLANS = """
CREATE TABLE price_plan (
    customer TEXT NOT NULL REFERENCES customer,
    effective_ns INTEGER NOT NULL,
    terms_sha256 TEXT NOT NULL,
    terms TEXT NOT NULL,
    PRIMARY KEY (customer, effective_ns)
) STRICT, WITHOUT ROWID;
CREATE TABLE credit (
    id TEXT PRIMARY KEY,
    customer TEXT NOT NULL REFERENCES customer,
    bought_ns INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""
"""Terms and credits are JSON: amounts in picounits outgrow SQLite's 64-bit integers."""

_SCHEMA = f"""
CREATE TABLE customer (
    id TEXT PRIMARY KEY,
    created_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
{_PLANS}
CREATE TABLE key (
    id TEXT PRIMARY KEY,
    secret_sha256 BLOB NOT NULL UNIQUE,
    hint TEXT NOT NULL,
    name TEXT NOT NULL,
    customer TEXT NOT NULL REFERENCES customer,
    project TEXT NOT NULL,
    purpose TEXT NOT NULL,
    allowed TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    revoked_ns INTEGER,
    reporter INTEGER NOT NULL DEFAULT 0,
    monitor INTEGER NOT NULL DEFAULT 0,
    log_content INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE change (count INTEGER NOT NULL) STRICT;
INSERT INTO change VALUES (0);
PRAGMA user_version = {_VERSION};
"""


class SqliteAccounts:
    """`Accounts` in the file at `path`, which is created unless `read_only`."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        if read_only and not path.exists():
            raise DataFolderError(f"{path}: no accounts here; start with: inferworks up")
        mode = "ro" if read_only else "rwc"
        uri = f"{path.resolve().as_uri()}?mode={mode}"
        try:
            self._database = sqlite3.connect(uri, uri=True, timeout=10.0, isolation_level=None)
        except sqlite3.OperationalError as error:
            raise DataFolderError(f"{path}: cannot be opened: {error}") from error
        self._database.execute("PRAGMA foreign_keys = ON")
        self._check_version(path, read_only=read_only)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def customers(self) -> list[Customer]:
        """All customers, by name."""
        rows = self._database.execute("SELECT id, created_ns FROM customer ORDER BY id")
        return [Customer(*row) for row in rows]

    def plans(self) -> list[PricePlan]:
        """All price plans, by customer and effective date."""
        rows = self._database.execute(
            "SELECT customer, effective_ns, terms FROM price_plan ORDER BY customer, effective_ns"
        )
        return [
            PricePlan(customer, effective_ns, msgspec.json.decode(terms, type=Terms))
            for customer, effective_ns, terms in rows
        ]

    def credits(self) -> list[Credit]:
        """All purchases of credit, oldest first."""
        rows = self._database.execute("SELECT body FROM credit ORDER BY bought_ns, id")
        return [msgspec.json.decode(body, type=Credit) for (body,) in rows]

    def keys(self) -> list[Key]:
        """All keys, oldest first."""
        rows = self._database.execute("SELECT * FROM key ORDER BY created_ns, id")
        return [_key(row) for row in rows]

    def add_customer(self, customer: Customer, plan: PricePlan | None = None) -> None:
        """Keep a new customer, with its first plan."""
        with self._change():
            try:
                self._insert("customer", msgspec.structs.astuple(customer))
            except sqlite3.IntegrityError:
                raise taken(customer.id) from None
            if plan is not None:
                self._insert("price_plan", _plan_row(plan))

    def add_plan(self, plan: PricePlan) -> None:
        """Keep a new plan."""
        with self._change():
            self._known(plan.customer)
            try:
                self._insert("price_plan", _plan_row(plan))
            except sqlite3.IntegrityError:
                raise plan_taken(plan) from None

    def add_credit(self, credit: Credit) -> None:
        """Keep a purchase of credit."""
        body = msgspec.json.encode(credit).decode()
        with self._change():
            self._known(credit.customer)
            self._insert("credit", (credit.id, credit.customer, credit.bought_ns, body))

    def add_key(self, key: Key) -> None:
        """Keep a new key."""
        allowed = " ".join(key.allowed)
        row = (key.id, key.secret_sha256, key.hint, key.name, key.customer, key.project,
               key.purpose, allowed, key.created_ns, key.revoked_ns,
               int(key.reporter), int(key.monitor), int(key.log_content))  # fmt: skip
        with self._change():
            self._known(key.customer)
            self._insert("key", row)

    def revoke_key(self, key_id: str, revoked_ns: int) -> Key:
        """Revoke a key."""
        with self._change():
            self._database.execute(
                "UPDATE key SET revoked_ns = coalesce(revoked_ns, ?) WHERE id = ?",
                (revoked_ns, key_id),
            )
            row = self._database.execute("SELECT * FROM key WHERE id = ?", (key_id,)).fetchone()
        if row is None:
            raise no_key(key_id)
        return _key(row)

    def version(self) -> int:
        """A number that differs after any change, by whichever process."""
        return int(self._database.execute("SELECT count FROM change").fetchone()[0])

    @contextmanager
    def _change(self) -> Iterator[None]:
        """One transaction, counted."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("UPDATE change SET count = count + 1")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def _insert(self, table: str, row: tuple[object, ...]) -> None:
        marks = ", ".join("?" * len(row))
        self._database.execute(f"INSERT INTO {table} VALUES ({marks})", row)

    def _known(self, customer: str) -> None:
        found = self._database.execute("SELECT 1 FROM customer WHERE id = ?", (customer,))
        if found.fetchone() is None:
            raise no_customer(customer)

    def _check_version(self, path: Path, *, read_only: bool) -> None:
        """Lay out a new file; refuse one that another version of this program wrote."""
        try:
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if version == 0 and not read_only:
                self._lay_out()
                version = _VERSION
            if version in _OLDER and not read_only:
                self._upgrade()
                version = _VERSION
        except sqlite3.DatabaseError as error:
            self.close()
            raise DataFolderError(f"{path}: not a readable accounts file: {error}") from error
        if version != _VERSION:
            self.close()
            raise DataFolderError(
                f"{path}: accounts of version {version}, this program reads version {_VERSION}"
                + ("; bring it up to date with: inferworks up" if version in _OLDER else "")
            )

    def _lay_out(self) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("BEGIN IMMEDIATE")
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                self._database.execute(statement)
        self._database.execute("COMMIT")

    def _upgrade(self) -> None:
        """Bring a file of an older version up to date, in one transaction."""
        self._database.execute("BEGIN IMMEDIATE")
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version == _FLAT_PLANS:
            self._plans_as_terms()
            self._add_flags("reporter")
        if version in _OLDER:
            self._add_flags("monitor", "log_content")
            self._database.execute(f"PRAGMA user_version = {_VERSION}")
        self._database.execute("COMMIT")

    def _plans_as_terms(self) -> None:
        """Two prices per plan become terms with the same prices."""
        rows = self._database.execute("SELECT * FROM price_plan").fetchall()
        self._database.execute("DROP TABLE price_plan")
        for statement in filter(str.strip, _PLANS.split(";")):
            self._database.execute(statement)
        for row in rows:
            self._insert("price_plan", _plan_row(PricePlan.per_token(*row)))

    def _add_flags(self, *names: str) -> None:
        """Give every key these flags, off."""
        for name in names:
            self._database.execute(f"ALTER TABLE key ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0")


def _plan_row(plan: PricePlan) -> tuple[object, ...]:
    terms = msgspec.json.encode(plan.terms, order="sorted").decode()
    return plan.customer, plan.effective_ns, plan.terms.sha256, terms


def _key(row: tuple[object, ...]) -> Key:
    (key_id, secret, hint, name, customer, project, purpose, allowed, created_ns, revoked_ns,
     reporter, monitor, log_content) = row  # fmt: skip
    return Key(
        id=KeyId(str(key_id)),
        secret_sha256=secret if isinstance(secret, bytes) else b"",
        hint=str(hint),
        name=str(name),
        customer=CustomerId(str(customer)),
        project=ProjectId(str(project)),
        purpose=Purpose(str(purpose)),
        allowed=tuple(Purpose(text) for text in str(allowed).split()),
        created_ns=int(str(created_ns)),
        revoked_ns=None if revoked_ns is None else int(str(revoked_ns)),
        reporter=bool(reporter),
        monitor=bool(monitor),
        log_content=bool(log_content),
    )
