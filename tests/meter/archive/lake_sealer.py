"""A process that journals facts and seals them into a lake, over and over.

python -m tests.meter.archive.lake_sealer FOLDER SEED

It says `sealed` after each sealing.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from tests.support.lake_world import FOREVER, facts_of_days, write

from inferworks.meter.archive.journal import SealingJournal
from inferworks.meter.archive.seal import seal
from inferworks.meter.lakes.local import LocalLake


def main() -> None:
    """Run until killed."""
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    for number in itertools.count():
        write(folder / "journal.db", facts_of_days(seed * 1000 + number, rows=20))
        with SealingJournal(folder / "journal.db") as journal:
            seal(journal, LocalLake(folder / "lake"), FOREVER[1], segment_rows=8)
        sys.stdout.write("sealed\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
