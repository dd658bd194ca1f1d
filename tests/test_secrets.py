"""A secret is found where its reference says, and shown nowhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from inferworks.errors import ConfigError
from inferworks.secrets import parse_reference, resolve

VALUE = "sk-the-secret-itself"


def test_each_kind_of_reference_is_resolved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable, a file with a line break at its end, and the key store give the same value."""
    path = tmp_path / "key"
    path.write_text(f"{VALUE}\n")
    store = SimpleNamespace(
        get_password=lambda service, name: VALUE if (service, name) == ("mine", "a/b") else None
    )
    monkeypatch.setitem(sys.modules, "keyring", store)
    for text in ("env:THE_KEY", f"file:{path}", "keyring:mine/a/b"):
        secret = resolve(parse_reference(text), {"THE_KEY": VALUE})
        assert secret.reveal() == VALUE
        assert repr(secret) == f"Secret({text})"
        assert VALUE not in f"{secret} {secret!r}"
    with pytest.raises(ConfigError, match="keyring:mine/other is not in the key store"):
        resolve(parse_reference("keyring:mine/other"), {})


@pytest.mark.parametrize("text", [VALUE, "env:sk-proj-abc", "", "keyring:alone", "file:", "ENV:X"])
def test_what_is_no_reference_is_refused_unread(text: str) -> None:
    """A key that stands where a reference should is refused without being repeated."""
    with pytest.raises(
        ConfigError, match="env:VARIABLE, file:PATH or keyring:SERVICE/NAME"
    ) as caught:
        parse_reference(text)
    assert VALUE not in str(caught.value)
    assert "sk-proj" not in str(caught.value)


@pytest.mark.parametrize("what", ["a pipe", "a device", "too long"])
def test_only_a_short_regular_file_is_a_secret(tmp_path: Path, what: str) -> None:
    """A pipe without a writer would be waited for, a device read, for ever: both are one clear line."""
    path = tmp_path / "key"
    if what == "a pipe":
        os.mkfifo(path)
    elif what == "a device":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(b"x" * (64 * 1024 + 1))
    words = "has more than 65,536 bytes" if what == "too long" else "is not a regular file"
    with pytest.raises(ConfigError, match=f"file:{path} cannot be read: it {words}"):
        resolve(parse_reference(f"file:{path}"), {})


def test_what_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing variable, file, package or value is one line that names the reference."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    (tmp_path / "two").write_text("one\ntwo\n")
    for text, words in {
        "env:NOT_SET": "the environment variable NOT_SET is not set",
        "env:EMPTY": "env:EMPTY is empty",
        f"file:{tmp_path}/nothing": "cannot be read: No such file or directory",
        f"file:{tmp_path}/two": "has more than one line",
        "keyring:a/b": "needs the package keyring",
    }.items():
        with pytest.raises(ConfigError, match=words) as caught:
            resolve(parse_reference(text), {"EMPTY": ""})
        assert "\n" not in str(caught.value)


def test_secrets_are_compared_by_place_and_value() -> None:
    """A rotated key is another secret."""
    reference = parse_reference("env:A")
    assert resolve(reference, {"A": "1"}) == resolve(reference, {"A": "1"})
    assert resolve(reference, {"A": "1"}) != resolve(reference, {"A": "2"})
    assert resolve(reference, {"A": "1"}) != "1"
    assert len({resolve(reference, {"A": "1"}), resolve(reference, {"A": "1"})}) == 1
