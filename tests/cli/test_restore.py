"""`inferworks restore`, as people see it."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.command_line import document, invoke, refusal, run
from tests.support.lake_world import write
from tests.support.old_folder import unpack_old_folder

from inferworks.folder import DataFolder
from inferworks.limits.ledger import Gateway, Slice, Want, draw
from inferworks.limits.stores.sqlite import SqliteLimits
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.testing.facts import make_usage

pytestmark = pytest.mark.slow


@pytest.fixture
def backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backup of a node that ships, has its lake elsewhere, shares its limits and holds a slice."""
    monkeypatch.chdir(tmp_path)
    folder = DataFolder(tmp_path / "data")
    folder.create()
    write(folder.journal, [make_usage(call_id="call_1")])
    store = SqliteStore(folder.journal, ships_as="edge-7")
    store.open()
    store.close()
    run("keys", "create", "--data", folder.path)
    with closing(SqliteLimits(folder.limits)) as limits:
        want = Want("limit", 100, 1, 0, False, "slice", 10, 10)
        limits.transact(lambda rows: draw(rows, Gateway("run", "place", "boot", 1), [want]))
    (tmp_path / "inferworks.toml").write_text(
        f'[lake]\nurl = "file://{tmp_path}/lake"\n[store]\nurl = "postgresql:///limits"\n'
    )
    run("backup", "backup", "--data", folder.path)
    (tmp_path / "inferworks.toml").write_text(f'[lake]\nurl = "file://{tmp_path}/lake"\n')
    return tmp_path / "backup"


def test_it_says_what_was_done_and_what_to_see_to(backup: Path, tmp_path: Path) -> None:
    """A line for each thing that a person must know before the start."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "kept").touch()
    printed = run("restore", backup, "--data", tmp_path / "new", "--replace").stdout
    assert "everything is what was written" in printed
    for line in (
        f"restored  {tmp_path}/new: ",
        f"kept      {tmp_path}/new.before-",
        "limits    1 slice of running gateways count as used in full",
        f"lake      file://{tmp_path}/lake is not in the backup, and must be as new as it",
        "store     postgresql:///limits was shared: set store.url, or limits begin anew",
        "ships as  edge-7: stop the gateway that this is a copy of.",
        f"start it with: inferworks up --data {tmp_path}/new",
    ):
        assert f"\n{line}" in printed
    assert "not empty" in refusal("restore", backup, "--data", tmp_path / "new")


def test_it_says_the_same_as_json(backup: Path, tmp_path: Path) -> None:
    """One document, with what was read of each part."""
    done = document("restore", backup, "--data", tmp_path / "new")
    assert {part["part"] for part in done["parts"]} >= {
        "journal",
        "accounts",
        "limits",
        "audit log",
    }
    assert done["made_at"].startswith("20")
    expected = {
        "sound": True,
        "data": f"{tmp_path}/new",
        "source": f"{tmp_path}/data",
        "lake_url": f"file://{tmp_path}/lake",
        "store_url": "postgresql:///limits",
        "kept": "",
        "slices_counted_as_used": 1,
        "ships_as": "edge-7",
    }
    assert expected.items() <= done.items()


def test_a_backup_of_an_older_version_is_restored(tmp_path: Path) -> None:
    """The folder of version 0.1 is verified as it is, and brought up to date by its next start."""
    data = unpack_old_folder(tmp_path) / "inferworks-data"
    run("backup", tmp_path / "old", "--data", data)
    assert document("restore", tmp_path / "old", "--data", tmp_path / "new")["sound"]
    assert "Closes checked: 2" in run("books", "verify", "--data", tmp_path / "new").output


def test_nothing_is_put_in_place_of_what_is_damaged(backup: Path, tmp_path: Path) -> None:
    """The exit status is 1, and what is wrong is named."""
    with closing(SqliteLimits(tmp_path / "data" / "limits.db")) as limits:
        limits.transact(lambda rows: rows.put(Slice("more", "limit", "place", "run", 7, 0)))
    result = invoke("backup", "another", "--data", tmp_path / "data")
    assert result.exit_code == 1
    result = invoke("restore", "another", "--data", tmp_path / "new")
    assert result.exit_code == 1
    assert "WRONG" in result.output
    assert "limit holds 7 less than its slices" in result.output
    assert f"nothing was put at {tmp_path}/new" in result.output
    assert not (tmp_path / "new").exists()
    result = invoke("restore", "another", "--data", tmp_path / "new", "--json")
    assert (result.exit_code, json.loads(result.stdout)["sound"]) == (1, False)
