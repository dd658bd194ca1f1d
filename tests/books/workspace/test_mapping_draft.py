"""Draft of a mapping: for columns that nobody knows, and none for files that need none."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferworks.books.bills.mapping import BillMapping, shipped, shipped_text
from inferworks.books.workspace.mapping_draft import draft_mapping
from inferworks.errors import BillError

FOCUS = (
    "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd\n1,USD,2026-11-01,2026-11-02\n"
)


def written(path: Path, text: str) -> Path:
    """A file with this text."""
    file = path / "file.csv"
    file.write_text(text)
    return file


def test_unknown_columns_have_a_draft(tmp_path: Path) -> None:
    """The draft names the file and each of its columns."""
    text = draft_mapping(written(tmp_path, "Posted,What,Sum\n2026-11-01,disk,1.50\n"))
    assert "file.csv" in text
    assert all(name in text for name in ("Posted", "What", "Sum"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (FOCUS, "has our columns and needs no mapping; import it as it is"),
        ("date,from,to,rate,source\n", "has our columns and needs no mapping; import it as it is"),
        ("", "empty"),
    ],
    ids=["focus", "rates", "empty"],
)
def test_a_file_that_needs_no_mapping_has_none(tmp_path: Path, text: str, reason: str) -> None:
    """Ours are imported as they are."""
    with pytest.raises(BillError, match=reason) as refused:
        draft_mapping(written(tmp_path, text))
    assert "file.csv" in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(BillError, match=r"nothing\.csv"):
        draft_mapping(tmp_path / "nothing.csv")


@pytest.mark.parametrize(
    "mapping",
    [m for m in shipped() if m.recognise and not m.recognise.rows and not m.recognise.without][:4],
    ids=lambda mapping: mapping.name,
)  # fmt: skip
def test_a_known_export_is_told_its_own_mapping(tmp_path: Path, mapping: BillMapping) -> None:
    """With a remark that it needs none."""
    assert mapping.recognise is not None
    header = ",".join(name.replace("*", "x") for name in mapping.recognise.columns)
    cells = ",".join("1" for _ in mapping.recognise.columns)
    found = draft_mapping(written(tmp_path, f"{header}\n{cells}\n"))
    assert found.startswith(f"# file.csv is known as {mapping.title} and needs no mapping")
    assert found.endswith(shipped_text(mapping.name))
