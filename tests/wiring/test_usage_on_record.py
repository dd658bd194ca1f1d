"""Usage on record: what each source reported, and which of it is retracted."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.workspace.import_options import ImportOptions
from inferworks.errors import UserError
from inferworks.folder import DataFolder
from inferworks.wiring.usage_import import import_usage
from inferworks.wiring.usage_on_record import (
    RetractedUsage,
    SourceOnRecord,
    reports_of,
    retract_reports,
    sources_on_record,
)

CALLS = """\
source,id,provider,model,customer,purpose,start,end,input_tokens,output_tokens
b,1,openai,gpt-5,acme,serve-paid,2026-11-21T09:00:00Z,2026-11-21T09:00:04Z,812,96
b,2,openai,gpt-5,acme,serve-paid,2026-11-22T09:00:00Z,2026-11-22T09:00:04Z,10,5
c,1,openai,gpt-5,acme,serve-paid,2026-11-23T09:00:00Z,2026-11-23T09:00:04Z,10,5
"""


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """A data folder with two reports of b and one of c."""
    made = DataFolder(tmp_path / "data")
    made.create()
    (tmp_path / "calls.csv").write_text(CALLS)
    found = import_usage([str(tmp_path / "calls.csv")], made, options=ImportOptions())
    assert found.refused == []
    return made


def test_sources_have_counts_and_times(folder: DataFolder) -> None:
    """A source's reports are counted, from its first to its last, retracted ones too."""
    retract_reports(folder, "b", "sent by a test", ids=["1"])
    assert sources_on_record(folder) == [
        SourceOnRecord("b", 2, 1, "2026-11-21 09:00:00", "2026-11-22 09:00:00"),
        SourceOnRecord("c", 1, 0, "2026-11-23 09:00:00", "2026-11-23 09:00:00"),
    ]


def test_reports_say_what_they_are(folder: DataFolder) -> None:
    """A report has its id, kind, customer and time; a retracted one its reason."""
    retract_reports(folder, "b", "sent by a test", ids=["2"])
    one, two = reports_of("b", folder)
    assert (one.id, one.kind, one.customer) == ("1", "call", "acme")
    assert (one.start, one.retracted) == ("2026-11-21 09:00:00", None)
    assert two.retracted is not None
    assert two.retracted.reason == "sent by a test"
    assert reports_of("nobody", folder) == []


@pytest.mark.parametrize(
    ("since", "until", "retracted"),
    [
        (None, None, ["1", "2"]),
        ("2026-11-22T09:00:00Z", None, ["2"]),
        (None, "2026-11-22T09:00:00Z", ["1"]),
        ("2026-11-21T09:00:00Z", "2026-11-22T09:00:01Z", ["1", "2"]),
        ("2026-11-23T00:00:00Z", None, []),
    ],
)
def test_a_span_begins_at_its_start_and_ends_before_its_end(
    since: str | None, until: str | None, retracted: list[str], folder: DataFolder
) -> None:
    """Reports that began in it are retracted, and no others."""
    start_ns, end_ns = (moment and parse_moment_ns(moment) for moment in (since, until))
    done = retract_reports(folder, "b", "sent by a test", start_ns=start_ns, end_ns=end_ns)
    assert done == RetractedUsage(len(retracted), 0, [])
    assert [one.id for one in reports_of("b", folder) if one.retracted] == retracted
    assert all(one.retracted is None for one in reports_of("c", folder))


def test_a_retraction_is_made_once(folder: DataFolder) -> None:
    """The same again is counted as made before."""
    retract_reports(folder, "b", "sent by a test", ids=["1"])
    assert retract_reports(folder, "b", "again") == RetractedUsage(1, 1, [])


@pytest.mark.parametrize(
    ("source", "ids", "named"),
    [("b", ["1", "3"], "'3'"), ("b", ["1", "3", "4"], "'3', '4'"), ("nobody", [], "anything")],
)
def test_what_was_never_reported_retracts_nothing(
    source: str, ids: list[str], named: str, folder: DataFolder
) -> None:
    """One unknown id is enough; it is named, and all others stay."""
    with pytest.raises(UserError, match=f"'{source}' never reported {named}, so nothing"):
        retract_reports(folder, source, "sent by a test", ids=ids)
    assert all(one.retracted is None for one in reports_of("b", folder))
