"""The accounting service alone: statements, closes, exports and audits without a command line."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from inferworks.accounts.customer import Customer
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.books.bills.base import bill_file
from inferworks.books.deliveries.record import State
from inferworks.books.exports.base import content
from inferworks.books.repository.store import BookStore
from inferworks.books.workspace.import_options import ImportOptions
from inferworks.books.workspace.settings import Settings
from inferworks.books.workspace.workspace import Workspace
from inferworks.clock import SimClock
from inferworks.errors import BillError, DataFolderError, UserError
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.meter.lakes.detect import lake_at
from inferworks.meter.lakes.stub import MemoryLake
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.money import parse_pico
from inferworks.testing.books import a_charge
from inferworks.wiring.usage_reports import record_usage

NOVEMBER_NS, DECEMBER_NS = 1_793_491_200 * 10**9, 1_796_083_200 * 10**9
JANUARY_NS = 1_798_761_600 * 10**9


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> DataFolder:
    """A data folder with a bill of November."""
    folder = DataFolder(tmp_path / "data")
    folder.create()
    bill(folder, "november", "12.50")
    return folder


def bill(folder: DataFolder, name: str, amount: str) -> None:
    """Import a bill of one line for November."""
    charge = a_charge(name, amount, (NOVEMBER_NS, DECEMBER_NS))
    with BookStore(folder.books) as store:
        store.add(bill_file(f"{name}.csv", name.encode()), "voucher", [charge], 1)


def workspace_of(folder: DataFolder, notes: list[str], at_ns: int = JANUARY_NS) -> Workspace:
    """The workspace over `folder` at a moment; its notes are added to `notes`."""
    settings = Settings(
        folder=folder,
        lake=MemoryLake,
        accounts=lambda: closing(SqliteAccounts(folder.accounts, read_only=True)),
        change_accounts=lambda: closing(SqliteAccounts(folder.accounts)),
        object_store=lake_at,
        record_usage=lambda reports: record_usage(reports, folder),
        clock=SimClock(at_ns),
    )
    return Workspace(settings, notes.append)


def test_a_statement_and_what_explains_it(folder: DataFolder) -> None:
    """The newest period is meant where none is named, a note says so, and all views agree."""
    notes: list[str] = []
    workspace = workspace_of(folder, notes)
    query = workspace.query()
    assert (query.period, notes) == ("2026-11", ["no period was named; this is 2026-11."])
    drawn, bridge = workspace.bridge(query)
    assert (
        drawn.billed_pico
        == bridge.revenue_pico - bridge.steps[-1].margin_pico
        == parse_pico("12.50")
    )
    assert workspace.statement(query) == drawn
    assert workspace.statement(query, engine="reference") == drawn
    pool = drawn.lines[0].pool
    assert workspace.explain(f"pool:{pool}", query).cost.amount_pico == parse_pico("12.50")
    computation, compared = workspace.compare("gaap", "marginal", query)
    assert computation.lines == drawn.lines
    assert compared.one.billed_pico == compared.other.billed_pico


def test_close_export_verify_and_reopen(folder: DataFolder) -> None:
    """A closed period stays as it was sealed; what comes late is booked in the next, and noted."""
    notes: list[str] = []
    workspace = workspace_of(folder, notes)
    closed = workspace.close("2026-11")
    query = workspace.query("2026-11")
    [(close, sha256)] = workspace.closes()
    assert workspace.close_of(query) == (close, sha256) == (closed.record, closed.sha256)
    assert workspace.sealed_json(query) is not None
    [file] = workspace.export("json", query)
    before = content(file)
    assert json.loads(before)["statement"]["billed"] == "12.50"
    assert not notes
    bill(folder, "late", "3.25")
    assert workspace.statement(query) == closed.statement
    workspace.export("json", query)
    assert notes == ["2026-11 is as it was sealed; its corrections are in 2026-12."]
    assert workspace.statement(workspace.query("2026-12")).billed_pico == parse_pico("3.25")
    _, files = workspace.export_journal("hledger", workspace.query("2026-12"))
    assert len(files) == 1
    assert workspace.verify(head=sha256) == workspace.verify(head=sha256[:12]) == ([], 1)
    assert workspace.verify(head=f"{sha256[:63]}{'1' if sha256[63] == '0' else '0'}").findings
    assert workspace.verify(head="0" * 64).findings
    workspace.reopen("2026-11", "the bill came late")
    assert workspace.statement(query).billed_pico == parse_pico("15.75")


def test_what_is_wrong_is_said_in_one_line(folder: DataFolder, tmp_path: Path) -> None:
    """A period that is to come, one beside dates, one never closed, and no folder at all."""
    workspace = workspace_of(folder, [], at_ns=DECEMBER_NS - 1)
    with pytest.raises(UserError, match="2026-12 has not begun: it begins 2026-12-01 00:00:00"):
        workspace.close("2026-12", begin=True)
    with pytest.raises(UserError, match="not both"):
        workspace.query("2026-11", start_ns=NOVEMBER_NS)
    with pytest.raises(UserError, match="never closed"):
        workspace.verify("2026-11")
    with pytest.raises(DataFolderError, match="no data folder"):
        workspace_of(DataFolder(tmp_path / "none"), []).statement()


def test_a_running_period_is_provisional(folder: DataFolder) -> None:
    """The statement says so first, and a close is noted to be early."""
    notes: list[str] = []
    workspace = workspace_of(folder, notes, at_ns=DECEMBER_NS - 1)
    drawn = workspace.statement(workspace.query("2026-11"))
    assert drawn.notes[0] == "Provisional: it is not over until 2026-12-01 00:00:00."
    workspace.close("2026-11")
    assert notes == ["the period has not ended; what is still to come will be late."]


BILL = """\
BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,InvoiceId
{cost},USD,2026-11-21T00:00:00Z,2026-11-22T00:00:00Z,A Cloud,{invoice}
"""


def test_bills_are_imported_asked_about_and_voided(tmp_path: Path) -> None:
    """Typed results for what was stored, refused and noted; nothing but the workspace is needed."""
    folder = DataFolder(tmp_path / "data")
    workspace = workspace_of(folder, [])
    for name, cost in (("a", "1.00"), ("b", "2.00")):
        (tmp_path / f"{name}.csv").write_text(BILL.format(cost=cost, invoice="I-1"))
    december = BILL.format(cost='"1,234"', invoice="I-2").replace("2026-11", "2026-12")
    (tmp_path / "c.csv").write_text(december)
    first = workspace.import_bills(tmp_path / "a.csv")
    assert [(one.file, one.kind, one.accepted, one.amount) for one in first.files] == [
        ("a.csv", "focus", 1, "1.00")
    ]
    first.raise_for_refused()
    [again] = workspace.import_bills(str(tmp_path / "a.csv")).files
    assert (again.accepted, again.duplicate) == (0, 1)
    second = workspace.import_bills([str(tmp_path / "[bc].csv")])
    assert not second.files
    assert ["--decimal-mark" in text for text in second.refused] == [True, False]
    with pytest.raises(BillError, match="overlap 1 line of a"):
        second.raise_for_refused()
    [question] = workspace.questions()
    assert workspace.settle(question.number, " a draft ").reason == "a draft"
    assert workspace.questions() == []
    assert workspace.questions(settled=True)[0].by
    third = workspace.import_bills(tmp_path / "b.csv", ImportOptions(overlap="replace"))
    assert third.files[0].changes[0].text.startswith("revision 2 of ")
    fourth = workspace.import_bills(tmp_path / "c.csv", ImportOptions(decimal_mark=","))
    assert fourth.files[0].amount == "1.234"
    number = workspace.imports()[-1].number
    assert workspace.void_import(number, "of another company").lines == 1
    assert workspace.import_of(number).state is State.VOID
    assert len(workspace.imports(every=True)) > len(workspace.imports())


def test_bills_agree_with_invoices(tmp_path: Path) -> None:
    """A bill beside its invoice, and the suppliers whose bill of the month is missing."""
    workspace = workspace_of(DataFolder(tmp_path / "data"), [])
    path, invoices = tmp_path / "a.csv", tmp_path / "invoices.csv"
    path.write_text(BILL.format(cost="1.005", invoice="I-1"))
    invoices.write_text("issuer,invoice,currency,total\nA Cloud,I-1,USD,1.01\n")
    workspace.import_bills(path)
    assert workspace.reconcile(invoices).agrees
    assert not workspace.reconcile(period="2026-12").agrees
    with pytest.raises(UserError, match="name a file of invoices"):
        workspace.reconcile()


def test_credit_is_entered_refunded_and_voided(folder: DataFolder) -> None:
    """No more is refunded than is left, the excess is told, and a void leaves nothing to refund."""
    workspace = workspace_of(folder, [])
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        accounts.add_customer(Customer(CustomerId("acme"), 0))
    bought = workspace.enter_credit("acme", parse_pico("100"), NOVEMBER_NS).credit
    refund = workspace.enter_credit("acme", parse_pico("-130"), DECEMBER_NS, reason="ended")
    assert (refund.credit.amount_pico, refund.excess_pico) == (parse_pico("-100"), parse_pico("30"))
    assert refund.counts_for == "acme"
    workspace.void_credit(refund.credit.id, "entered by mistake")
    [wallet] = workspace.wallets()
    assert wallet.closing_pico == bought.amount_pico
    assert [one.voided_ns is None for one in workspace.credits("acme")] == [True, False]
    with pytest.raises(UserError, match="is yet to come"):
        workspace.enter_credit("acme", parse_pico("1"), JANUARY_NS + 1)


def test_a_mapping_is_drafted(tmp_path: Path) -> None:
    """A file of unknown columns gets one; a file of ours needs none."""
    workspace = workspace_of(DataFolder(tmp_path / "data"), [])
    path = tmp_path / "gpu.csv"
    path.write_text("Date,Machine,Total\n2026-11-21,gpu-3,12.50\n")
    assert 'kind = "' in workspace.draft_mapping(path)
    path.write_text(BILL.format(cost="1.00", invoice="I-1"))
    with pytest.raises(BillError, match="needs no mapping"):
        workspace.draft_mapping(path)


@pytest.mark.parametrize("value", [{"overlap": "both"}, {"dates": "YDM"}, {"zone": "Atlantis"}])
def test_an_option_that_means_nothing_is_refused(value: dict[str, str]) -> None:
    """The option is named, and its value."""
    [(name, text)] = value.items()
    with pytest.raises(UserError, match=f"{name}: '{text}'"):
        ImportOptions(**value)


@pytest.mark.slow
def test_no_command_line_is_needed() -> None:
    """The service loads no module of the command line, and nothing that draws one."""
    program = (
        "import sys, inferworks.books.workspace as all; from importlib import import_module\n"
        "from pkgutil import iter_modules\n"
        "for one in iter_modules(all.__path__, f'{all.__name__}.'): import_module(one.name)\n"
        "print(*sys.modules, sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name for name in done.stdout.split() if name.startswith(("inferworks.cli", "click"))}
    assert not loaded


def test_a_folder_in_which_nothing_was_imported_has_no_imports(tmp_path: Path) -> None:
    """A journal alone is a data folder: it has no import and no question, and none can be settled."""
    folder = DataFolder(tmp_path / "data")
    folder.create()
    with closing(SqliteStore(folder.journal)) as store:
        store.open()
    workspace = workspace_of(folder, [])
    assert workspace.imports(every=True) == workspace.questions(settled=True) == []
    with pytest.raises(UserError, match="there is no import 1"):
        workspace.import_of(1)
    for change in (workspace.settle, workspace.void_import):
        with pytest.raises(UserError, match=r"nothing was imported into .* yet; begin with"):
            change(1, "a reason")
    none = workspace_of(DataFolder(tmp_path / "none"), [])
    for ask in (none.imports, none.questions):
        with pytest.raises(DataFolderError, match="no data folder"):
            ask()
