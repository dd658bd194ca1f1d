"""Warnings on standard error: once each, as one visible line, until there is a log."""

from __future__ import annotations

import logging

import pytest

from inferworks.cli.notes import Notes


def test_a_warning_is_told_once_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines below a warning are not told, and control characters are shown."""
    logger, notes = logging.getLogger("inferworks.test_notes"), Notes()
    logger.addHandler(notes)
    for _ in range(2):
        logger.warning("as of %s", "noon\x1b[2J")
        logger.info("never")
    logger.error("another")
    logger.removeHandler(notes)
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "Note: as of noon\\x1b[2J\nNote: another\n")
