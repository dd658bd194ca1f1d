"""The commands that list, answer and take back imports, in open and in closed periods."""

from __future__ import annotations

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.command_line import document, invoke, refusal

from inferworks.books.bills.mapping import shipped_text
from inferworks.clock import SimClock

JANUARY_NS = 1_798_761_600 * 10**9  # 2027-01-01
HEADER = (
    "BilledCost,BillingCurrency,BillingAccountId,BillingPeriodStart,ChargePeriodStart,ChargePeriodEnd,"
    "InvoiceIssuerName,ServiceCategory,ResourceId,Tags\n"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, and a day on which December is over."""
    monkeypatch.setattr("inferworks.wiring.books.SystemClock", lambda: SimClock(JANUARY_NS))
    monkeypatch.chdir(tmp_path)


def a_bill(name: str, *lines: tuple[int, str], tags: str = "", month: int = 11) -> str:
    """A bill of lines for days of a month, of November unless it is said; its name."""
    rows = (
        f"{amount},USD,acct-1,2026-{month}-01,2026-{month}-{day:02},2026-{month}-{day + 1:02},A Cloud,"
        f"Compute,vm,{tags}\n"
        for day, amount in lines
    )
    Path(name).write_text(HEADER + "".join(rows))
    return name


def billed(period: str) -> str:
    """Amount billed for a month."""
    said = document("books", "statement", "--period", period)
    return str(said.get("billed", said.get("statement", {}).get("billed")))


def test_a_question_is_answered_by_either_option_or_settled() -> None:
    """Each amount is the one that the question named; nothing is left in quarantine."""
    first = a_bill("first.csv", (9, "1.00"), (10, "2.00"))
    second = a_bill("second.csv", (9, "1.00"), (10, "7.00"))
    for answer, amount in (("--part", "11.00"), ("--replace", "8.00")):
        data = ("--data", answer.strip("-"))
        document("books", "import", first, *data)
        assert f"({amount} USD in all)" in refusal("books", "import", second, *data)
        assert "cannot be closed" in refusal("books", "close", "2026-11", "--begin", *data)
        [asked] = document("books", "quarantine", "list", *data)["questions"]
        assert (asked["file"], asked["issuer"], asked["settled"]) == (
            "second.csv",
            "A Cloud",
            False,
        )
        document("books", "import", answer, second, *data)
        assert document("books", "quarantine", "list", *data)["questions"] == []
        assert document("books", "close", "2026-11", "--begin", *data)["billed"] == amount
    document("books", "import", first)
    refusal("books", "import", second)
    document("books", "quarantine", "settle", "1", "--reason", "a draft")
    assert "no question 1 is open" in refusal(
        "books", "quarantine", "settle", "1", "--reason", "again"
    )
    assert document("books", "quarantine", "list", "--all")["questions"][0]["reason"] == "a draft"
    assert document("books", "close", "2026-11", "--begin")["billed"] == "3.00"


def test_an_import_says_what_changed() -> None:
    """Lines added, gone, changed and amended, and the total before and after."""
    document("books", "import", a_bill("first.csv", (9, "1.00"), (10, "0.40")))
    [file] = document(
        "books", "import", a_bill("second.csv", (9, "1.00"), (10, "1.00"), (11, "0.30"))
    )["files"]
    [change] = file["changes"]
    assert (change["fate"], change["revision"]) == ("revision", 2)
    assert (change["added"], change["gone"], change["changed"], change["amended"]) == (1, 0, 1, 0)
    assert (change["before"], change["after"]) == ({"USD": "1.40"}, {"USD": "2.30"})
    said = document("books", "import", a_bill("tagged.csv", (9, "1.00"), tags="{}"))
    assert said["files"][0]["changes"][0]["amended"] == 1


def test_an_import_is_taken_back_and_may_come_again() -> None:
    """A void import stays on record with its author and reason; the same file lands again."""
    bill = a_bill("bill.csv", (9, "1.00"), (10, "2.00"))
    document("books", "import", bill)
    assert document("books", "imports", "void", "1", "--reason", "not ours")["gone"] == 2
    assert billed("2026-11") == "0.00"
    assert "is void" in refusal("books", "imports", "void", "1", "--reason", "again")
    assert document("books", "imports", "list")["imports"] == []
    [void] = document("books", "imports", "list", "--all")["imports"]
    assert (void["state"], void["lines"], void["totals"]) == ("void", 2, {"USD": "3.00"})
    assert void["reason"].startswith("not ours")
    assert document("books", "import", bill)["files"][0]["accepted"] == 2
    assert document("books", "imports", "show", "2")["state"] == "in force"
    assert "there is no import 7" in refusal("books", "imports", "show", "7")


def test_a_revision_of_a_closed_period_is_a_correction_of_the_open_one() -> None:
    """The sealed bill stays, reversed exactly; the months together sum to the newest revision."""
    document("books", "import", a_bill("first.csv", (9, "1.00"), (10, "0.40")))
    document("books", "close", "2026-11", "--begin")
    said = document(
        "books", "import", a_bill("second.csv", (9, "1.00"), (10, "1.00"), (11, "0.30"), tags="{}")
    )
    assert any("3 lines are for 2026-11, which is closed" in note for note in said["notes"])
    assert any("left as sealed" in note for note in said["notes"])
    assert (billed("2026-11"), billed("2026-12")) == ("1.40", "0.90")
    document("books", "imports", "void", "2", "--reason", "a bill of somebody else")
    assert (billed("2026-11"), billed("2026-12")) == ("1.40", "-1.40")
    assert document("books", "verify")["findings"] == []


def test_a_day_of_a_closed_period_is_replaced_by_a_correction() -> None:
    """Asked first; other days stay as they were sealed, and what the file spans is corrected."""
    document("books", "import", a_bill("first.csv", (9, "1.00"), (10, "2.00"), (11, "3.00")))
    document("books", "close", "2026-11", "--begin")
    restated = a_bill("restated.csv", (10, "1.50"))
    said = refusal("books", "import", restated)
    assert "(7.50 USD in all)" in said
    assert "(5.50 USD in all)" in said
    [file] = document("books", "import", "--replace", restated)["files"]
    assert "in place of 1 line of first.csv (2.00 USD)" in file["changes"][0]["remark"]
    assert (billed("2026-11"), billed("2026-12")) == ("6.00", "-0.50")
    assert [one["lines"] for one in document("books", "imports", "list")["imports"]] == [2, 1]
    assert document("books", "verify")["findings"] == []


def test_a_close_asks_for_the_bills_that_must_come() -> None:
    """Suppliers of the configuration must have billed; a reason lets the close go on, and is recorded."""
    Path("inferworks.toml").write_text('[books]\nsuppliers = ["A Cloud", "B Cloud"]\n')
    document("books", "import", a_bill("bill.csv", (9, "1.00")))
    said = refusal("books", "close", "2026-11", "--begin")
    assert "bill of B Cloud for 2026-11: expected" in said
    assert "A Cloud" not in said
    done = document("books", "close", "2026-11", "--begin", "--accept", "B Cloud billed nothing")
    assert done["accepted"] == ["bill of B Cloud for 2026-11"]


def test_books_of_before_keep_their_ids_and_their_seals() -> None:
    """A folder of the layout before deliveries: closed months verify, and the bill again is a duplicate."""
    bill = a_bill("bill.csv", (9, "1.00"), (10, "2.00"))
    document("books", "import", bill)
    older = {"chg_000000000000000000000001", "chg_000000000000000000000002"}
    with closing(sqlite3.connect("inferworks-data/books.db", isolation_level=None)) as db:
        made_older(db, sorted(older))
    document("books", "close", "2026-11", "--begin")
    Path(bill).write_text(Path(bill).read_text().replace("2026-11-01,", "2026-11-01T00:00:00Z,"))
    assert document("books", "import", bill)["files"][0]["duplicate"] == 2
    with closing(sqlite3.connect("inferworks-data/books.db")) as db:
        assert {id_ for (id_,) in db.execute("SELECT id FROM charges")} == older
    assert document("books", "verify")["findings"] == []
    document("books", "import", a_bill("more.csv", (9, "1.00"), (10, "2.00"), (11, "4.00")))
    assert (billed("2026-11"), billed("2026-12")) == ("3.00", "4.00")


def made_older(db: sqlite3.Connection, ids: list[str]) -> None:
    """Take books back to the layout before deliveries, their charges under other ids."""
    from inferworks.checksum import row_checksum

    for id_, row in zip(ids, db.execute("SELECT * FROM charges").fetchall(), strict=True):
        body = json.loads(row[4]) | {"id": id_}
        del body["exact"]
        new = (id_, *row[1:4], json.dumps(body).encode())
        db.execute("DELETE FROM charges WHERE id = ?", row[:1])
        values = (*new, row_checksum("charges", new))
        db.execute("INSERT INTO charges VALUES (?, ?, ?, ?, ?, ?)", values)
    for table in ("lines", "parts", "deliveries", "replaced", "questions"):
        db.execute(f"DROP TABLE {table}")
    db.execute("PRAGMA user_version = 3")


def google(month: str, *lines: tuple[str, str]) -> str:
    """An export of the lines of one invoice of Google's, each for an hour before midnight; its name."""
    rows = (
        {"billing_account_id": "0A", "usage_start_time": f"{day} 23:00:00 UTC", "cost": cost,
         "usage_end_time": f"{day} 23:59:00 UTC", "currency": "USD", "credits": [],
         "sku": {"description": "core"}, "invoice": {"month": month}}
        for day, cost in lines
    )  # fmt: skip
    Path(f"{month}.json").write_text("\n".join(map(json.dumps, rows)))
    return f"{month}.json"


def checks(*rows: str) -> list[tuple[str, str]]:
    """Amount billed for each month, and the finding beside its invoices."""
    Path("invoices.csv").write_text("issuer,month,currency,total\n" + "".join(rows))
    result = invoke("books", "reconcile", "invoices.csv", "--json")
    return [(one["billed"], one["finding"]) for one in json.loads(result.stdout)["checks"]]


OCTOBER = ("202610", ("2026-09-30", "7.00"), ("2026-10-01", "20.00"), ("2026-10-30", "600.00"))
INVOICES = ("Google Cloud,2026-09,USD,300.00\n", "Google Cloud,2026-10,USD,627.00\n")


def test_usage_that_is_reported_late_is_on_the_invoice_that_bills_it() -> None:
    """Deliveries and invoices go by the billing period, costs by when they arose."""
    document(
        "books", "import", google("202609", ("2026-09-01", "100.00"), ("2026-09-30", "200.00"))
    )
    document("books", "import", google(*OCTOBER))
    assert checks(*INVOICES) == [("300.00", "agrees"), ("627.00", "agrees")]
    told = document("books", "statement", "--from", "2026-09-01", "--to", "2026-10-01")
    assert told["billed"] == "307.00"


@pytest.mark.parametrize(
    "raw",
    [
        b"issuer;month;currency;total\nA Cloud;2026-11;usd;1.190,50\n",
        "Rechnungen\n\nissuer\tmonth\tcurrency\ttotal\nA Cloud\t2026-11\tUSD\t$1,190.50\n".encode(
            "utf-16"
        ),
        b'[{"issuer": "A Cloud", "month": "2026-11", "currency": "USD", "total": 1190.50}]',
        gzip.compress(b"issuer,month,currency,total\nA Cloud,2026-11,USD,1190.50\n"),
    ],
    ids=["semicolons", "UTF-16", "JSON", "gzip"],
)
def test_invoices_come_in_every_form_of_a_bill(raw: bytes) -> None:
    """Invoices are read whatever separates their cells and decimals."""
    document("books", "import", a_bill("bill.csv", (1, "1190.50")))
    Path("invoices").write_bytes(raw)
    [check] = document("books", "reconcile", "invoices")["checks"]
    assert (check["invoiced"], check["finding"]) == ("1190.50", "agrees")


def test_a_total_that_could_be_either_is_one_question() -> None:
    """A total with two readings is one question, which an option answers."""
    document("books", "import", a_bill("bill.csv", (1, "1190")))
    Path("invoices.csv").write_text("issuer;month;currency;total\nA Cloud;2026-11;USD;1.190\n")
    assert "column total: '1.190' (line 2) is 1.190 or 1190" in refusal(
        "books", "reconcile", "invoices.csv"
    )
    [check] = document("books", "reconcile", "invoices.csv", "--decimal-mark", ",")["checks"]
    assert check["finding"] == "agrees"


def test_what_was_taken_for_the_month_of_its_usage_does_not_count_twice() -> None:
    """A folder of before: the same file adds nothing, a longer one is refused until that is taken back."""
    known = shipped_text("gcp-billing")
    [period] = [line for line in known.splitlines() if line.startswith("BillingPeriodStart")]
    Path("before.toml").write_text(known.replace(period, ""))
    document("books", "import", "--mapping", "before.toml", google(*OCTOBER))
    document("books", "import", google(*OCTOBER))
    assert checks(*INVOICES[1:]) == [("7.00", "no invoice"), ("620.00", "differs")]
    longer = google(*OCTOBER, ("2026-10-31", "0.00"))
    text = refusal("books", "import", longer)
    assert "202610.json, line 1: is billed in 2026-10 and stands in the books in 2026-09" in text
    [(number,)] = [(word,) for word in text.split() if word.isdigit()]
    document("books", "imports", "void", number, "--reason", "billed in October")
    document("books", "import", longer)
    assert checks(*INVOICES[1:]) == [("627.00", "agrees")]
