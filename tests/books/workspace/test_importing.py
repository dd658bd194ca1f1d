"""Import of files: each whole or not at all, whatever it holds, with all that is worth a look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.book_settings import JANUARY_NS, NOVEMBER_NS, a_folder, settings_of
from tests.support.own_bills import ASSETS, PAYROLL, VOUCHERS

from inferworks.books.bills.base import BillFile, Progress
from inferworks.books.repository.store import BookStore
from inferworks.books.workspace.import_options import ImportOptions
from inferworks.books.workspace.import_result import ImportResult
from inferworks.books.workspace.importing import import_files, is_importable, readers
from inferworks.errors import BillError
from inferworks.folder import DataFolder
from inferworks.meter.activity import Received
from inferworks.meter.events import Reported

FOCUS = """\
BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceCategory,ResourceId
{amount},{currency},2026-11-21,2026-11-22,A Cloud,Compute,{resource}
"""
HEADER = FOCUS.splitlines()[0] + "\n"
RATES = "date,from,to,rate,source\n2026-11-21,EUR,USD,2,a test\n"
SHEET = """\
person,start,end,minutes,node,activity,pay,currency,sheet
ann,2026-11-21T09:00:00Z,2026-11-21T17:00:00Z,40,gpu-3,,32.00,USD,2026-47
"""
STORAGE = """\
bucket,id,start,end,byte_seconds,purpose
corpus,one,2026-11-21,2026-11-22,1000,data-prep
corpus,two,2026-11-22,2026-11-23,1000,data-prep
"""


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    """A data folder in a folder of our own."""
    monkeypatch.chdir(tmp_path)
    return a_folder(tmp_path)


def a_bill(amount: str = "1.00", *, currency: str = "USD", resource: str = "vm-1") -> str:
    """A bill of one line."""
    return FOCUS.format(amount=amount, currency=currency, resource=resource)


def brought(
    folder: DataFolder,
    files: dict[str, str],
    options: ImportOptions | None = None,
    at_ns: int = JANUARY_NS,
    **changes: Any,
) -> ImportResult:
    """Import files of these names and texts in one command."""
    for name, text in files.items():
        Path(name).write_text(text)
    return import_files(
        settings_of(folder, at_ns, **changes), list(files), options or ImportOptions()
    )


def counts(result: ImportResult) -> dict[str, tuple[int, int, int, str]]:
    """Lines received, accepted and known, and the amount of each file."""
    return {
        file.file: (file.received, file.accepted, file.duplicate, file.amount)
        for file in result.files
    }


@pytest.mark.parametrize(
    "text", [HEADER, PAYROLL, ASSETS, VOUCHERS, SHEET, RATES, STORAGE],
    ids=["focus", "payroll", "assets", "vouchers", "time sheet", "rates", "storage"],
)  # fmt: skip
def test_every_kind_of_file_is_importable_by_its_header(text: str) -> None:
    """Also the kinds that become no charges; at most one reader of charges takes each."""
    header, known = text.splitlines()[0].split(","), readers()
    assert is_importable(header, known)
    assert sum(reader.recognises(header) for reader in known) <= 1


@pytest.mark.parametrize("header", [[], ["a"], ["date", "amount"], ["BilledCost"]])
def test_a_header_of_no_kind_is_not_importable(header: list[str]) -> None:
    """Such a file needs a mapping."""
    assert not is_importable(header, readers())


def test_kinds_of_charges_have_names_of_their_own() -> None:
    """Kinds are on record with each file."""
    kinds = [reader.kind for reader in readers()]
    assert len(set(kinds)) == len(kinds)
    assert kinds[0] == "focus"


def test_files_are_imported_with_their_lines_and_amounts(folder: DataFolder) -> None:
    """The same command again finds all of it there."""
    files = {"a.csv": a_bill("1.00"), "b.csv": a_bill("0.25", resource="vm-2")}
    result = brought(folder, files)
    assert counts(result) == {"a.csv": (1, 1, 0, "1.00"), "b.csv": (1, 1, 0, "0.25")}
    assert (result.refused, result.notes) == ((), ())
    assert {(file.kind, file.currency, file.mapping) for file in result.files} == {
        ("focus", "USD", "")
    }
    assert counts(brought(folder, files)) == {
        "a.csv": (1, 0, 1, "0.00"),
        "b.csv": (1, 0, 1, "0.00"),
    }


def test_a_file_with_a_bad_cell_is_refused_whole_and_the_others_land(folder: DataFolder) -> None:
    """Nothing of its good lines is in the books."""
    bad = a_bill("1.00") + "x,USD,2026-11-21,2026-11-22,A Cloud,Compute,vm-9\n"
    result = brought(folder, {"bad.csv": bad, "good.csv": a_bill("2.00", resource="vm-2")})
    assert list(counts(result)) == ["good.csv"]
    [refusal] = result.refused
    assert refusal.startswith("bad.csv, line 3, column BilledCost: 'x'")
    with BookStore(folder.books, read_only=True) as store:
        assert [charge.resource_id for charge in store.charges()] == ["vm-2"]


def test_a_named_file_that_is_no_bill_is_refused(folder: DataFolder) -> None:
    """One that is not there, one of unknown columns, and one that is empty."""
    Path("odd.csv").write_text("a,b\n1,2\n")
    Path("empty.csv").write_text("")
    words = ["missing.csv", "odd.csv", "empty.csv"]
    result = import_files(settings_of(folder), words, ImportOptions())
    assert result.files == ()
    assert [text.partition(":")[0] for text in result.refused] == [
        "cannot read missing.csv", "odd.csv", "empty.csv",
    ]  # fmt: skip


def test_a_file_of_a_folder_that_is_no_bill_is_noted(folder: DataFolder) -> None:
    """A folder may hold other things; only what is named must be a bill."""
    Path("bills").mkdir()
    Path("bills/odd.csv").write_text("a,b\n1,2\n")
    Path("bills/a.csv").write_text(a_bill())
    result = import_files(settings_of(folder), ["bills"], ImportOptions())
    assert (list(counts(result)), result.refused) == (["a.csv"], ())
    [note] = result.notes
    assert note.startswith("no bill: odd.csv: neither a FOCUS bill")


def test_rates_are_imported_before_the_bills_that_need_them(folder: DataFolder) -> None:
    """Named in any order."""
    files = {"a.csv": a_bill("3.00", currency="EUR"), "rates.csv": RATES}
    result = brought(folder, files)
    assert counts(result) == {"rates.csv": (1, 1, 0, "0.00"), "a.csv": (1, 1, 0, "6.00")}
    assert [file.kind for file in result.files] == ["rates", "focus"]
    assert brought(folder, {"rates.csv": RATES}).files[0].duplicate == 1


def test_a_bill_without_its_rate_is_refused(folder: DataFolder) -> None:
    """No rate is made up."""
    [refusal] = brought(folder, {"a.csv": a_bill("3.00", currency="EUR")}).refused
    assert refusal.startswith("a.csv, line 2")
    assert "EUR" in refusal


def test_the_currency_of_new_books_is_that_of_the_settings(folder: DataFolder) -> None:
    """Books that are begun keep theirs."""
    [file] = brought(folder, {"a.csv": a_bill(currency="EUR")}, currency="EUR").files
    assert (file.currency, file.amount) == ("EUR", "1.00")
    result = brought(folder, {"b.csv": a_bill(resource="vm-2")}, currency="USD")
    assert len(result.refused) == 1


def test_a_file_without_rows_is_noted(folder: DataFolder) -> None:
    """A header alone lands as nothing, and is asked about."""
    result = brought(folder, {"a.csv": HEADER})
    assert counts(result) == {"a.csv": (0, 0, 0, "0.00")}
    assert result.notes == ("a.csv: it names its columns and has no rows; was it exported whole?",)


def test_other_amounts_are_refused_until_they_are_answered(folder: DataFolder) -> None:
    """With an answer the change is told with both totals."""
    brought(folder, {"a.csv": a_bill("1.00")})
    [question] = brought(folder, {"b.csv": a_bill("5.00")}).refused
    assert "--part if both count (6.00 USD in all)" in question
    result = brought(folder, {"b.csv": a_bill("5.00")}, ImportOptions(overlap="replace"))
    assert counts(result) == {"b.csv": (1, 1, 0, "5.00")}
    [change] = result.files[0].changes
    assert (change.before, change.after) == ({"USD": "1.00"}, {"USD": "5.00"})
    assert result.notes == (f"b.csv: {change.text}",)


def test_a_first_delivery_is_a_change_without_a_note(folder: DataFolder) -> None:
    """The lines of the file say all."""
    result = brought(folder, {"a.csv": a_bill()})
    assert [change.text for change in result.files[0].changes] == [""]
    assert result.notes == ()
    assert brought(folder, {"a.csv": a_bill()}).files[0].changes == ()


def test_a_file_in_the_books_that_would_be_refused_now_is_known(folder: DataFolder) -> None:
    """So an import of a whole folder does not fail at a file of long ago; taken back, it is refused."""
    assert counts(brought(folder, {"sheet.csv": SHEET})) == {"sheet.csv": (1, 1, 0, "32.00")}
    early_ns = NOVEMBER_NS
    result = brought(folder, {"sheet.csv": SHEET}, at_ns=early_ns)
    assert counts(result) == {"sheet.csv": (1, 0, 1, "0.00")}
    assert result.refused == ()
    assert result.notes[0].startswith(
        "sheet.csv is in the books already; a new file like it would be refused: sheet.csv, line 2"
    )
    with BookStore(folder.books) as store:
        from inferworks.books.deliveries.landing import NOTHING_CLOSED

        store.void(1, "wrong", NOTHING_CLOSED, "ann", 1)
    assert len(brought(folder, {"sheet.csv": SHEET}, at_ns=early_ns).refused) == 1


def test_pay_by_a_time_sheet_and_by_the_payroll_is_noted(folder: DataFolder) -> None:
    """Ann reports minutes of a month for which she is on the payroll; bob's pay is nobody's."""
    result = brought(folder, {"sheet.csv": SHEET, "payroll.csv": PAYROLL})
    assert result.refused == ()
    assert (
        "ann is paid by a time sheet and by the payroll for the same time; if that is the same money, "
        "one of the two is too much"
    ) in result.notes
    assert (
        "payroll.csv: 1 line of pay without a split or a department: 6100.00 USD stays unallocated, in "
        "cost of revenue"
    ) in result.notes


def test_assets_are_compared_with_what_was_imported_before_them(folder: DataFolder) -> None:
    """All files land in one command, and the register again adds nothing."""
    files = {"vouchers.csv": VOUCHERS, "assets.csv": ASSETS, "a.csv": a_bill()}
    result = brought(folder, files)
    assert sorted(counts(result)) == ["a.csv", "assets.csv", "vouchers.csv"]
    lines = result.files[[file.file for file in result.files].index("assets.csv")].received
    assert lines > 24
    assert counts(brought(folder, {"assets.csv": ASSETS})) == {
        "assets.csv": (lines, 0, lines, "0.00")
    }


def test_usage_goes_to_the_meter_and_costs_nothing(folder: DataFolder) -> None:
    """With what the meter says of it; rows on record with other values make the result an error."""
    given: list[Reported] = []

    def recorded(reports: Sequence[Reported]) -> Received:
        given.extend(reports)
        return Received(received=2, accepted=1, duplicate=0, conflict=1)

    result = brought(folder, {"storage.csv": STORAGE}, record_usage=recorded)
    [file] = result.files
    assert (file.received, file.accepted, file.duplicate, file.conflict) == (2, 1, 0, 1)
    assert (file.kind, file.amount) == ("storage", "0.00")
    assert [report.id for report in given if hasattr(report, "id")] == ["one", "two"]
    with pytest.raises(BillError, match="1 row is on record already with other values"):
        result.raise_for_refused()


def test_usage_with_a_bad_cell_never_reaches_the_meter(folder: DataFolder) -> None:
    """The file is refused with every bad cell."""

    def recorded(_: Sequence[Reported]) -> Received:
        raise AssertionError("nothing may be recorded")

    text = STORAGE.replace("1000", "-1")
    [refusal] = brought(folder, {"storage.csv": text}, record_usage=recorded).refused
    assert [line.partition(":")[0] for line in refusal.splitlines()] == [
        "storage.csv, line 2, column byte_seconds",
        "storage.csv, line 3, column byte_seconds",
    ]


def test_progress_is_shown_of_each_file(folder: DataFolder) -> None:
    """The watch is opened with the file while its rows are read, also of one that is refused."""
    seen: list[str] = []

    @contextmanager
    def watch(bill: BillFile) -> Iterator[Progress]:
        seen.append(bill.name)
        yield lambda _: None
        seen.append("end")

    Path("a.csv").write_text(a_bill())
    Path("rates.csv").write_text(RATES)
    import_files(settings_of(folder), ["a.csv", "rates.csv"], ImportOptions(), watch)
    assert seen == ["rates.csv", "end", "a.csv", "end"]


def test_a_mapping_that_cannot_be_used_stops_the_import(folder: DataFolder) -> None:
    """Before any file is read."""
    Path("map.toml").write_text("[[[")
    with pytest.raises(BillError, match=r"map\.toml"):
        brought(folder, {"a.csv": a_bill()}, ImportOptions(mapping="map.toml"))
    with BookStore(folder.books, read_only=True) as store:
        assert store.imports() == []


def test_who_brought_a_file_and_when_is_on_record(folder: DataFolder) -> None:
    """The user of the machine, at the moment of the clock."""
    brought(folder, {"a.csv": a_bill()}, at_ns=JANUARY_NS + 5)
    with BookStore(folder.books, read_only=True) as store:
        [entered] = store.imports()
    assert entered.at_ns == JANUARY_NS + 5
    assert entered.by
