"""Files of usage: what became of the rows of each, what was refused, and what is noted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inferworks.books.bills.base import BillFile, Progress
from inferworks.books.workspace.import_options import ImportOptions
from inferworks.folder import DataFolder
from inferworks.meter.activity import Received
from inferworks.wiring.usage_import import ImportedUsage, import_usage

HEADER = "id,provider,model,customer,purpose,start,end,input_tokens,output_tokens\n"
GOOD = "1,openai,gpt-5,acme,serve-paid,2026-11-21T09:00:00Z,2026-11-21T09:00:04Z,812,96\n"
BAD = "2,openai,gpt-5,acme,serve-paid,2026-11-21T09:00:00Z,2026-11-21T09:00:04Z,many,96\n"


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """A data folder with nothing in it."""
    made = DataFolder(tmp_path / "data")
    made.create()
    return made


def imported(folder: DataFolder, skip_bad: bool = False, **files: str) -> ImportedUsage:
    """Import files of these texts, in the order of their names."""
    paths = []
    for name, text in files.items():
        path = folder.path.parent / f"{name}.csv"
        path.write_text(text)
        paths.append(str(path))
    return import_usage(paths, folder, source="b", options=ImportOptions(), skip_bad=skip_bad)


def test_rows_count_once(folder: DataFolder) -> None:
    """The same file again is a duplicate, and nobody has to be told of it."""
    for counts in (Received(1, 1, 0, 0), Received(1, 0, 1, 0)):
        assert imported(folder, calls=HEADER + GOOD) == ImportedUsage({"calls.csv": counts})


def test_another_row_of_the_same_id_is_kept_aside(folder: DataFolder) -> None:
    """A conflict counts as one, and what to do about it stands in what was refused."""
    imported(folder, first=HEADER + GOOD)
    found = imported(folder, second=HEADER + GOOD.replace("812", "813"))
    assert list(found.files.values()) == [Received(1, 0, 0, 1)]
    [refusal] = found.refused
    assert "1" in refusal
    assert "quarantine" in refusal


def test_a_bad_row_refuses_its_file_alone(folder: DataFolder) -> None:
    """No row of it is recorded; those of the file beside it are."""
    found = imported(folder, a=HEADER + GOOD + BAD, b=HEADER + GOOD)
    assert list(found.files.values()) == [Received(1, 1, 0, 0)]
    assert "a.csv" in found.refused[0]
    assert "many" in found.refused[0]


def test_a_bad_row_may_be_passed_over(folder: DataFolder) -> None:
    """With `skip_bad` the others are recorded, and the bad one is counted and named."""
    found = imported(folder, skip_bad=True, a=HEADER + GOOD + BAD)
    assert list(found.files.values()) == [Received(2, 1, 0, 0, 1)]
    assert len(found.refused) == 1


def test_a_file_without_rows_is_noted(folder: DataFolder) -> None:
    """A header alone is no fault, and no success that one should take for one."""
    found = imported(folder, empty=HEADER)
    assert (list(found.files.values()), found.refused) == ([Received(0, 0, 0, 0)], [])
    assert "empty.csv" in found.notes[0]


def test_a_file_of_another_kind_is_refused(folder: DataFolder) -> None:
    """A file that is no usage is named, and has no counts."""
    found = imported(folder, other="colour\nred\n")
    assert found.files == {}
    assert "other.csv" in found.refused[0]


def test_nothing_found_is_refused(folder: DataFolder) -> None:
    """A file that is not there is named."""
    found = import_usage(["gone.csv"], folder, options=ImportOptions())
    assert found.files == {}
    assert "gone.csv" in found.refused[0]


def test_progress_is_of_each_file(folder: DataFolder) -> None:
    """A watcher hears of each file, and of its rows."""
    heard: list[tuple[str, int]] = []

    @contextmanager
    def watch(bill: BillFile) -> Iterator[Progress]:
        heard.append((Path(bill.name).name, 0))
        yield lambda rows: heard.append((Path(bill.name).name, rows))

    for name in ("a.csv", "b.csv"):
        (folder.path.parent / name).write_text(HEADER + GOOD)
    names = [str(folder.path.parent / name) for name in ("a.csv", "b.csv")]
    import_usage(names, folder, options=ImportOptions(), watch=watch)
    assert [name for name, rows in heard if not rows] == ["a.csv", "b.csv"]
