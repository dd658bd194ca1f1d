"""Manifests of AWS and Azure: exactly the parts that the newest names, all of them or none."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import invoke

from inferworks.books.bills.manifests import read_manifest
from inferworks.books.repository.store import BookStore
from inferworks.meter.lakes.base import LakeStore
from inferworks.meter.lakes.local import LocalLake
from inferworks.money import format_pico

FOCUS = (
    "BilledCost,BillingCurrency,BillingAccountId,BillingPeriodStart,ChargePeriodStart,ChargePeriodEnd,"
    "InvoiceIssuerName,ServiceCategory,ResourceId\n"
)
BARE = "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ResourceId\n"
AZURE, REPORT, EXPORT = "exports/focus/20261101-20261130", "cur/daily/20261101-20261201", "dx/cur2"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of our own."""
    monkeypatch.chdir(tmp_path)


def lines(*costs: tuple[str, str]) -> bytes:
    """A part of a FOCUS export: what each resource cost on a day of November."""
    rows = (
        f"{cost},USD,acct-1,2026-11-01,2026-11-03,2026-11-04,A Cloud,Compute,{resource}\n"
        for resource, cost in costs
    )
    return gzip.compress((FOCUS + "".join(rows)).encode(), mtime=0)


def put(path: str, raw: bytes | dict[str, Any]) -> Path:
    """A file in the bucket."""
    file = Path("bucket") / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(raw if isinstance(raw, bytes) else json.dumps(raw).encode())
    return file


def azure(run: str, submitted: str, *parts: bytes, rows: int = 0) -> Path:
    """A run of a Cost Management export, each in a folder of its own; its manifest."""
    blobs = []
    for number, raw in enumerate(parts):
        name = f"{AZURE}/{run}/part_{number}_0001.csv.gz"
        put(name, raw)
        count = gzip.decompress(raw).count(b"\n") - 1 + rows
        blobs.append({"blobName": name, "byteCount": len(raw), "dataRowCount": count})
    return put(
        f"{AZURE}/{run}/manifest.json",
        {
            "manifestVersion": "2024-04-01",
            "byteCount": sum(map(len, parts)),
            "blobCount": len(blobs),
            "dataRowCount": sum(blob["dataRowCount"] for blob in blobs),
            "exportConfig": {
                "exportName": "focus",
                "resourceId": "/providers/Microsoft.Billing/billingAccounts/42/providers/"
                "Microsoft.CostManagement/exports/focus",
                "dataVersion": "1.0",
                "type": "FocusCost",
                "timeFrame": "MonthToDate",
                "granularity": "Daily",
            },
            "deliveryConfig": {
                "partitionData": True,
                "dataOverwriteBehavior": "CreateNewReport",
                "fileFormat": "Csv",
                "compressionMode": "gzip",
                "containerUri": "/subscriptions/1/resourceGroups/g/providers/x",
                "rootFolderPath": "exports",
            },
            "runInfo": {
                "executionType": "Scheduled",
                "submittedTime": submitted,
                "runId": run,
                "startDate": "2026-11-01T00:00:00",
                "endDate": "2026-11-30T00:00:00",
            },
            "blobs": blobs,
        },
    )


def report(assembly: str, folder: str, *keys: str) -> Path:
    """The manifest of a legacy Cost and Usage Report."""
    return put(
        f"{folder}/daily-Manifest.json",
        {
            "assemblyId": assembly,
            "account": "123456789012",
            "columns": [{"category": "identity", "name": "LineItemId"}],
            "charset": "UTF-8",
            "compression": "GZIP",
            "contentType": "text/csv",
            "reportId": "f00",
            "reportName": "daily",
            "billingPeriod": {"start": "20261101T000000.000Z", "end": "20261201T000000.000Z"},
            "bucket": "a-bucket",
            "reportKeys": list(keys),
            "additionalArtifactKeys": [],
        },
    )


def data_export(execution: str, *files: Any, folder: str = "") -> Path:
    """The manifest of a Data Export."""
    return put(
        f"{EXPORT}/metadata/BILLING_PERIOD=2026-11{folder}/cur2-Manifest.json",
        {
            "executionId": execution,
            "exportArn": "arn:aws:bcm-data-exports:us-east-1:123456789012:export/cur2-1",
            "columns": [{"name": "BilledCost", "type": "double"}],
            "dataFiles": list(files),
        },
    )


def told(*words: str) -> dict[str, Any]:
    """Report that `books import` prints."""
    result = invoke("books", "import", "--json", *words)
    said: dict[str, Any] = json.loads(result.stdout)
    assert (result.exit_code == 0) == (not said["refused"]), result.output
    return said


def booked() -> dict[str, str]:
    """Cost of each resource, by the books."""
    with BookStore(Path("inferworks-data/books.db"), read_only=True) as store:
        return {
            str(charge.resource_id): format_pico(charge.amount_pico) for charge in store.charges()
        }


def test_the_newest_run_of_azure_is_the_delivery() -> None:
    """Fewer parts, other amounts, a line that is gone: nothing of the older run is counted beside it."""
    azure(
        "run-1",
        "2026-11-05T04:00:01.1234567Z",
        lines(("a", "1.00"), ("b", "2.00")),
        lines(("c", "3.00")),
    )
    assert len(told("bucket")["files"]) == 2
    assert booked() == {"a": "1.00", "b": "2.00", "c": "3.00"}
    azure("run-0", "2026-11-06T04:00:02Z", lines(("a", "1.50"), ("c", "3.00")))
    said = told("bucket")
    [file] = said["files"]
    assert file["file"].endswith("run-0/part_0_0001.csv.gz")
    assert any("run-1/part_1_0001.csv.gz: left out" in note for note in said["notes"])
    assert booked() == {"a": "1.50", "c": "3.00"}
    told(f"bucket/{AZURE}/run-1/manifest.json")
    assert booked() == {"a": "1.50", "c": "3.00"}, "an older run that comes late changes nothing"
    assert [file["duplicate"] for file in told("bucket")["files"]] == [2]


@pytest.mark.parametrize("fault", ["missing", "size", "rows", "run"])
def test_a_delivery_that_is_not_whole_is_refused(fault: str) -> None:
    """A part that is missing, cut off, or has other rows than its manifest says: none of it lands."""
    first, second = lines(("a", "1.00")), lines(("b", "2.00"))
    manifest = azure("run-1", "2026-11-05T04:00:01Z", first, second, rows=fault == "rows")
    part = manifest.parent / "part_1_0001.csv.gz"
    if fault in ("missing", "run"):
        part.unlink()
    if fault == "run":  # a manifest that tells of no run, and of what is there another size
        said = json.loads(manifest.read_bytes())
        del said["runInfo"]
        said["blobs"][0]["byteCount"] = 10
        manifest.write_text(json.dumps(said))
    elif fault == "size":
        part.write_bytes(gzip.compress(b"other", mtime=0))
    put("vouchers.csv", BARE.encode() + b"7.00,USD,2026-11-03,2026-11-04,Another,x\n")
    said = told("bucket")
    reason = {
        "run": "part_1_0001.csv.gz is missing",
        "missing": "part_1_0001.csv.gz is missing",
        "size": "bytes, not",
        "rows": "it has 1 rows, not the 2 that",
    }[fault]
    assert any(reason in line and "manifest.json" in line for line in said["refused"]), said
    assert any("nothing of the delivery was imported" in line for line in said["refused"])
    assert booked() == {"x": "7.00"}, "what is no part of it lands"
    assert any(reason in line for line in told(str(manifest))["refused"])


def test_a_report_of_aws_and_what_was_there_before_it() -> None:
    """The copy of the manifest above the assemblies names the newest; ids say nothing of time."""
    for assembly, cost in (("0b", "1.00"), ("9c", "4.00"), ("1d", "2.00")):
        key = f"{REPORT}/{assembly}/daily-1.csv.gz"
        put(key, lines(("a", cost)))
        report(assembly, f"{REPORT}/{assembly}", key)
        report(assembly, REPORT, key)
    said = told("bucket")
    assert [file["file"] for file in said["files"]] == [f"{REPORT}/1d/daily-1.csv.gz"]
    assert booked() == {"a": "2.00"}
    put("copy/daily-Manifest.json", Path("bucket", REPORT, "daily-Manifest.json").read_bytes())
    put("copy/daily-1.csv.gz", lines(("a", "2.00")))
    assert told("bucket/copy")["files"][0]["duplicate"] == 1, (
        "copied into one folder, it is found too"
    )


def test_runs_of_which_none_is_known_to_be_the_newest() -> None:
    """Two assemblies without the copy above them are a question, and not a guess."""
    for assembly in ("0b", "9c"):
        key = f"{REPORT}/{assembly}/daily-1.csv.gz"
        put(key, lines(("a", "1.00")))
        report(assembly, f"{REPORT}/{assembly}", key)
    [refusal] = told("bucket")["refused"]
    assert "which of them is the newest of its export cannot be told" in refusal
    told(f"bucket/{REPORT}/9c/daily-Manifest.json")
    assert booked() == {"a": "1.00"}


def bucket_at(url: str) -> LakeStore:
    """The object store at a URL, which is a folder beside; or the lake of a data folder."""
    return LocalLake(Path(url.partition("://")[2] or url))


def test_a_data_export_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files as texts or objects, in another folder than the manifest, from a folder and from a store."""
    data = f"{EXPORT}/data/BILLING_PERIOD=2026-11"
    row = b"%s,USD,2026-11-03,2026-11-04,A Cloud,%s\n"
    put(f"{data}/cur2-00001.csv.gz", gzip.compress(BARE.encode() + row % (b"1.00", b"a"), mtime=0))
    put(f"{data}/cur2-00002.csv.gz", gzip.compress(BARE.encode() + row % (b"2.00", b"b"), mtime=0))
    put(f"{data}/cur2-00003.csv.gz", gzip.compress(BARE.encode() + row % (b"9.00", b"c"), mtime=0))
    files = [
        f"s3://bucket/{data}/cur2-00001.csv.gz",
        {"s3Uri": f"s3://bucket/{data}/cur2-00002.csv.gz"},
    ]
    data_export("2026-11-05T20:45:12.001Z-6f1c", *files)
    monkeypatch.setattr("inferworks.wiring.books.lake_at", bucket_at)
    manifest = f"{EXPORT}/metadata/BILLING_PERIOD=2026-11/cur2-Manifest.json"
    for word in (
        f"s3://bucket/{manifest}",
        f"s3://bucket/{EXPORT}",
        "bucket",
        f"bucket/{manifest}",
    ):
        assert len(told(word)["files"]) == 2, word
        assert booked() == {"a": "1.00", "b": "2.00"}
    with BookStore(Path("inferworks-data/books.db"), read_only=True) as store:
        accounts = {one.delivery.account for one in store.imports()}
    assert accounts == {"123456789012"}, "the manifest says whose it is, where the file does not"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"blobs": 1}', '{"reportKeys": {}}', '{"blobs": [], "runInfo": 7}'],
)
def test_what_is_no_manifest(text: str) -> None:
    """Another file of that name is none, whatever is in it."""
    assert read_manifest("a/manifest.json", text.encode()) is None


def test_a_hostile_manifest() -> None:
    """Names that lead elsewhere, or are no names, are parts that are missing."""
    for key in ("../../etc/passwd", "", 7, None, {"blobName": ["x"]}, "a/../b.csv"):
        manifest = report("0b", "cur", key)  # type: ignore[arg-type]
        [refusal] = told(str(manifest))["refused"]
        assert "is missing" in refusal
