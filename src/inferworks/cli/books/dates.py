"""Dates on a command line of the books."""

from __future__ import annotations

import click

from inferworks.books.calendar.moments import parse_moment_ns


def moments(from_text: str | None, to_text: str | None) -> tuple[int | None, int | None]:
    """Return both ends of a span in nanoseconds; BadParameter for a text that is no moment."""
    start_ns, end_ns = _moment_ns(from_text), _moment_ns(to_text)
    if start_ns is not None and end_ns is not None and end_ns <= start_ns:
        raise click.BadParameter(f"--to {to_text} must be after --from {from_text}")
    return start_ns, end_ns


def _moment_ns(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_moment_ns(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}") from error
