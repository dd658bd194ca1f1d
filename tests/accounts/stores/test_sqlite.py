"""The accounts in SQLite keep the contract of the seam, outlive their process, and notice damage."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from inferworks.accounts.audit import EMPTY, verify
from inferworks.accounts.credit import Credit
from inferworks.accounts.customer import Customer, CustomerFact, customer_id
from inferworks.accounts.key import ANY_SOURCE, Grant, Key, fingerprint, mint
from inferworks.accounts.keyring import KeyRing
from inferworks.accounts.limit import Limit, Measure, Scope, ScopeKind, Window
from inferworks.accounts.member import Member, mint_token
from inferworks.accounts.organisation import Organisation, Project
from inferworks.accounts.plan import PricePlan, Terms
from inferworks.accounts.roles import Role
from inferworks.accounts.stores.base import KeptAnswer
from inferworks.accounts.stores.sqlite import COLUMNS, SqliteAccounts
from inferworks.checksum import row_checksum
from inferworks.errors import DataFolderError, UserError
from inferworks.ids import CustomerId, MemberId, OrganisationId, ProjectId
from inferworks.testing.accounts import check_accounts
from inferworks.testing.facts import A_PEPPER


def test_sqlite_keeps_the_contract(tmp_path: Path) -> None:
    """The SQLite store behaves as the contract says."""
    with closing(SqliteAccounts(tmp_path / "accounts.db")) as accounts:
        check_accounts(accounts)


def test_what_sqlite_keeps_outlives_it(tmp_path: Path) -> None:
    """A second process sees what the first wrote, and its changes are noticed."""
    path = tmp_path / "accounts.db"
    with closing(SqliteAccounts(path)) as first, closing(SqliteAccounts(path)) as second:
        before = second.version()
        first.add_customer(Customer(CustomerId("acme"), 1))
        assert second.version() != before
        assert [c.id for c in second.customers()] == ["acme"]


def test_reading_creates_nothing(tmp_path: Path) -> None:
    """Opening accounts that are not there for reading is one clear error and leaves no file."""
    with pytest.raises(DataFolderError, match="make them with: inferworks up"):
        SqliteAccounts(tmp_path / "accounts.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_strange_file_is_refused(tmp_path: Path) -> None:
    """A file that is no database, or of another version, is refused by name."""
    path = tmp_path / "accounts.db"
    path.write_text("not a database " * 100)
    with pytest.raises(
        DataFolderError, match=r"accounts\.db is damaged: file is not a database; restore"
    ):
        SqliteAccounts(path)
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(DataFolderError, match="version 99"):
        SqliteAccounts(path)


@pytest.mark.parametrize("name", ["", "Acme", "a b", "-a", "a" * 64, "a/b", "a\n"])
def test_a_customer_name_is_short_and_plain(name: str) -> None:
    """Names that would be awkward in statements and paths are refused."""
    with pytest.raises(UserError, match="customer name"):
        customer_id(name)


OLD_LAYOUT = """
CREATE TABLE customer (id TEXT PRIMARY KEY, created_ns INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE price_plan (
    customer TEXT NOT NULL REFERENCES customer, effective_ns INTEGER NOT NULL,
    currency TEXT NOT NULL, input_pico_per_token INTEGER NOT NULL,
    output_pico_per_token INTEGER NOT NULL, PRIMARY KEY (customer, effective_ns)
) STRICT, WITHOUT ROWID;
CREATE TABLE key (
    id TEXT PRIMARY KEY, secret_sha256 BLOB NOT NULL UNIQUE, hint TEXT NOT NULL, name TEXT NOT NULL,
    customer TEXT NOT NULL REFERENCES customer, project TEXT NOT NULL, purpose TEXT NOT NULL,
    allowed TEXT NOT NULL, created_ns INTEGER NOT NULL, revoked_ns INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE change (count INTEGER NOT NULL) STRICT;
INSERT INTO change VALUES (3);
INSERT INTO customer VALUES ('acme', 1);
INSERT INTO price_plan VALUES ('acme', 7, 'USD', 500000, 1500000);
INSERT INTO key VALUES ('key_1', x'00', 'abcd', '', 'acme', 'default', 'serve-paid', 'serve-paid', 1, NULL);
PRAGMA user_version = 1;
"""


def test_older_accounts_are_brought_up_to_date(tmp_path: Path) -> None:
    """A file with two prices per plan is read as the same prices, once it is opened for writing."""
    path = tmp_path / "accounts.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(OLD_LAYOUT)
    with pytest.raises(DataFolderError, match="inferworks up"):
        SqliteAccounts(path, read_only=True)
    wanted = [PricePlan.per_million(CustomerId("acme"), 7, "USD", "0.50", "1.50")]
    for read_only in (False, True):
        with closing(SqliteAccounts(path, read_only=read_only)) as accounts:
            assert accounts.plans() == wanted
            assert accounts.credits() == []
            (key,) = accounts.keys()
            assert (key.id, key.reporter, key.monitor, key.log_content) == ("key_1", *[False] * 3)
            assert (key.sources, key.ours, key.tells_cost) == ((), False, False)


NEW_TABLES = (
    "customer_organisation", "organisation", "project", "member_token", "member", "kept_answer", "audit",
    "audit_head", "usage_limit",
)  # fmt: skip
"""Tables since version 10."""


_NEW = ("scopes", "expires_ns", "changed")
"""Columns of keys since version 9."""


def as_version_eight(path: Path) -> None:
    """Make a file what version 8 wrote: keys without scopes, and checksums of what they had."""
    old = [name for name in COLUMNS["key"] if name not in _NEW]
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in (
            *(f"DROP TABLE {table}" for table in NEW_TABLES),
            "DROP INDEX key_by_change",
            "DROP INDEX key_by_customer",
            "DROP TABLE source",
            "DROP TABLE pepper",
            "ALTER TABLE change DROP COLUMN prices",
            *(f"ALTER TABLE key DROP COLUMN {name}" for name in _NEW),
            "PRAGMA user_version = 8",
        ):
            database.execute(statement)
        for row in database.execute(f"SELECT {', '.join(old)} FROM key").fetchall():
            update = "UPDATE key SET checksum = ? WHERE id = ?"
            database.execute(update, (row_checksum("key", row), row[0]))


def test_keys_of_version_eight_go_on_working(tmp_path: Path) -> None:
    """Nothing narrows them, whose sources are is known, and one that was damaged is damaged still."""
    path = tmp_path / "accounts.db"
    acme, burns = CustomerId("acme"), CustomerId("burns")
    secret = "iw_" + "k" * 43
    with closing(SqliteAccounts(path)) as accounts:
        for name in (acme, burns):
            accounts.add_customer(Customer(name, 1))
        first, _ = mint(acme, 2, Grant(sources=("a", "b")), pepper=A_PEPPER)
        second, _ = mint(acme, 3, Grant(sources=("b", "c")), pepper=A_PEPPER)
        plain = replace(mint(burns, 4, pepper=A_PEPPER)[0], secret_hash=fingerprint(secret))
        damaged, _ = mint(burns, 5, pepper=A_PEPPER)
        accounts.add_key(first, second, plain, damaged)
        version = accounts.version()
    as_version_eight(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE key SET customer = 'acme' WHERE id = ?", (damaged.id,))
    for read_only in (True, False, True):
        with closing(SqliteAccounts(path, read_only=read_only)) as accounts:
            assert accounts.keys() == [first, second, plain]
            assert accounts.version() == version
            _, [finding] = accounts.check()
            assert f"key {damaged.id!r} is not what was written" in finding
    with closing(SqliteAccounts(path)) as accounts:
        assert {name: accounts.source_owner(name) for name in "abcd"} == {
            **dict.fromkeys("abc", acme),
            "d": None,
        }
        assert KeyRing(accounts, A_PEPPER).find(secret) == plain
        accounts.expire_key(plain.id, 9)
        assert accounts.changed_keys(version) == [plain.id]
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (11,)


def test_flags_are_added_to_the_keys_of_version_two(tmp_path: Path) -> None:
    """Accounts from before there were monitors keep their keys, which are none."""
    path = tmp_path / "accounts.db"
    with closing(SqliteAccounts(path)) as accounts:
        accounts.add_customer(Customer(CustomerId("acme"), 1))
        reporter, _ = mint(CustomerId("acme"), 2, Grant(reporter=True), pepper=A_PEPPER)
        accounts.add_key(reporter)
    as_version_eight(path)
    with closing(sqlite3.connect(path)) as database:
        for name in ("monitor", "log_content", "sources", "ours", "tells_cost"):
            database.execute(f"ALTER TABLE key DROP COLUMN {name}")
        database.execute("PRAGMA user_version = 2")
    with pytest.raises(DataFolderError, match="inferworks up"):
        SqliteAccounts(path, read_only=True)
    monitor, _ = mint(CustomerId("acme"), 3, Grant(monitor=True), pepper=A_PEPPER)
    with closing(SqliteAccounts(path)) as accounts:
        accounts.add_key(monitor)
        had = msgspec.structs.replace(reporter, sources=(ANY_SOURCE,), tells_cost=True)
        assert accounts.keys() == [had, monitor]


def test_only_reporters_of_version_three_may_still_report(tmp_path: Path) -> None:
    """Reporters keep their right, for any source that nobody else has; other keys were never given one."""
    path = tmp_path / "accounts.db"
    with closing(SqliteAccounts(path)) as accounts:
        accounts.add_customer(Customer(CustomerId("acme"), 1))
        reporter, _ = mint(CustomerId("acme"), 2, Grant(reporter=True), pepper=A_PEPPER)
        plain, _ = mint(CustomerId("acme"), 3, pepper=A_PEPPER)
        for key in (reporter, plain):
            accounts.add_key(key)
    as_version_eight(path)
    with closing(sqlite3.connect(path)) as database:
        for name in ("sources", "ours", "tells_cost"):
            database.execute(f"ALTER TABLE key DROP COLUMN {name}")
        database.execute("PRAGMA user_version = 3")
    for _ in range(2):
        with closing(SqliteAccounts(path)) as accounts:
            had = msgspec.structs.replace(reporter, sources=(ANY_SOURCE,), tells_cost=True)
            assert accounts.keys() == [had, plain]


def without_checksums(path: Path) -> None:
    """Make a file what version 4 wrote."""
    as_version_eight(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE customer_fact")
        for table in COLUMNS.keys() - {"customer_fact", "source", "pepper", *NEW_TABLES}:
            database.execute(f"ALTER TABLE {table} DROP COLUMN checksum")
        database.execute("PRAGMA user_version = 4")


def filled(path: Path) -> Key:
    """Make accounts with a row in each table; the key in them."""
    acme = CustomerId("acme")
    key, _ = mint(acme, 2, Grant(sources=("gateway-b",)), pepper=A_PEPPER)
    with closing(SqliteAccounts(path)) as accounts:
        accounts.add_customer(
            Customer(acme, 1), PricePlan.per_million(acme, 7, "USD", "0.50", "1.50")
        )
        mended = PricePlan.per_million(acme, 7, "USD", "0.60", "1.60")
        accounts.replace_plan(mended, 8)
        accounts.add_credit(Credit("c", acme, 1, 10, "USD"))
        accounts.add_key(key)
        accounts.bind_pepper(A_PEPPER.id)
        accounts.add_fact(
            CustomerFact(customer=acme, effective_ns=1, recorded_ns=2, by="ann", display_name="A")
        )
        accounts.add_organisation(Organisation(OrganisationId("group"), 1))
        accounts.place_customer(acme, OrganisationId("group"))
        accounts.add_project(Project(acme, ProjectId("search"), 1))
        member = Member(id=MemberId("member_a"), role=Role.OWNER, created_ns=1, name="ann")
        accounts.add_member(member)
        accounts.add_member_token(mint_token(member.id, 1)[0])
        accounts.keep_answer(KeptAnswer("t", "k", b"1", 200, b"2", 3), expired_ns=0, most=9)
        scope = Scope(ScopeKind.KEY, key.id)
        accounts.add_limit(
            Limit(id="l", scope=scope, measure=Measure.CALLS, window=Window.TOTAL, amount=1)
        )
    return key


def test_facts_of_customers_are_only_added(tmp_path: Path) -> None:
    """The database itself refuses to change or to delete one."""
    path = tmp_path / "accounts.db"
    filled(path)
    with closing(sqlite3.connect(path)) as database:
        for statement in ("UPDATE customer_fact SET body = ''", "DELETE FROM customer_fact"):
            with pytest.raises(sqlite3.IntegrityError, match="a fact of a customer is never"):
                database.execute(statement)


def test_rows_of_version_four_are_given_checksums(tmp_path: Path) -> None:
    """The same that they would have been written with."""
    path = tmp_path / "accounts.db"
    key = filled(path)
    without_checksums(path)
    with closing(SqliteAccounts(path)) as accounts:
        assert accounts.check() == (6, [])
        assert accounts.facts() == []
        assert accounts.keys() == [key]
        assert accounts.revoke_key(key.id, 5).revoked_ns == 5
        assert accounts.check() == (8, []), "the change is in the audit log, and its head"


def test_version_seven_is_read_as_it_is_and_brought_up_to_date(tmp_path: Path) -> None:
    """Reading tables of version seven needs no change; the first command that writes marks them today's."""
    path = tmp_path / "accounts.db"
    key = filled(path)
    as_version_eight(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 7")
    with closing(SqliteAccounts(path, read_only=True)) as accounts:
        assert accounts.keys() == [key]
        assert accounts.check() == (6, [])
        facts = accounts.facts()
    zone = replace(facts[0], effective_ns=5, display_name=None, zone="Asia/Kolkata", currency="INR")
    with closing(SqliteAccounts(path)) as accounts:
        accounts.add_fact(zone)
        assert accounts.facts() == [*facts, zone]
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (11,)


def test_version_nine_is_read_without_its_new_tables(tmp_path: Path) -> None:
    """A command that only reads finds no organisations, members or audit log in it, and all the rest."""
    path = tmp_path / "accounts.db"
    key = filled(path)
    with closing(sqlite3.connect(path)) as database:
        for table in NEW_TABLES:
            database.execute(f"DROP TABLE {table}")
        database.execute("PRAGMA user_version = 9")
    with closing(SqliteAccounts(path, read_only=True)) as accounts:
        assert (accounts.keys(), accounts.projects(), accounts.audit()) == ([key], [], [])
        assert (accounts.members(), accounts.audit_head()) == ([], EMPTY)
        assert accounts.check() == (8, [])
    with closing(SqliteAccounts(path)) as accounts:
        accounts.add_organisation(Organisation(OrganisationId("group"), 1))
        assert verify(accounts.audit(), accounts.audit_head()) == 1


def test_the_audit_log_is_only_added_to(tmp_path: Path) -> None:
    """The database itself refuses to change or to delete a row of it."""
    path = tmp_path / "accounts.db"
    filled(path)
    with closing(sqlite3.connect(path)) as database:
        for statement in ("UPDATE audit SET who = 'bob'", "DELETE FROM audit"):
            with pytest.raises(sqlite3.IntegrityError, match="a row of the audit log is never"):
                database.execute(statement)


def test_a_row_cut_off_the_audit_log_is_missed(tmp_path: Path) -> None:
    """Rows at the end are counted, also when the database's own refusal was taken away."""
    path = tmp_path / "accounts.db"
    filled(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("DROP TRIGGER audit_is_kept")
        database.execute("DELETE FROM audit WHERE number = (SELECT max(number) FROM audit)")
    with closing(SqliteAccounts(path)) as accounts:
        count = len(accounts.audit())
        with pytest.raises(UserError, match=f"audit row {count + 1} is missing"):
            verify(accounts.audit(), accounts.audit_head())


@pytest.mark.parametrize(
    ("table", "column"), [(t, c) for t, columns in COLUMNS.items() for c in columns]
)
def test_a_changed_row_is_noticed(table: str, column: str, tmp_path: Path) -> None:
    """A price or a customer that the disk has changed is refused; a changed key is no key."""
    path = tmp_path / "accounts.db"
    key = filled(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        changed = {"integer": f"{column} + 1", "text": f"{column} || ' '", "null": "7"}
        for trigger in ("customer_fact_stays", "audit_stays"):
            database.execute(f"DROP TRIGGER {trigger}")
        last = " WHERE number = (SELECT max(number) FROM audit)" if table == "audit" else ""
        cases = " ".join(f"WHEN '{kind}' THEN {value}" for kind, value in changed.items())
        database.execute(
            f"UPDATE {table} SET {column} = CASE typeof({column}) {cases} ELSE x'01' END{last}"
        )
    with closing(SqliteAccounts(path, read_only=True)) as accounts:
        _, [finding] = accounts.check()
        assert finding.startswith(f"{path} is damaged: {table} ")
        if table == "key":
            assert accounts.keys() == []
            with closing(SqliteAccounts(path)) as writer, pytest.raises(UserError):
                writer.revoke_key(key.id, 5)
        else:
            read = {
                "customer": accounts.customers,
                "price_plan": accounts.plans,
                "withdrawn_plan": accounts.withdrawn_plans,
                "customer_fact": accounts.facts,
                "source": lambda: accounts.source_owner("gateway-b" + " " * (column == "name")),
                "pepper": accounts.pepper_id,
                "organisation": accounts.organisations,
                "customer_organisation": lambda: [
                    accounts.organisation_of(CustomerId(name)) for name in ("acme", "acme ")
                ],
                "project": accounts.projects,
                "member": accounts.members,
                "member_token": lambda: [
                    accounts.member_tokens(MemberId(name)) for name in ("member_a", "member_a ")
                ],
                "kept_answer": lambda: [
                    accounts.kept_answer(*name) for name in (("t", "k"), ("t ", "k"), ("t", "k "))
                ],
                "usage_limit": accounts.limits,
                "audit": lambda: verify(accounts.audit(), accounts.audit_head()),
                "audit_head": accounts.audit_head,
            }
            with pytest.raises(UserError, match=r"differs|is missing"):
                read.get(table, accounts.credits)()


def test_amounts_beyond_64_bits_are_kept(tmp_path: Path) -> None:
    """Ten billion in picounits is more than SQLite's integers hold, and comes back exactly."""
    huge = 10**22 + 1
    acme = CustomerId("acme")
    with closing(SqliteAccounts(tmp_path / "accounts.db")) as accounts:
        accounts.add_customer(
            Customer(acme, 1), PricePlan(acme, 1, Terms("USD", minimum_pico=huge))
        )
        accounts.add_credit(Credit("c", acme, 1, huge, "USD"))
        assert accounts.plans()[0].terms.minimum_pico == huge
        assert accounts.credits()[0].amount_pico == huge


def test_rows_are_checked_in_pieces(tmp_path: Path) -> None:
    """A gateway that reads a million keys again pauses between a few hundred of them."""
    with closing(SqliteAccounts(tmp_path / "accounts.db")) as accounts:
        accounts.add_customer(Customer(CustomerId("acme"), 1))
        accounts.add_key(*(mint(CustomerId("acme"), 2, pepper=A_PEPPER)[0] for _ in range(450)))
        pieces = list(accounts.check_pieces())
        assert max(rows for rows, _ in pieces) == 200
        assert (sum(rows for rows, _ in pieces), []) == accounts.check()
