"""Warnings of a command that keeps no log: each one a line on standard error, once.

What a command answers may be old, or lack what it could not read: the parts that notice say so in the log.
Only a platform has one; of all other commands the people who gave them are told. Standard output stays as
it is, so that `--json` is one document.
"""

from __future__ import annotations

import logging
from typing import Final

from inferworks.cli.show import say

_JOURNAL: Final = "inferworks.journal"
_MOST: Final = 100
"""Most warnings that one command tells."""
_LONGEST: Final = 1000
"""Most characters of one."""


class Notes(logging.Handler):
    """Handler that tells each warning once. `keep_log` ends it: from then on there is a log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.told: set[str] = set()
        """Texts that were told."""

    def emit(self, record: logging.LogRecord) -> None:
        """Tell a warning, unless it was told; of a journal the command itself says why it has failed."""
        if record.name == _JOURNAL:
            return
        text = record.getMessage()[:_LONGEST]
        if text not in self.told and len(self.told) < _MOST:
            self.told.add(text)
            say(f"Note: {text}", err=True)
