"""Keys that are replaced, and those of a customer that are all revoked; a configuration to begin with."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.command_line import document, invoke, refusal, run

from inferworks.accounts.key import Key
from inferworks.accounts.pepper import Pepper, load_pepper
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.folder import DataFolder


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of our own."""
    monkeypatch.chdir(tmp_path)


def made(*arguments: str) -> Any:
    """A new key, as JSON."""
    return document("keys", "create", *arguments)


def theirs() -> Pepper:
    """The pepper of the data folder."""
    folder = DataFolder(Path("inferworks-data"))
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        return load_pepper(accounts, folder.pepper)


def known() -> dict[str, Key]:
    """Every key, by its id."""
    with closing(SqliteAccounts(DataFolder(Path("inferworks-data")).accounts)) as accounts:
        return {key.id: key for key in accounts.keys()}


@pytest.mark.parametrize("keep", [False, True])
def test_a_key_is_replaced_by_one_with_the_same_rights(keep: bool) -> None:
    """All but the secret is the old one's; that is revoked, unless it is to be kept."""
    arguments = ("--name", "laptop", "--purpose", "train-inference", "--allow", "train-gradient")
    old = made(*arguments, "--report", "slurm", "--ours", "--log-content")
    flags = ["--keep"] if keep else []
    new = document("keys", "rotate", old["id"], *flags)
    assert (new["replaces"], new["revoked"]) == (old["id"], not keep)
    before, after = known()[old["id"]], known()[new["id"]]
    assert after.secret_hash == theirs().hash(new["key"]) != before.secret_hash
    assert (before.revoked_ns is None, after.revoked_ns) == (keep, None)
    same = {"id": "", "secret_hash": b"", "hint": "", "created_ns": 0, "revoked_ns": None}
    assert msgspec.structs.replace(before, **same) == msgspec.structs.replace(after, **same)


def test_only_a_valid_key_is_replaced() -> None:
    """One that is unknown or revoked is named."""
    old = made()
    assert "key_x: no such key" in refusal("keys", "rotate", "key_x")
    run("keys", "revoke", old["id"])
    assert f"{old['id']}: revoked already" in refusal("keys", "rotate", old["id"])
    assert len(known()) == 1


def test_all_keys_of_a_customer_are_revoked_at_once() -> None:
    """Keys of other customers stay."""
    for name in ("acme", "globex"):
        run("customers", "create", name)
    theirs = {made("--customer", "acme")["id"] for _ in range(3)}
    other = made("--customer", "globex")["id"]
    said = run("keys", "revoke", "--customer", "acme").stdout
    assert said.count("of acme is revoked.") == 3
    assert {key.id for key in known().values() if key.revoked_ns is not None} == theirs
    assert known()[other].revoked_ns is None
    assert "customer acme has no key that is valid" in refusal(
        "keys", "revoke", "--customer", "acme"
    )
    for arguments in ([], [other, "--customer", "acme"]):
        result = invoke("keys", "revoke", *arguments)
        assert (result.exit_code, "name one key, or --customer" in result.output) == (2, True)
