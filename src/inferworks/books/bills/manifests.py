"""Manifests: the files that a cloud states it has delivered, and their location.

Problem. An export is written in parts, anew each day, and the files of earlier days lie beside it: Azure
gives each run a folder of its own, AWS one to each assembly where it does not overwrite. Read file by
file, an older run is counted beside the newer one, and a missing part goes unnoticed.

Decision. A manifest is trusted: exactly the files that it names are read, all of them or none, each with
the size and the number of rows that it states. Of the manifests of one export and billing period the
newest is the delivery; it takes the place of the earlier ones, also of those that were imported before.
Other files in the folders of such an export are left out, with a note.

Three forms are read:

- legacy Cost and Usage Reports of AWS, `NAME-Manifest.json`: `reportKeys`, `assemblyId`, `billingPeriod`;
- AWS Data Exports (CUR 2.0, FOCUS), `NAME-Manifest.json` below `metadata/BILLING_PERIOD=2026-11`:
  `dataFiles`, `executionId`. AWS publishes no schema of it, so a file is a text, or an object that has one;
- Azure Cost Management exports, `manifest.json`: `blobs`, `runInfo`, `exportConfig`.

A part is named by its place in the bucket. Where the export was copied elsewhere it is found by as much of
that name as there is below a folder that the manifest lies in: a sibling run has another folder.

Everything here is pure. The newer of two runs is decided by the moment at which it was submitted, or with
which its id begins; for AWS also by the copy that lies above the folders of the runs. Where nothing
decides, the user has to name the manifest.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec

from inferworks.errors import BillError

_NAME: Final = "manifest.json"
_MOST_BYTES: Final = 16 * 2**20
_PERIOD: Final = re.compile(r"BILLING_PERIOD=(\d{4})-(\d\d)|(?<!\d)(\d{8})-(\d{8})(?!\d)")
_STAMP: Final = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)T(\d\d):?(\d\d):?(\d\d)(?:\.(\d{1,9})\d*)?(?:Z|\+00:00|$|(?=[-_]))"
)
_BUCKET: Final = re.compile(r"[a-z][a-z0-9]*://[^/]+/")


class Part(msgspec.Struct, frozen=True):
    """A file that a manifest names."""

    key: str
    """Its place in the bucket or container."""
    bytes: int | None = None
    rows: int | None = None


class Manifest(msgspec.Struct, frozen=True):
    """Delivery of one run of an export."""

    name: str
    """Path of the manifest."""
    export: str
    """Key of the export and billing period, equal for every run of them."""
    run_id: str
    """Name of the run at the cloud."""
    run: str
    """Time of the run, as a text that sorts; empty if unknown."""
    parts: tuple[Part, ...]
    period_start: str = ""
    """The first day of the billing period, where that is told."""
    account: str = ""
    """Billing account; empty if unknown."""

    @property
    def folder(self) -> str:
        """The folder in which it lies."""
        return self.name.rpartition("/")[0]


class Delivered(NamedTuple):
    """A file of a delivery: which part of which run it is, and what the manifest says of it."""

    manifest: Manifest
    number: int
    part: Part

    @property
    def series(self) -> tuple[str, str]:
        """Return its export, and its place in a run of that (`deliveries.decide`)."""
        return self.manifest.export, f"{self.manifest.run}\n{self.manifest.run_id}\n{self.number}"

    @property
    def columns(self) -> dict[str, str]:
        """Return the columns known for every line, for a file that lacks them."""
        told = {
            "BillingPeriodStart": self.manifest.period_start,
            "BillingAccountId": self.manifest.account,
        }
        return {name: text for name, text in told.items() if text}


class Chosen(NamedTuple):
    """Choice of the files to read in a place."""

    parts: dict[str, Delivered]
    """Files that a manifest names, by name."""
    left_out: dict[str, str]
    """Files that are not read, with the reason; empty where there is nothing to say."""
    problems: list[str]
    """Reasons why a delivery is not read."""


def is_manifest(name: str) -> bool:
    """Return True if a file of this name may be a manifest."""
    return name.rpartition("/")[2].lower().endswith(_NAME)


def read_manifest(name: str, raw: bytes) -> Manifest | None:
    """The manifest in `raw`; None when it is another file that is called so."""
    if len(raw) > _MOST_BYTES:
        return None
    try:
        said = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    if isinstance(said.get("reportKeys"), list):
        return _of_report(name, said)
    if isinstance(said.get("dataFiles"), list):
        return _of_data_export(name, said)
    if isinstance(said.get("blobs"), list) and any(
        isinstance(said.get(about), dict) for about in ("runInfo", "exportConfig")
    ):
        return _of_azure(name, said)
    return None


def _of_report(name: str, said: Mapping[str, Any]) -> Manifest:
    period = _mapping(said, "billingPeriod")
    start = _day(_text(period, "start")) or _period_of(name)
    return Manifest(
        name,
        f"aws {_text(said, 'reportName') or _text(said, 'reportId')} {start}",
        _text(said, "assemblyId"),
        _moment(_text(said, "assemblyId")),
        tuple(Part(_key(key)) for key in said["reportKeys"]),
        start,
        _text(said, "account"),
    )


def _of_data_export(name: str, said: Mapping[str, Any]) -> Manifest:
    keys = tuple(Part(_key(file)) for file in said["dataFiles"])
    start = _period_of(name) or next(filter(None, (_period_of(part.key) for part in keys)), "")
    arn = _text(said, "exportArn")
    export = arn or name.rpartition("/")[2].removesuffix("-Manifest.json")
    run = _moment(_text(said, "executionId")) or _moment(name.rpartition("/")[0])
    account = arn.split(":")[4] if arn.count(":") > 4 else ""
    run_id = _text(said, "executionId") or run
    return Manifest(name, f"aws {export} {start}", run_id, run, keys, start, account)


def _of_azure(name: str, said: Mapping[str, Any]) -> Manifest:
    run, export = _mapping(said, "runInfo"), _mapping(said, "exportConfig")
    start = _day(_text(run, "startDate")) or _period_of(name)
    parts = tuple(
        Part(_key(blob), _number(blob, "byteCount"), _number(blob, "dataRowCount"))
        for blob in said["blobs"]
    )
    named = _text(export, "resourceId") or _text(export, "exportName")
    account = re.search(r"/billingAccounts/([^/]+)/", named)
    return Manifest(
        name,
        f"azure {named} {_text(export, 'type')} {start}",
        _text(run, "runId"),
        _moment(_text(run, "submittedTime")),
        parts,
        start,
        account[1] if account else "",
    )


def _key(told: Any) -> str:
    """The place of a file within its bucket."""
    if isinstance(told, dict):
        names = ("blobName", "s3Uri", "uri", "key", "name")
        told = next((told[name] for name in names if told.get(name)), "")
    return _BUCKET.sub("", str(told), count=1).lstrip("/")


def _mapping(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = said.get(name)
    return found if isinstance(found, dict) else {}


def _text(said: Mapping[str, Any], name: str) -> str:
    found = said.get(name)
    return found if isinstance(found, str) else ""


def _number(said: Any, name: str) -> int | None:
    found = said.get(name) if isinstance(said, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _moment(text: str) -> str:
    """The moment that stands in `text`, as a text that sorts; empty when none does."""
    found = _STAMP.search(text)
    if found is None:
        return ""
    year, month, day, hour, minute, second, fraction = found.groups()
    return f"{year}-{month}-{day}T{hour}:{minute}:{second}.{fraction or '':0<9}"


def _day(text: str) -> str:
    """The day with which a moment begins."""
    digits = re.sub(r"\D", "", text)[:8]
    with suppress(ValueError):
        return dt.date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).isoformat()
    return ""


def _period_of(path: str) -> str:
    """The first day of the billing period that a path names."""
    found = _PERIOD.search(path)
    if found is None:
        return ""
    return f"{found[1]}-{found[2]}-01" if found[1] else _day(found[3])


def chosen(
    names: Sequence[str], read: Callable[[str], bytes], size: Callable[[str], int | None]
) -> Chosen:
    """Return the choice among the files of these `names`; without a manifest, all are read."""
    found = [read_manifest(name, read(name)) for name in names if is_manifest(name)]
    manifests = [manifest for manifest in found if manifest is not None]
    together: dict[str, list[Manifest]] = defaultdict(list)
    for manifest in manifests:
        together[manifest.export].append(manifest)
    there = set(names)
    parts: dict[str, Delivered] = {}
    left_out: dict[str, str] = {manifest.name: "" for manifest in manifests}
    problems: list[str] = []
    for runs in together.values():
        left = _beside(runs, names, there.__contains__)
        try:
            newest = _newest(runs)
            named = parts_of(newest, there.__contains__, size)
        except BillError as error:
            problems.append(str(error))
            left_out |= dict.fromkeys(left, "")
            continue
        reason = f"not named by {newest.name}, the newest manifest of its export"
        left_out |= {name: left_out.get(name, reason) for name in left if name not in named}
        parts |= named
    for name in parts:
        left_out.pop(name, None)
    return Chosen(parts, left_out, problems)


def parts_of(
    manifest: Manifest, has: Callable[[str], bool], size: Callable[[str], int | None]
) -> dict[str, Delivered]:
    """The files that `manifest` names, where they are; BillError when one is missing or of another size."""
    located = {part: _located(manifest, part.key, has) for part in manifest.parts}
    missing = [part.key for part, name in located.items() if name is None]
    if missing:
        raise BillError(
            f"{manifest.name}: its part {', '.join(missing)} is missing; nothing of the delivery was "
            "imported: fetch all of it again"
        )
    found: dict[str, Delivered] = {}
    for number, (part, name) in enumerate(located.items(), start=1):
        assert name is not None
        there = size(name)
        if part.bytes is not None and there is not None and there != part.bytes:
            raise BillError(
                f"{manifest.name}: its part {name} has {there} bytes, not {part.bytes}; nothing of the "
                "delivery was imported: fetch all of it again"
            )
        found[name] = Delivered(manifest, number, part)
    return found


def _located(manifest: Manifest, key: str, has: Callable[[str], bool]) -> str | None:
    """Return the path of the part: the longest end of its key below a folder that the manifest lies in."""
    steps = key.split("/")
    if ".." in steps or not key:
        return None
    folders = [manifest.folder]
    while folders[-1]:
        folders.append(folders[-1].rpartition("/")[0])
    if manifest.name.startswith("/"):
        folders.remove("")
    for count in range(len(steps), 0, -1):
        for folder in folders:
            name = "/".join([*([folder] if folder else []), *steps[-count:]])
            if has(name):
                return name
    return None


def _newest(runs: Sequence[Manifest]) -> Manifest:
    """The newest of the manifests of one export and period; BillError when nothing tells."""
    if len({run.parts for run in runs}) == 1:
        return min(runs, key=lambda run: len(run.name))  # copies of one
    above = [
        run for run in runs if all(run is o or o.name.startswith(f"{run.folder}/") for o in runs)
    ]
    if len(above) == 1:
        return above[0]
    latest = max(run.run for run in runs)
    last = [run for run in runs if run.run == latest]
    if latest and all(run.run for run in runs) and len({run.parts for run in last}) == 1:
        return last[0]
    listed = ", ".join(sorted(run.name for run in runs))
    raise BillError(
        f"{listed}: which of them is the newest of its export cannot be told; import the one that is "
        "by its name"
    )


def _beside(
    runs: Sequence[Manifest], names: Sequence[str], has: Callable[[str], bool]
) -> list[str]:
    """The files in the folders that belong to the runs of one export and period.

    These are the folder of the period with all below it; where none is called so, the folders themselves.
    """
    folders = {run.folder for run in runs}
    for run in runs:
        located = (_located(run, part.key, has) for part in run.parts)
        folders |= {name.rpartition("/")[0] for name in located if name is not None}
    periods: list[str] = []
    for folder in folders:
        steps = folder.split("/")
        at = next((at for at, step in enumerate(steps, 1) if _PERIOD.fullmatch(step)), 0)
        periods += ["/".join(steps[:at]) + "/"] if at else []
    return [
        name
        for name in names
        if name.startswith(tuple(periods)) or name.rpartition("/")[0] in folders
    ]
