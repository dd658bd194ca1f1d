"""The vendors' libraries are extras: without one, its credentials say what to install."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from inferworks.cloud.credentials import aws, entra, google
from inferworks.cloud.credentials.extra import library
from inferworks.errors import ConfigError
from inferworks.extras import install

MISSING: dict[str, tuple[tuple[str, ...], str, Callable[[], object]]] = {
    "aws, its chain": (("botocore.session",), "aws", lambda: aws.chain_credential("eu-1")),
    "aws, one key": (
        ("botocore.credentials",),
        "aws",
        lambda: aws.key_credential("eu-1", "a", "b"),
    ),
    "google, its chain": (("google.auth",), "google", google.default_credential),
    "google, a file": (
        ("google.oauth2.service_account",),
        "google",
        lambda: google.file_credential(Path("absent")),
    ),
    "entra, its chain": (("azure.identity",), "azure", entra.default_credential),
    "entra, a client": (
        ("azure.identity",),
        "azure",
        lambda: entra.client_credential("t", "c", "s"),
    ),
}


@pytest.mark.parametrize("which", MISSING)
def test_without_the_extra(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line names the package and the command."""
    modules, extra, make = MISSING[which]
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match="pip install") as caught:
        make()
    assert str(caught.value).endswith(install(extra))
    assert modules[0].split(".")[0] in str(caught.value)


def test_with_the_extra() -> None:
    """A library that is installed is imported."""
    assert library("botocore.auth", "aws").__name__ == "botocore.auth"
