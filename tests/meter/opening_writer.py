"""A process that opens and closes calls at full speed and prints what it has done.

python opening_writer.py PATH

`+ID` once a call is opened, `-ID` once its usage is durable. Every eighth call is never closed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import count
from pathlib import Path

from inferworks.ids import new_call_id
from inferworks.meter.journal import Journal
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.testing.facts import make_opened, make_usage


def say(text: str) -> None:
    """Print a line, at once and whole."""
    os.write(1, f"{text}\n".encode())


async def client(journal: Journal) -> None:
    """Open and close calls for ever."""
    for number in count():
        call_id = new_call_id()
        journal.opened(make_opened(call_id=call_id))
        say(f"+{call_id}")
        if number % 8:
            await journal.commit(make_usage(call_id=call_id))
            say(f"-{call_id}")


async def main() -> None:
    """Run 32 clients until killed."""
    journal = Journal(SqliteStore(Path(sys.argv[1])))
    journal.start()
    await asyncio.gather(*(client(journal) for _ in range(32)))


if __name__ == "__main__":
    asyncio.run(main())
