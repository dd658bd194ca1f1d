"""Bills from folders, patterns, zips and object stores, and how a file is written, as options."""

from __future__ import annotations

import gzip
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import invoke, refusal, run

from inferworks.errors import DataFolderError, UserError
from inferworks.meter.lakes.base import LakeStore
from inferworks.meter.lakes.local import LocalLake
from inferworks.wiring.books import open_books

BILL = """\
BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,InvoiceId
{cost},USD,2026-11-21T00:00:00Z,2026-11-22T00:00:00Z,A Cloud,{invoice}
"""
EUROS = BILL.replace("USD", "EUR")
RATES = "date,from,to,rate,source\n2026-11-21,EUR,USD,2,a test\n"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of our own."""
    monkeypatch.chdir(tmp_path)


def bucket_at(url: str) -> LakeStore:
    """The object store at a URL, which is a folder beside; or the lake of a data folder."""
    return LocalLake(Path(url.partition("://")[2] or url))


def bill(invoice: str, cost: str = "1.00") -> str:
    """A bill of one line."""
    return BILL.format(invoice=invoice, cost=cost)


def told(*arguments: str) -> dict[str, Any]:
    """Report on each file."""
    result = invoke("books", "import", "--json", *arguments)
    said: dict[str, Any] = json.loads(result.stdout)
    assert (result.exit_code == 0) == (not said["refused"]), result.output
    return said


def names(said: dict[str, Any]) -> list[str]:
    """The files that landed, in the order in which they did."""
    return [file["file"] for file in said["files"]]


def a_folder() -> None:
    """Bills in a folder and below it, rates that they need, and what is none."""
    below = Path("bills/2026-11")
    below.mkdir(parents=True)
    Path("bills/b.csv").write_text(bill("b"))
    Path("bills/a.csv.gz").write_bytes(gzip.compress(bill("a").encode()))
    (below / "euros.csv").write_text(EUROS.format(invoice="e", cost="1.00"))
    (below / "rates.csv").write_text(RATES)
    Path("bills/manifest.json").write_text('{"files": 4}')
    Path("bills/_SUCCESS").write_text("")
    Path("bills/readme.pdf").write_bytes(b"%PDF-1.7")


def test_a_folder_in_the_order_of_names() -> None:
    """With what lies below it; rates first, for the others may need them; what is no bill is listed."""
    a_folder()
    said = told("bills")
    assert names(said) == ["2026-11/rates.csv", "2026-11/euros.csv", "a.csv.gz", "b.csv"]
    assert [file["amount"] for file in said["files"]] == ["0.00", "2.00", "1.00", "1.00"]
    listed = "\n".join(said["notes"])
    assert len(said["notes"]) == 3
    assert all(f"no bill: {name}" in listed for name in ("_SUCCESS", "manifest.json", "readme.pdf"))
    assert [file["duplicate"] for file in told("bills")["files"]] == [1, 1, 1, 1]


def test_a_bad_bill_in_a_folder_is_refused_and_the_others_land() -> None:
    """Each file is taken in whole or not at all."""
    a_folder()
    Path("bills/c.csv").write_text(bill("c") + "1,2\n")
    said = told("bills")
    assert len(said["files"]) == 4
    assert len(said["refused"]) == 1
    assert said["refused"][0].startswith("c.csv, line 3")


def test_a_pattern_and_an_empty_folder() -> None:
    """A pattern that the shell has left alone names files; one that matches none is an error."""
    a_folder()
    assert names(told("bills/*.csv")) == ["b.csv"]
    assert names(told("bills/**/euros*", "bills/2026-11/rates.csv")) == ["rates.csv", "euros.csv"]
    assert told("nothing/*.csv")["refused"] == ["nothing/*.csv: no file matches"]
    Path("empty").mkdir()
    assert told("empty")["notes"] == ["empty: no file to import is in the folder"]


def test_a_file_that_is_named_must_be_a_bill() -> None:
    """A file that is named, and not merely found in a folder, must be a bill."""
    a_folder()
    assert told("bills/readme.pdf")["refused"] == [
        "readme.pdf: a PDF, which has no columns; ask its sender for CSV"
    ]


def test_a_zip_of_bills() -> None:
    """Members of a zip land one by one."""
    with zipfile.ZipFile("export.zip", "w") as archive:
        archive.writestr("2026-11/b.csv", bill("b"))
        archive.writestr("2026-11/a.csv", bill("a"))
        archive.writestr("Manifest.json", "{}")
    said = told("export.zip")
    assert names(said) == ["export.zip/2026-11/a.csv", "export.zip/2026-11/b.csv"]
    assert len(said["notes"]) == 1


def test_an_object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object, what lies below a name, and a pattern; a store that fails is one line."""
    for name in ("a/2026-11/a.csv", "a/2026-11/b.csv", "a/2026-12/c.csv"):
        path = Path("bucket") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(bill(path.stem))
    monkeypatch.setattr("inferworks.wiring.books.lake_at", bucket_at)
    for url in ("s3://bucket/a/2026-11/", "s3://bucket/a/2026-11"):
        assert [Path(name).name for name in names(told(url))] == ["a.csv", "b.csv"]
    assert len(names(told("s3://bucket"))) == 3
    assert names(told("gs://bucket/a/*/c.csv")) == ["2026-12/c.csv"]
    assert names(told("az://bucket/a/2026-12/c.csv")) == ["c.csv"]
    assert "is missing from the lake" in told("az://bucket/none.csv")["refused"][0]


def test_parts_of_one_export_in_an_object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetched one after the other they are parts of it, as they are when they come together."""
    monkeypatch.setattr("inferworks.wiring.books.lake_at", bucket_at)
    for number in (1, 2):
        path = Path(f"bucket/export/part-0000{number}.csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(bill("a", f"{number}.00"))
        said = told(f"s3://bucket/export/part-0000{number}.csv")
        assert said["files"][0]["accepted"] == 1
    assert [file["duplicate"] for file in told("s3://bucket/export")["files"]] == [1, 1]


def test_a_store_that_nobody_knows() -> None:
    """The reason, and nothing of what a library says to its makers."""
    [reason] = told("ftp://host/bills/")["refused"]
    assert reason.startswith("ftp://host/bills is no lake; give a folder, or s3://")
    assert "Debug" not in reason


def test_how_a_file_is_written_is_asked_and_answered() -> None:
    """One question, with the option that answers it."""
    Path("bill.csv").write_text(bill("a", '"1,234"'))
    [question] = told("bill.csv")["refused"]
    assert "--decimal-mark" in question
    assert told("--decimal-mark", ",", "bill.csv")["files"][0]["amount"] == "1.234"
    days = bill("d").replace("2026-11-21T00:00:00Z", "5/6/2026")
    Path("days.csv").write_text(days.replace("2026-11-22T00:00:00Z", "6/6/2026"))
    [question] = told("days.csv")["refused"]
    assert "--dates DMY" in question
    [change] = told("--dates", "DMY", "days.csv")["files"][0]["changes"]
    assert change["delivery"] == "A Cloud, 2026-06"
    result = invoke("books", "import", "--json", "--zone", "Atlantis", "bill.csv")
    assert result.exit_code == 2
    assert "no time zone" in result.output


def test_usage_comes_in_the_same_forms() -> None:
    """Calls in a packed file with days as spreadsheets write them."""
    calls = (
        "source;id;provider;model;customer;purpose;start;end;input_tokens;output_tokens\n"
        "g;1;openai;gpt-5;acme;serve-paid;21.11.2026 09:00;21.11.2026 09:01;1.000;5\n"
        "g;2;openai;gpt-5;acme;serve-paid;21.11.2026 09:00;21.11.2026 09:01;1.000,0;5\n"
    )
    Path("calls.csv.gz").write_bytes(gzip.compress(calls.encode("utf-16")))
    run("usage", "import", "--json", "calls.csv.gz")
    [again] = told("calls.csv.gz")["files"]
    assert (again["kind"], again["duplicate"]) == ("calls", 2)
    Path("spend.jsonl").write_text(
        '{"request_id":"r1","spend":0.1,"prompt_tokens":8,"completion_tokens":2,'
        '"startTime":"2026-11-21T10:00:00Z","model":"openai/gpt-5-mini","end_user":"acme"}'
    )
    for command in ("usage", "books"):
        run(command, "import", "spend.jsonl")


def test_what_is_no_file_is_refused_where_it_is_named_and_left_out_where_it_is_not() -> None:
    """A pipe would be waited for and a device read without an end; standard input has no name."""
    Path("bills").mkdir()
    Path("bills/a.csv").write_text(bill("a"))
    os.mkfifo("bills/pipe.csv")
    Path("bills/zero.csv").symlink_to("/dev/zero")
    said = told("bills")
    assert names(said) == ["a.csv"]
    left_out = "left out, it is no regular file"
    assert said["notes"] == [f"bills/pipe.csv: {left_out}", f"bills/zero.csv: {left_out}"]
    assert said["refused"] == []
    for word in ("bills/pipe.csv", "bills/z*.csv"):
        assert "it is not a regular file; save what it has in one" in refusal(
            "books", "import", word
        )
    assert "standard input is not read" in refusal("books", "import", "-")
    assert "it is not a regular file" in refusal("usage", "import", "bills/pipe.csv")
    assert "it is not a regular file" in refusal("books", "statement", "--budget", "bills/pipe.csv")


def test_an_empty_name_is_refused_and_stands_for_no_folder() -> None:
    """A variable that is not set names nothing; the working directory is not read in its place."""
    Path("a.csv").write_text(bill("a"))
    assert "the name of a file to import is empty" in refusal("books", "import", "")
    for options in (["--data", ""], ["--config", ""], ["--mapping", " "]):
        assert "it is empty" in refusal("books", "import", "a.csv", *options)
    with pytest.raises(DataFolderError, match="the name of the data folder is empty"):
        open_books("")
    with pytest.raises(UserError, match="the name of the configuration file is empty"):
        open_books("data", "")


def test_the_files_of_the_data_folder_are_none_to_import() -> None:
    """Neither by a folder that holds it nor by a pattern; bills beside them are, even within it."""
    Path("a.csv").write_text(bill("a"))
    assert names(told(".")) == ["a.csv"]
    assert (names(told(".")), told(".")["notes"]) == (["a.csv"], [])
    Path("inferworks-data/b.csv").write_text(bill("b"))
    assert names(told("inferworks-data/*")) == ["b.csv"]
    assert names(told("inferworks-data")) == ["b.csv"]


def test_a_folder_of_other_things_is_no_data_folder() -> None:
    """A mistyped name is refused with the way to begin; an import begins one, even if it is refused."""
    Path("there").mkdir(mode=0o700)
    Path("there/notes.txt").write_text("none of ours")
    for words in (["statement"], ["verify"], ["periods"], ["estimates"], ["imports", "list"]):
        assert "is no data folder: it holds no books" in refusal("books", *words, "--data", "there")
    with pytest.raises(DataFolderError, match="begin with: inferworks books import FILE"):
        open_books("there").verify()
    assert "is no data folder" in refusal("books", "close", "2025-10", "--data", "there")
    Path("bad.csv").write_text("a,b\n1,2\n")
    refusal("books", "import", "bad.csv", "--data", "there")
    assert open_books("there").statement().billed_pico == 0
