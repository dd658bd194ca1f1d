"""A data folder with calls, for the tests of an operator's view."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.recorded_calls import calls, write

from inferworks.folder import DataFolder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    """A data folder, in a working directory of its own, with a few calls in its journal."""
    monkeypatch.chdir(tmp_path)
    data = DataFolder(Path("inferworks-data"))
    data.create()
    write(data, calls())
    return data
