"""A process that journals calls at full speed and prints each one's id once it is told durable.

python journal_writer.py PATH
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from inferworks.ids import new_call_id
from inferworks.meter.journal import Journal
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.testing.facts import make_opened, make_usage


async def client(journal: Journal) -> None:
    """Open and close calls for ever."""
    while True:
        call_id = new_call_id()
        journal.opened(make_opened(call_id=call_id))
        await journal.commit(make_usage(call_id=call_id))
        sys.stdout.write(f"{call_id}\n")
        sys.stdout.flush()


async def main() -> None:
    """Run 64 clients until killed."""
    journal = Journal(SqliteStore(Path(sys.argv[1])))
    journal.start()
    await asyncio.gather(*(client(journal) for _ in range(64)))


if __name__ == "__main__":
    asyncio.run(main())
