"""Accounts in a SQLite file, shared by the running platform and the command line.

The command line may be of a newer version than the platform that runs. So columns are named, never counted,
and a row with an unknown value is skipped while the others are used.

Each row ends with a checksum of the columns before it (`inferworks.checksum`), looked at whenever it is
read. A price, a credit or a customer that the disk has changed is refused; a key that it has changed is no
key, and the others go on.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from inferworks.accounts.audit import Event
from inferworks.accounts.author import Author, process_author
from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer, CustomerFact
from inferworks.accounts.key import ANY_SOURCE, NO_HASH, Key
from inferworks.accounts.limit import Limit
from inferworks.accounts.plan import PricePlan, Terms, WithdrawnPlan
from inferworks.accounts.roles import WHOLE, Action
from inferworks.accounts.scopes import Scopes
from inferworks.accounts.sharing.base import SharedRows
from inferworks.accounts.stores.mirror import Mark, Mirror, mark_of
from inferworks.accounts.stores.records import no_key, plan_event
from inferworks.accounts.stores.sqlite_registry import REGISTRY, SqliteRegistry
from inferworks.accounts.stores.sqlite_tables import (
    COLUMNS,
    FLAT_PLANS,
    NO_CHECKSUMS,
    NO_LIMITS,
    NO_MEMBERS,
    NO_MONITORS,
    NO_SOURCES,
    NO_WITHDRAWN,
    OLD_KEY,
    OLDER,
    READABLE,
    SCOPES,
    VERSION,
)
from inferworks.accounts.stores.stub import (
    no_credit,
    no_plan,
    other_pepper,
    plan_taken,
    same_key,
    same_plan,
    source_taken,
    taken,
)
from inferworks.checksum import row_checksum
from inferworks.errors import ConfigError, DamagedError, DataFolderError
from inferworks.folder import leaving_none_empty
from inferworks.ids import CustomerId, KeyId, OrganisationId, ProjectId
from inferworks.purpose import Purpose
from inferworks.sqlite import Database, with_remedy

_PLANS = """
CREATE TABLE price_plan (
    customer TEXT NOT NULL REFERENCES customer,
    effective_ns INTEGER NOT NULL,
    terms_sha256 TEXT NOT NULL,
    terms TEXT NOT NULL,
    checksum INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (customer, effective_ns)
) STRICT, WITHOUT ROWID;
CREATE TABLE credit (
    id TEXT PRIMARY KEY,
    customer TEXT NOT NULL REFERENCES customer,
    bought_ns INTEGER NOT NULL,
    body TEXT NOT NULL,
    checksum INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
"""
"""Terms and credits are JSON: amounts in picounits outgrow SQLite's 64-bit integers."""

_WITHDRAWN = """
CREATE TABLE IF NOT EXISTS withdrawn_plan (
    customer TEXT NOT NULL REFERENCES customer,
    effective_ns INTEGER NOT NULL,
    withdrawn_ns INTEGER NOT NULL,
    terms_sha256 TEXT NOT NULL,
    terms TEXT NOT NULL,
    checksum INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (customer, effective_ns, withdrawn_ns)
) STRICT, WITHOUT ROWID
"""

_FACTS = (
    """
    CREATE TABLE IF NOT EXISTS customer_fact (
        number INTEGER PRIMARY KEY,
        customer TEXT NOT NULL REFERENCES customer,
        effective_ns INTEGER NOT NULL,
        body TEXT NOT NULL,
        checksum INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    """
    CREATE TRIGGER IF NOT EXISTS customer_fact_stays BEFORE UPDATE ON customer_fact
    BEGIN SELECT RAISE(ABORT, 'a fact of a customer is never changed'); END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS customer_fact_is_kept BEFORE DELETE ON customer_fact
    BEGIN SELECT RAISE(ABORT, 'a fact of a customer is never deleted'); END
    """,
)

_KEYS_BY = (
    "CREATE INDEX IF NOT EXISTS key_by_change ON key (changed)",
    "CREATE INDEX IF NOT EXISTS key_by_customer ON key (customer)",
    """
    CREATE TABLE IF NOT EXISTS source (
        name TEXT PRIMARY KEY,
        customer TEXT NOT NULL REFERENCES customer,
        key_id TEXT NOT NULL REFERENCES key,
        checksum INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS pepper (
        id TEXT PRIMARY KEY,
        checksum INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID
    """,
)
_SCHEMA = f"""
CREATE TABLE customer (
    id TEXT PRIMARY KEY,
    created_ns INTEGER NOT NULL,
    checksum INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
{_PLANS}{_WITHDRAWN};
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
    log_content INTEGER NOT NULL DEFAULT 0,
    sources TEXT NOT NULL DEFAULT '[]',
    ours INTEGER NOT NULL DEFAULT 0,
    tells_cost INTEGER NOT NULL DEFAULT 0,
    {", ".join(f"{name} {kind}" for name, kind in SCOPES.items())},
    checksum INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE change (count INTEGER NOT NULL, prices INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO change VALUES (0, 0);
PRAGMA user_version = {VERSION};
"""


_PIECE: Final = 200
"""Rows that are checked in one go: some milliseconds."""
_MOST_CHANGED: Final = 10_000
"""Most keys that are named as changed."""

_PURPOSES = frozenset(Purpose)

_log = logging.getLogger("inferworks.accounts")


class SqliteAccounts(SqliteRegistry):
    """`Accounts` in the file at `path`, which is created unless `read_only`. One thread at a time."""

    _is_mirror = False

    def __init__(
        self,
        path: Path,
        *,
        author: Author | None = None,
        read_only: bool = False,
        newer: bool = False,
    ) -> None:
        """`author` makes the changes; None: the user of this process.

        `newer` reads a file that a newer version of this program has brought up to date.
        """
        if read_only and not path.exists():
            raise DataFolderError(
                f"{path.parent} has no customers and keys yet; make them with: inferworks up, or "
                "inferworks keys create; or name the folder that has them with --data"
            )
        with leaving_none_empty(path):
            database = Database(path, read_only=read_only, threads=True)
            super().__init__(database, author or process_author())
            try:
                self._database.execute("PRAGMA foreign_keys = ON")
                self._check_version(read_only=read_only, newer=newer)
                if not (read_only or self._is_mirror) and mark_of(self._database) is not None:
                    raise ConfigError(
                        f"{path} is the mirror of accounts that gateways share: set store.url to their "
                        "database, or make them its own with: inferworks accounts leave"
                    )
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def mark(self) -> Mark | None:
        """Return what these are the mirror of; None for accounts of their own."""
        return mark_of(self._database)

    def synced_ns(self) -> int | None:
        """Return when these were last known to be as gateways share them, to a minute; None for never."""
        mark = self.mark()
        return None if mark is None or not mark.version else mark.synced_ns

    def customers(self) -> list[Customer]:
        """All customers, by name."""
        return [Customer(*row) for row in self._checked("customer", "ORDER BY id")]

    def facts(self, customer: CustomerId | None = None) -> list[CustomerFact]:
        """All facts of customers, or those of `customer`, in the order in which they were recorded."""
        whose, values = _of(customer)
        rows = self._checked("customer_fact", f"{whose} ORDER BY number", values)
        return [msgspec.json.decode(row[-1], type=CustomerFact) for row in rows]

    def plans(self, customer: CustomerId | None = None) -> list[PricePlan]:
        """All price plans, or those of `customer`, by customer and effective date."""
        whose, values = _of(customer)
        rows = self._checked("price_plan", f"{whose} ORDER BY customer, effective_ns", values)
        return [_plan(customer, effective_ns, terms) for customer, effective_ns, _, terms in rows]

    def withdrawn_plans(self) -> list[WithdrawnPlan]:
        """The plans that count no more, by customer, effective date and when they were withdrawn."""
        rows = self._checked("withdrawn_plan", "ORDER BY customer, effective_ns, withdrawn_ns")
        return [
            WithdrawnPlan(_plan(customer, effective_ns, terms), withdrawn_ns)
            for customer, effective_ns, withdrawn_ns, _, terms in rows
        ]

    def credits(self, customer: CustomerId | None = None) -> list[Credit]:
        """All purchases and refunds of credit that count, or those of `customer`, oldest first."""
        return [one for one in self._all_credits(customer) if one.voided_ns is None]

    def voided_credits(self, customer: CustomerId | None = None) -> list[Credit]:
        """Credits that were mistakes, oldest first."""
        return [one for one in self._all_credits(customer) if one.voided_ns is not None]

    def _all_credits(self, customer: CustomerId | None) -> list[Credit]:
        whose, values = _of(customer)
        rows = self._checked("credit", f"{whose} ORDER BY bought_ns, id", values)
        return [msgspec.json.decode(row[-1], type=Credit) for row in rows]

    def keys(self, customer: CustomerId | None = None) -> list[Key]:
        """All keys that this program can read, or those of `customer`; the log names the others."""
        whose, values = _of(customer)
        rows = self._rows("key", f"{whose} ORDER BY created_ns, id", values)
        return [key for row in rows if (key := self._key(row)) is not None]

    def has_keys(self) -> bool:
        """True when there was ever a key."""
        return self._database.execute("SELECT 1 FROM key LIMIT 1").fetchone() is not None

    def key(self, key_id: KeyId) -> Key | None:
        """The key with this id; None, and a line in the log, when this program cannot read it."""
        return next(map(self._key, self._rows("key", "WHERE id = ?", (key_id,))), None)

    def key_by_hash(self, secret_hash: bytes) -> Key | None:
        """The key with this hash of its secret."""
        rows = self._rows("key", "WHERE secret_sha256 = ?", (secret_hash,))
        return next(map(self._key, rows), None)

    def secret_hash(self, key_id: KeyId) -> bytes:
        """The hash of the secret of the key with this id, `NO_HASH` without one."""
        query = "SELECT coalesce((SELECT secret_sha256 FROM key WHERE id = ?), ?)"
        (found,) = self._database.execute(query, (key_id, NO_HASH)).fetchone()
        return found if isinstance(found, bytes) else NO_HASH

    def source_owner(self, source: str) -> CustomerId | None:
        """The customer to whom `source` belongs."""
        rows = self._checked("source", "WHERE name = ?", (source,))
        return next((CustomerId(customer) for _, customer, _ in rows), None)

    def has_customer(self, customer: CustomerId) -> bool:
        """True when there is such a customer."""
        return self.customer(customer) is not None

    def changed_keys(self, since: object) -> Collection[KeyId] | None:
        """The keys that were added or changed after `version` returned `since`."""
        if not isinstance(since, int):
            return None
        query = "SELECT id FROM key WHERE changed > ? LIMIT ?"
        rows = self._database.execute(query, (since, _MOST_CHANGED + 1)).fetchall()
        return [KeyId(key_id) for (key_id,) in rows] if len(rows) <= _MOST_CHANGED else None

    def pepper_id(self) -> str:
        """Fingerprint of the pepper under which keys are hashed; empty for none yet."""
        return next((pepper_id for (pepper_id,) in self._checked("pepper")), "")

    def bind_pepper(self, pepper_id: str) -> None:
        """Record the pepper, once and for ever."""
        with self._change() as changes:
            change = changes.note(Event("keys pepper", f"pepper {pepper_id}"))
            recorded = self.pepper_id()
            if recorded not in {"", pepper_id}:
                raise other_pepper()
            if not recorded:
                change.after = {"pepper": pepper_id}
                self._insert("pepper", (pepper_id,))

    def add_customer(self, customer: Customer, plan: PricePlan | None = None) -> None:
        """Keep a new customer, with its first plan."""
        event = Event("customers create", f"customer {customer.id}", customer.id)
        with self._change(prices=True) as changes:
            changes.of(Action.CREATE_CUSTOMERS, event, WHOLE).after = customer
            try:
                self._insert("customer", msgspec.structs.astuple(customer))
            except sqlite3.IntegrityError:
                raise taken(customer.id) from None
            if plan is not None:
                changes.of(Action.CHANGE_PLANS, plan_event("set", plan.customer)).after = plan
                self._insert("price_plan", _plan_row(plan))

    def add_fact(self, fact: CustomerFact) -> None:
        """Keep a fact for ever."""
        event = Event("customers change", f"customer {fact.customer}", fact.customer)
        with self._change(prices=True) as changes:
            changes.of(Action.CHANGE_CUSTOMERS, event).after = fact
            for customer in (fact.customer, fact.merged_into):
                if customer is not None:
                    self._known(customer)
            count = "SELECT coalesce(max(number), 0) FROM customer_fact"
            (last,) = self._database.execute(count).fetchone()
            body = msgspec.json.encode(fact).decode()
            self._insert("customer_fact", (last + 1, fact.customer, fact.effective_ns, body))

    def add_plan(self, plan: PricePlan) -> None:
        """Keep a new plan."""
        with self._change(prices=True) as changes:
            changes.of(Action.CHANGE_PLANS, plan_event("set", plan.customer)).after = plan
            self._known(plan.customer)
            try:
                self._insert("price_plan", _plan_row(plan))
            except sqlite3.IntegrityError:
                raise plan_taken(plan) from None

    def replace_plan(self, plan: PricePlan, withdrawn_ns: int) -> PricePlan:
        """Put `plan` in the place of its customer's from the same moment, which is returned."""
        with self._change(prices=True) as changes:
            change = changes.of(Action.CHANGE_PLANS, plan_event("replace", plan.customer))
            old = self._withdraw(plan.customer, plan.effective_ns, withdrawn_ns)
            change.before, change.after = old, plan
            if old == plan:
                raise same_plan(plan)
            self._insert("price_plan", _plan_row(plan))
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
        which, named = "WHERE customer = ? AND effective_ns = ?", (customer, effective_ns)
        rows = list(self._rows("price_plan", which, named))
        if not rows:
            raise no_plan(customer)
        self._check("price_plan", rows[0])
        old = _plan(customer, effective_ns, rows[0][3])
        _, _, *terms = _plan_row(old)
        self._insert("withdrawn_plan", (*named, withdrawn_ns, *terms))
        self._database.execute(f"DELETE FROM price_plan {which}", named)
        return old

    def add_credit(self, credit: Credit) -> None:
        """Keep a purchase or refund of credit."""
        body = msgspec.json.encode(credit).decode()
        event = Event("credits add", f"credit {credit.id}", credit.customer)
        with self._change(prices=True) as changes:
            changes.of(Action.CHANGE_CREDITS, event).after = credit
            self._known(credit.customer)
            self._insert("credit", (credit.id, credit.customer, credit.bought_ns, body))

    def void_credit(self, credit_id: str, voided_ns: int, reason: str) -> Credit:
        """Let a credit count no more."""
        with self._change(prices=True) as changes:
            found = [one for one in self.credits() if one.id == credit_id]
            if not found:
                raise no_credit(credit_id)
            event = Event("credits void", f"credit {credit_id}", found[0].customer)
            change = changes.of(Action.CHANGE_CREDITS, event)
            voided = msgspec.structs.replace(found[0], voided_ns=voided_ns, reason=reason)
            change.before, change.after = found[0], voided
            body = msgspec.json.encode(voided).decode()
            self._replace("credit", (voided.id, voided.customer, voided.bought_ns, body))
        return voided

    def add_key(self, *keys: Key) -> None:
        """Keep new keys, all or none."""
        with self._change() as changes:
            for key in keys:
                changes.add_key(key)
                self._known(key.customer)
                self._check_project(key)
                try:
                    self._insert("key", _key_row(key, changes.number))
                except sqlite3.IntegrityError:
                    raise same_key(key) from None
                self._claim_sources(key)

    def _claim_sources(self, key: Key) -> None:
        """Give the customer of `key` the sources that nobody has; UserError when another has one."""
        for source in key.sources:
            owners = list(self._checked("source", "WHERE name = ?", (source,)))
            if not owners:
                self._insert("source", (source, key.customer, key.id))
            elif owners[0][1] != key.customer:
                raise source_taken(*owners[0])

    def revoke_key(self, key_id: str, revoked_ns: int) -> Key:
        """Revoke a key."""
        return self._end_key(key_id, "revoked_ns", "coalesce(revoked_ns, ?)", revoked_ns)

    def expire_key(self, key_id: str, expires_ns: int) -> Key:
        """Let a key end at a moment, unless it ends sooner."""
        sooner = "min(coalesce(expires_ns, 9223372036854775807), ?)"
        return self._end_key(key_id, "expires_ns", sooner, expires_ns)

    def _end_key(self, key_id: str, column: str, value: str, at_ns: int) -> Key:
        which, named = "WHERE id = ?", (key_id,)
        with self._change() as changes:
            for row in self._rows("key", which, named):
                self._check("key", row)  # or it would be given a new checksum, as it is
            old = self.key(KeyId(key_id))
            if old is None:
                raise no_key(key_id)
            verb = "revoke" if column == "revoked_ns" else "expire"
            event = Event(f"keys {verb}", f"key {key_id}", old.customer)
            change = changes.of(Action.CHANGE_KEYS, event)
            self._database.execute(
                f"UPDATE key SET {column} = {value}, changed = ? {which}",
                (at_ns, changes.number, key_id),
            )
            self._sign("key", which, named)
            key = self.key(KeyId(key_id))
            change.before, change.after = old, key
        if key is None:
            raise no_key(key_id)
        return key

    def check(self) -> tuple[int, list[str]]:
        """Return the number of rows, and faults in any of them or in the file, a line each."""
        count, findings = 0, list[str]()
        for rows, found in self.check_pieces():
            count += rows
            findings += found
        return count, findings

    def check_pieces(self) -> Iterator[tuple[int, list[str]]]:
        """Do the same in pieces of some rows, so that a running gateway can pause between them."""
        with self._database.translated():
            yield 0, self._database.integrity()
        for table in COLUMNS:
            rows = self._rows(table)
            while piece := list(islice(rows, _PIECE)):
                yield len(piece), list(self._damaged(table, piece))

    def _damaged(self, table: str, rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
        for row in rows:
            try:
                self._check(table, row)
            except DamagedError as error:
                yield str(error)

    def _key(self, row: tuple[Any, ...]) -> Key | None:
        """Return the key in `row`; None, and a line in the log, when it is damaged."""
        try:
            self._check("key", row)
        except DamagedError as error:
            _log.error("%s", error)
            return None
        return _key(row[:-1])

    def _check_version(self, *, read_only: bool, newer: bool) -> None:
        """Lay out a new file; refuse one that another version of this program wrote."""
        with self._database.translated():
            version = self._database.version()
            if not read_only and (version == 0 or version in OLDER):
                self._bring_up_to_date()
                version = VERSION
        self._version = version
        readable = READABLE if read_only and not newer else {VERSION}
        if version not in readable and not (newer and version > VERSION):
            raise DataFolderError(
                f"{self._database.path}: accounts of version {version}, this program reads version "
                f"{VERSION}"
                + ("; bring it up to date with: inferworks up" if version in OLDER else "")
            )

    def _bring_up_to_date(self) -> None:
        """Lay out a new file, or bring one of an older version up to date, in one transaction."""
        self._database.execute("PRAGMA journal_mode = WAL")
        with self._database.transaction():
            self._migrate()

    def _migrate(self) -> None:
        version = self._database.version()
        if version == 0:
            tables = filter(str.strip, _SCHEMA.split(";"))
            for statement in (*tables, *_FACTS, *_KEYS_BY, *REGISTRY):
                self._database.execute(statement)
            return
        if version not in OLDER:  # another process has brought it up to date meanwhile
            return
        if version in (NO_MEMBERS, NO_LIMITS):
            for statement in (*REGISTRY, f"PRAGMA user_version = {VERSION}"):
                self._database.execute(statement)
            return
        self._add_kinds_of_keys(version)
        if version <= NO_WITHDRAWN:
            self._database.execute(_WITHDRAWN)
        for statement in (*_FACTS, *REGISTRY):
            self._database.execute(statement)
        self._add_scopes(signed=version > NO_CHECKSUMS)
        if version <= NO_CHECKSUMS:
            self._add_checksums()
        self._claim_all_sources()

    def _add_kinds_of_keys(self, version: int) -> None:
        """Bring plans and keys of the first versions to what they were in version 4."""
        if version == FLAT_PLANS:
            # two prices per plan become terms with the same prices
            rows = self._database.execute("SELECT * FROM price_plan").fetchall()
            self._database.execute("DROP TABLE price_plan")
            for statement in filter(str.strip, _PLANS.split(";")):
                self._database.execute(statement)
            for row in rows:
                self._insert("price_plan", _plan_row(PricePlan.per_token(*row)))
            self._add_flags("reporter")
        if version in (FLAT_PLANS, NO_MONITORS):
            self._add_flags("monitor", "log_content")
        if version in (FLAT_PLANS, NO_MONITORS, NO_SOURCES):
            # add the columns of sources; keys made to report keep that right, and no other key had it
            self._database.execute("ALTER TABLE key ADD COLUMN sources TEXT NOT NULL DEFAULT '[]'")
            self._add_flags("ours", "tells_cost")
            self._database.execute(
                "UPDATE key SET sources = ?, tells_cost = 1 WHERE reporter",
                (msgspec.json.encode([ANY_SOURCE]).decode(),),
            )

    def _add_flags(self, *names: str) -> None:
        """Give every key these flags, off."""
        for name in names:
            self._database.execute(f"ALTER TABLE key ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0")

    def _add_scopes(self, *, signed: bool) -> None:
        """Give every key scopes that narrow nothing, and a checksum of them where its own is `signed`."""
        damaged: set[str] = set()
        if signed:  # what is damaged must not come out with a checksum that is right
            names = ", ".join(COLUMNS["key"][:OLD_KEY])
            for *row, checksum in self._database.execute(f"SELECT {names}, checksum FROM key"):
                if row_checksum("key", row) != checksum:
                    damaged.add(row[0])
        for name, kind in SCOPES.items():
            self._database.execute(f"ALTER TABLE key ADD COLUMN {name} {kind}")
        self._database.execute("ALTER TABLE change ADD COLUMN prices INTEGER NOT NULL DEFAULT 0")
        for statement in _KEYS_BY:
            self._database.execute(statement)
        self._database.execute(f"PRAGMA user_version = {VERSION}")  # from here on rows are of it
        if signed:
            self._sign("key")
            for key_id in damaged:
                self._database.execute(
                    "UPDATE key SET checksum = ~checksum WHERE id = ?", (key_id,)
                )

    def _claim_all_sources(self) -> None:
        """Note whose each source is: the customer's whose key was the first to name it."""
        rows = list(self._rows("key", "WHERE sources <> '[]' ORDER BY created_ns, id"))
        for key in filter(None, map(self._key, rows)):
            for source in key.sources:
                if self.source_owner(source) is None:
                    self._insert("source", (source, key.customer, key.id))

    def _add_checksums(self) -> None:
        for table in COLUMNS:
            names = [name for _, name, *_ in self._database.execute(f"PRAGMA table_info({table})")]
            if "checksum" not in names:
                self._database.execute(
                    f"ALTER TABLE {table} ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0"
                )
            self._sign(table)


class SharedAccounts(SqliteAccounts):
    """`Accounts` that gateways share as `rows`, by way of their mirror at `path`, which is made if need be.

    They are as the file has them at the last `sync`, and each change begins with one. Closing it closes
    `rows`.
    """

    _is_mirror = True

    def __init__(self, path: Path, rows: SharedRows, *, author: Author | None = None) -> None:
        super().__init__(path, author=author)
        self._shared_rows = rows
        self._mirror = Mirror(self._database, rows, self._migrate)

    def sync(self) -> None:
        """Take up what others changed; the first time, share the accounts or load those that are shared."""
        self._mirror.sync()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make several changes at once, all or none, for all gateways."""
        if self._database.connection.in_transaction:
            yield
        else:
            with self._mirror.change():
                yield

    def close(self) -> None:
        """Close the file and the connection to what is shared."""
        super().close()
        self._shared_rows.close()


class FollowedAccounts:
    """Reads of the accounts at `path` while they may change in any way: `KeyReads` and `PriceReads`.

    A file that is replaced (a backup that is put back) is opened anew, as is one that could not be read,
    and one that a newer version of this program has brought up to date is read on. Any thread may read; one
    that must not wait for another's longer reading has a `FollowedAccounts` of its own.

    Everything raises DataFolderError when the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: SqliteAccounts | None = None
        self._stamp: object = None
        self._is_closed = False
        self._turn = threading.Lock()

    def version(self) -> object:
        """Value that differs after any change."""
        with self._read() as accounts:
            return self._stamp, accounts.version()

    def prices_version(self) -> object:
        """Value that differs after any change of a plan or a fact."""
        with self._read() as accounts:
            return self._stamp, accounts.prices_version()

    def changed_keys(self, since: object) -> Collection[KeyId] | None:
        """The keys that changed after `version` returned `since`; None when the file is another."""
        with self._read() as accounts:
            if not isinstance(since, tuple) or since[0] != self._stamp:
                return None
            return accounts.changed_keys(since[1])

    def secret_hash(self, key_id: KeyId) -> bytes:
        """The hash of the secret of the key with this id, `NO_HASH` without one."""
        with self._read() as accounts:
            return accounts.secret_hash(key_id)

    def key(self, key_id: KeyId) -> Key | None:
        """The key with this id."""
        with self._read() as accounts:
            return accounts.key(key_id)

    def key_by_hash(self, secret_hash: bytes) -> Key | None:
        """The key with this hash of its secret."""
        with self._read() as accounts:
            return accounts.key_by_hash(secret_hash)

    def source_owner(self, source: str) -> CustomerId | None:
        """The customer to whom `source` belongs."""
        with self._read() as accounts:
            return accounts.source_owner(source)

    def has_customer(self, customer: CustomerId) -> bool:
        """True when there is such a customer."""
        with self._read() as accounts:
            return accounts.has_customer(customer)

    def facts(self, customer: CustomerId | None = None) -> list[CustomerFact]:
        """All facts of customers, or those of `customer`, in the order in which they were recorded."""
        with self._read() as accounts:
            return accounts.facts(customer)

    def plans(self, customer: CustomerId | None = None) -> list[PricePlan]:
        """All price plans, or those of `customer`, by customer and effective date."""
        with self._read() as accounts:
            return accounts.plans(customer)

    def limits(self) -> list[Limit]:
        """All limits, by id."""
        with self._read() as accounts:
            return accounts.limits()

    def credits(self, customer: CustomerId | None = None) -> list[Credit]:
        """All credit that counts, or that of `customer`."""
        with self._read() as accounts:
            return accounts.credits(customer)

    def voided_credits(self, customer: CustomerId | None = None) -> list[Credit]:
        """All credit that was voided, or that of `customer`."""
        with self._read() as accounts:
            return accounts.voided_credits(customer)

    def placed_customers(self) -> dict[CustomerId, OrganisationId]:
        """Return the organisation of each customer that has one."""
        with self._read() as accounts:
            return accounts.placed_customers()

    def close(self) -> None:
        """Close the file for good, once no thread reads it."""
        with self._turn:
            self._is_closed = True
            self._let_go()

    @contextmanager
    def _read(self) -> Iterator[SqliteAccounts]:
        """The file that lies there now, open."""
        with self._turn:
            try:
                status = self._path.stat()
                stamp = status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
                if stamp != self._stamp:
                    self._let_go()
                if self._is_closed:
                    raise DataFolderError(f"{self._path}: the accounts are closed")
                if self._opened is None:
                    self._opened = SqliteAccounts(self._path, read_only=True, newer=True)
                    self._stamp = stamp
                yield self._opened
            except (sqlite3.Error, OSError) as error:
                self._let_go()
                why = with_remedy(error) if isinstance(error, sqlite3.Error) else error.strerror
                raise DataFolderError(f"cannot read {self._path}: {why or error}") from error

    def synced_ns(self) -> int | None:
        """Return when these were last known to be as gateways share them, to a minute; None for never."""
        with self._read() as accounts:
            return accounts.synced_ns()

    def _let_go(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()


def _of(customer: CustomerId | None) -> tuple[str, tuple[object, ...]]:
    """Return the SQL that picks the rows of `customer`, or all, and its values."""
    return ("", ()) if customer is None else ("WHERE customer = ?", (customer,))


def _plan(customer: CustomerId, effective_ns: int, terms: str) -> PricePlan:
    return PricePlan(customer, effective_ns, msgspec.json.decode(terms, type=Terms))


def _plan_row(plan: PricePlan) -> tuple[object, ...]:
    terms = msgspec.json.encode(plan.terms, order="sorted").decode()
    return plan.customer, plan.effective_ns, plan.terms.sha256, terms


def _key_row(key: Key, changed: int) -> tuple[object, ...]:
    scopes = Scopes(**{name: getattr(key, name) for name in Scopes.__struct_fields__})
    return (
        *(key.id, key.secret_hash, key.hint, key.name, key.customer, key.project, key.purpose),
        *(" ".join(key.allowed), key.created_ns, key.revoked_ns),
        *(int(key.reporter), int(key.monitor), int(key.log_content)),
        *(msgspec.json.encode(key.sources).decode(), int(key.ours), int(key.tells_cost)),
        *(msgspec.json.encode(scopes).decode(), key.expires_ns, changed),
    )


def _key(row: tuple[object, ...]) -> Key | None:
    """Return the key of a row; None, and a line in the log, when this program cannot interpret it."""
    (key_id, secret, hint, name, customer, project, purpose, allowed, created_ns, revoked_ns,
     reporter, monitor, log_content, sources, ours, tells_cost, scopes, expires_ns, _) = row  # fmt: skip
    try:
        return Key(
            id=KeyId(str(key_id)),
            secret_hash=secret if isinstance(secret, bytes) else b"",
            hint=str(hint),
            name=str(name),
            customer=CustomerId(str(customer)),
            project=ProjectId(str(project)),
            purpose=Purpose(str(purpose)),
            allowed=tuple(Purpose(text) for text in str(allowed).split() if text in _PURPOSES),
            created_ns=int(str(created_ns)),
            revoked_ns=None if revoked_ns is None else int(str(revoked_ns)),
            reporter=bool(reporter),
            monitor=bool(monitor),
            log_content=bool(log_content),
            sources=msgspec.json.decode(str(sources), type=tuple[str, ...]),
            ours=bool(ours),
            tells_cost=bool(tells_cost),
            expires_ns=None if expires_ns is None else int(str(expires_ns)),
            **msgspec.structs.asdict(msgspec.json.decode(str(scopes), type=Scopes)),
        )
    except (ValueError, msgspec.MsgspecError) as error:
        _log.warning("%s cannot be used by this version: %s", key_id, error)
        return None
