"""A lake by its URL."""

from __future__ import annotations

import sys

import pytest

from inferworks.errors import ConfigError
from inferworks.meter.lakes.detect import lake_at


def test_without_obstore_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL that needs the extra names it."""
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(ConfigError, match=r"s3://bucket/x needs obstore; .*-m pip install"):
        lake_at("s3://bucket/x")


@pytest.mark.parametrize("url", ["ftp://host/lake", "s3://", "nonsense://x"])
def test_a_url_of_no_lake_is_refused(url: str) -> None:
    """A URL of no object store is refused, by the setting's name."""
    with pytest.raises(ConfigError, match=r"lake\.url: .* is no lake; give a folder, or s3://"):
        lake_at(url)


def test_a_store_that_lacks_a_setting_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The store's reason is told, and nothing of its state."""
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(ConfigError, match=r"az://c/x cannot be used: .*Account must be specified$"):
        lake_at("az://c/x")
