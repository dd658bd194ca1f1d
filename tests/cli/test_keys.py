"""Keys that are replaced, and those of a customer that are all revoked; a configuration to begin with."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
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
    arguments = ("--name", "laptop", "--purpose", "train-inference", "--allow", "train-gradient",
                 "--model", "gpt-*", "--network", "10.0.0.0/8", "--expires", "90d")  # fmt: skip
    old = made(*arguments, "--report", "slurm", "--ours", "--log-content")
    flags = ["--keep"] if keep else []
    new = document("keys", "rotate", old["id"], *flags)
    assert (new["replaces"], new["revoked"]) == (old["id"], not keep)
    before, after = known()[old["id"]], known()[new["id"]]
    assert after.secret_hash == theirs().hash(new["key"]) != before.secret_hash
    assert (before.revoked_ns is None, after.revoked_ns) == (keep, None)
    same = {"id": "", "secret_hash": b"", "hint": "", "created_ns": 0, "revoked_ns": None}
    assert msgspec.structs.replace(before, **same) == msgspec.structs.replace(after, **same)


def test_scopes_and_an_end_are_kept_with_a_key() -> None:
    """Each is shown, in a line of its own or as JSON."""
    new = made(
        *("--model", "gpt-*", "--model", "tiny", "--operation", "embeddings", "--region", "eu-"),
        *("--network", "192.0.2.0/24", "--network", "2001:db8::/32", "--expires", "2099-01-02"),
    )
    key = known()[new["id"]]
    assert (key.models, key.operations) == (("gpt-*", "tiny"), ("embeddings",))
    assert (key.regions, key.networks) == (("eu-",), ("192.0.2.0/24", "2001:db8::/32"))
    shown = document("keys", "show", new["id"])
    assert shown["expires"] == "2099-01-02T00:00:00+00:00"
    assert (shown["models"], shown["revoked"]) == (["gpt-*", "tiny"], None)
    text = run("keys", "show", new["id"]).stdout
    assert "models:      gpt-*, tiny\n" in text
    assert "state:       active\n" in text
    assert new["key"] not in text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "key_x: no such key" in refusal("keys", "show", "key_x")


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        (("--network", "192.0.2.1/24"), "has host bits set; write 192.0.2.0/24"),
        (("--model", "a*b"), "a * stands at the end"),
        (("--expires", "2001-01-01"), "--expires '2001-01-01' is over already"),
        (("--expires", "0s"), "is over already"),
        (("--expires", "9y"), "no length of time; write 30m, 24h or 90d"),
        (("--expires", "soon"), "--expires 'soon': not a moment"),
    ],
)
def test_scopes_that_mean_nothing_are_refused(arguments: tuple[str, str], refused: str) -> None:
    """No key is made then."""
    assert refused in refusal("keys", "create", *arguments)
    assert known() == {}


def test_a_replaced_key_is_valid_until_the_overlap_ends() -> None:
    """An overlap ends by itself; a key that would have ended sooner still does, and so does the new one."""
    old, short = made(), made("--expires", "1h")
    new = document("keys", "rotate", old["id"], "--overlap", "24h")
    before, after = known()[old["id"]], known()[new["id"]]
    assert (new["revoked"], before.revoked_ns, after.expires_ns) == (False, None, None)
    assert before.expires_ns == after.created_ns + 24 * 3600 * 10**9
    assert new["until"] == datetime.fromtimestamp(before.expires_ns // 10**9, UTC).isoformat()
    kept_ns = known()[short["id"]].expires_ns
    said = run("keys", "rotate", short["id"], "--overlap", "24h", "--expires", "90d").stdout
    assert f"{short['id']} is valid until " in said
    assert known()[short["id"]].expires_ns == kept_ns
    over = invoke("keys", "rotate", new["id"], "--overlap", "1h", "--keep")
    assert (over.exit_code, "choose one" in over.output) == (2, True)


def test_an_expired_key_is_listed_as_such_and_not_replaced() -> None:
    """Its end is in the past by the clock of the command."""
    old = made()
    with closing(SqliteAccounts(DataFolder(Path("inferworks-data")).accounts)) as accounts:
        accounts.expire_key(old["id"], 1)
    assert "expired" in run("keys", "list").stdout
    assert f"{old['id']}: expired already" in refusal("keys", "rotate", old["id"])


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
    listed = document("keys", "list", "--customer", "acme")
    assert {key["id"] for key in listed} == theirs
    assert len(document("keys", "list")) == 4
    assert known()[other].revoked_ns is None
    assert "customer acme has no key that is valid" in refusal(
        "keys", "revoke", "--customer", "acme"
    )
    for arguments in ([], [other, "--customer", "acme"]):
        result = invoke("keys", "revoke", *arguments)
        assert (result.exit_code, "name one key, or --customer" in result.output) == (2, True)
