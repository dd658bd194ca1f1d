"""Dated facts of a customer on the command line: its names, its clock and currency, and its merges."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.command_line import document, invoke, refusal, run

from inferworks.accounts.customer import CustomerFact
from inferworks.cli.customer_facts import clock_and_currency, note_merged, zone_at
from inferworks.ids import CustomerId

ACME, BURNS = CustomerId("acme"), CustomerId("burns")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with acme, which has prices; each test uses customers that no other one changes."""
    folder = tmp_path_factory.mktemp("facts") / "data"
    prices = ("--input-price", "1.00", "--output-price", "2.00")
    run("customers", "create", "acme", *prices, "--data", folder)
    for name in ("named", "clocked", "euro", "buyer", "bought", "lab", "plain", "paid"):
        run("customers", "create", name, "--data", folder)
    return folder


def test_a_name_holds_from_its_moment_and_can_be_taken_back(data: Path) -> None:
    """Both names are on record with their reason; an empty one is the id again."""
    rename = ("customers", "rename", "named", "--reason", "as they sign", "--data", data)
    said = run(*rename, "--name", "Named & Co", "--legal-name", "Named SE", "--from", "2025-01-01")
    assert said.stdout == "named is called Named & Co from 2025-01-01 00:00:00 UTC.\n"
    said = run(*rename, "--legal-name", "Named AG", "--from", "2025-02-01")
    assert said.stdout == "named is called Named AG from 2025-02-01 00:00:00 UTC.\n"
    shown = document("customers", "show", "named", "--data", data)
    assert (shown["name"], shown["legal_name"]) == ("Named & Co", "Named AG")
    assert [fact["reason"] for fact in shown["facts"]] == ["as they sign"] * 2
    run(*rename, "--name", "", "--from", "2025-03-01")
    assert document("customers", "show", "named", "--data", data)["name"] is None
    table = run("customers", "show", "named", "--data", data).stdout
    for text in ("legal name: Named AG", "name: Named & Co", "name: -", "as they sign"):
        assert text in table


def test_a_name_that_begins_later_is_not_yet_shown(data: Path) -> None:
    """The record has it; the name now is none."""
    run("customers", "rename", "plain", "--name", "Later", "--from", "2200-01-01",
        "--reason", "agreed", "--data", data)  # fmt: skip
    shown = document("customers", "show", "plain", "--data", data)
    assert (shown["name"], len(shown["facts"])) == (None, 1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("rename", "acme"), "give --name, --legal-name, or both"),
        (("rename", "acme", "--name", "Total"), "not usable"),
        (("rename", "nobody", "--name", "x"), "no customer nobody; create it with"),
        (("rename", "acme", "--name", "x", "--from", "soon"), "--from"),
        (("set", "acme"), "give --zone, --currency, or both"),
        (("set", "acme", "--zone", "Mars/Base"), "Mars/Base"),
        (("set", "acme", "--currency", "euro"), "euro"),
        (("set", "nobody", "--zone", "UTC"), "no customer nobody"),
        (("merge", "acme", "--from", "2025-01-01"), "give --into CUSTOMER, or --undo"),
        (("merge", "acme", "--undo", "--into", "lab", "--from", "2025-01-01"), "give --into CUSTOMER"),
        (("merge", "acme", "--into", "lab", "--from", "2025-01-01T09:00Z"), "a merge begins with a day"),
        (("merge", "acme", "--undo", "--from", "2025-01-01"), "stands on its own on 2025-01-01 already"),
        (("merge", "acme", "--into", "acme", "--from", "2025-01-01"), "stands on its own"),
        (("merge", "lab", "--into", "nobody", "--from", "2025-01-01"), "no customer nobody"),
    ],
)  # fmt: skip
def test_a_fact_that_cannot_be_is_refused(data: Path, words: tuple[str, ...], told: str) -> None:
    """One clear line, and nothing is recorded."""
    assert told in refusal("customers", *words, "--reason", "a test", "--data", data)
    assert document("customers", "show", "acme", "--data", data)["facts"] == []


def test_a_reason_is_said(data: Path) -> None:
    """Blanks are none; those around one are not kept."""
    rename = ("customers", "rename", "lab", "--name", "Lab", "--data", data)
    assert "say why, with --reason" in refusal(*rename, "--reason", "  ")
    run(*rename, "--reason", "  asked for ")
    [fact] = document("customers", "show", "lab", "--data", data)["facts"]
    assert fact["reason"] == "asked for"
    assert invoke(*rename).exit_code == 2


def test_a_clock_begins_with_a_day_of_its_own(data: Path) -> None:
    """The first of July begins in Berlin two hours before it does in UTC, and July ends there as well."""
    said = run("customers", "set", "clocked", "--zone", "Europe/Berlin", "--from", "2025-07-01",
               "--reason", "moved", "--data", data)  # fmt: skip
    assert said.stdout == (
        "clocked pays by the clock of Europe/Berlin from 2025-06-30 22:00:00 UTC; the month then ends at "
        "2025-07-31 22:00:00 UTC.\n"
    )
    shown = document("customers", "show", "clocked", "--data", data)
    assert (shown["zone"], shown["counts_as"], shown["currency"]) == (
        *("Europe/Berlin", "clocked", "USD"),
    )


def test_a_currency_begins_and_a_plan_in_another_is_pointed_out(data: Path) -> None:
    """Amounts owed by the old plan stay in its currency; prices that begin later are in the new one."""
    run("customers", "price", "euro", "--input-price", "1", "--output-price", "1", "--data", data)
    said = run("customers", "set", "euro", "--currency", "EUR", "--reason", "as they sign",
               "--data", data)  # fmt: skip
    assert said.stdout.startswith("euro has its prices in EUR from ")
    assert (
        "Note: its plan in force then is in USD, and goes on until one in EUR begins" in said.stderr
    )
    merge = ("customers", "merge", "euro", "--into", "acme", "--from", "2200-01-01")
    prices = ("--input-price", "1", "--output-price", "1")
    assert "in force from" in run("customers", "price", "euro", *prices, "--data", data).stdout
    refused = refusal(*merge, "--reason", "a test", "--data", data)
    assert "euro pays in EUR, acme in USD" in refused


def test_who_has_credit_keeps_the_currency_of_the_books(data: Path) -> None:
    """Credit is in that currency, and cannot pay for another."""
    run("customers", "credit", "paid", "--amount", "5", "--data", data)
    words = ("customers", "set", "paid", "--reason", "a test", "--data", data, "--currency")
    assert "paid has bought credit, which is in USD" in refusal(*words, "EUR")
    assert "has its prices in USD" in run(*words, "USD").stdout


def test_a_merge_holds_from_its_day_and_can_be_undone(data: Path) -> None:
    """The other's record shows it as well; a circle is refused, and the same again."""
    reason = ("--reason", "bought", "--data", data)
    merge = ("customers", "merge", "bought", *reason)
    said = run(*merge, "--into", "buyer", "--from", "2025-03-01")
    assert said.stdout == "bought counts as buyer from 2025-03-01.\n"
    assert "buyer has no price plan in force then; what it uses earns nothing" in said.stderr
    again = refusal(*merge, "--into", "buyer", "--from", "2025-03-02")
    assert again == "bought counts as buyer on 2025-03-02 already"
    circle = ("customers", "merge", "buyer", "--into", "bought", "--from", "2025-04-01", *reason)
    assert "cannot be merged" in refusal(*circle)
    clock = run("customers", "set", "bought", "--zone", "Asia/Kolkata", *reason)
    assert "bought counts as buyer then; the other's clock and prices count" in clock.stderr
    assert document("customers", "show", "bought", "--data", data)["counts_as"] == "buyer"
    [joined] = document("customers", "show", "buyer", "--data", data)["merged_with_it"]
    assert (joined["customer"], joined["reason"]) == ("bought", "bought")
    said = run(*merge, "--undo", "--from", "2025-05-01")
    assert said.stdout == "bought stands on its own again from 2025-05-01.\n"
    shown = run("customers", "show", "bought", "--data", data).stdout
    assert "counts as:" not in shown
    for text in ("bought counts as buyer", "bought on its own again", "time zone: Asia/Kolkata"):
        assert text in shown


def test_a_customer_that_is_not_there_has_no_record(data: Path) -> None:
    """One line, with the command that lists them."""
    assert refusal("customers", "show", "nobody", "--data", data) == (
        "there is no customer nobody; see: inferworks customers list"
    )


def test_a_zone_is_that_of_the_last_fact_before() -> None:
    """UTC before there is one; facts of something else change nothing."""
    facts = [
        clock_and_currency(ACME, "Europe/Berlin", None, 10, 1, ""),
        clock_and_currency(ACME, None, "EUR", 15, 1, ""),
        clock_and_currency(ACME, "Asia/Kolkata", None, 20, 1, ""),
    ]
    assert [zone_at(facts, ns) for ns in (9, 10, 19, 20)] == [
        *("UTC", "Europe/Berlin", "Europe/Berlin", "Asia/Kolkata"),
    ]
    assert zone_at([], 1) == "UTC"


def test_a_note_is_printed_only_of_a_merged_customer(capsys: pytest.CaptureFixture[str]) -> None:
    """From the moment of the merge on, on the error output."""
    merged = CustomerFact(customer=BURNS, effective_ns=5, recorded_ns=1, by="x", merged_into=ACME)
    for customer, at_ns in ((BURNS, 4), (ACME, 5), (BURNS, 5)):
        note_merged([merged], customer, at_ns, f"told of {customer} at {at_ns}")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "Note: burns counts as acme then; told of burns at 5\n")
