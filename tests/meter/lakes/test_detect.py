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
    with pytest.raises(ConfigError, match=r"lake\.url: .* cannot be used"):
        lake_at(url)
