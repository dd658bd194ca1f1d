"""The lock of a data folder."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from inferworks.errors import DataFolderError
from inferworks.folder import DataFolder


def test_who_only_looks_keeps_nobody_out(tmp_path: Path) -> None:
    """An instance gets its folder however often others ask meanwhile who has it."""
    folder = DataFolder(tmp_path / "data")
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            folder.instance()

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(200):
            with folder.hold():
                pass
    finally:
        is_over.set()
        watcher.join()


def test_a_second_instance_is_kept_out(tmp_path: Path) -> None:
    """Who holds a folder has it alone."""
    folder = DataFolder(tmp_path / "data")
    with folder.hold(), pytest.raises(DataFolderError, match="in use"), folder.hold():
        pass
