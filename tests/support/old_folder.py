"""The data folder of version 0.1."""

from __future__ import annotations

import tarfile
from pathlib import Path

PACKED = Path(__file__).parents[1] / "golden" / "folders" / "0.1.tar.gz"


def unpack_old_folder(into: Path) -> Path:
    """Unpack the folder of examples/month-end as version 0.1 left it; return where its files lie.

    They are `inferworks-data`, two months of which are closed, and `statements/MONTH.json`, what 0.1
    printed of each of them.
    """
    with tarfile.open(PACKED) as packed:
        packed.extractall(into, filter="data")
    return into
