"""Pruning of the ledger: slices that are closed and windows that are over are removed, in small pieces.

A closed slice is kept so that a message that comes late or twice finds it closed. Of a run that lives, a
day is enough: its transactions end within seconds, and it has noted in its log that the slice is settled.
Only the run itself removes its own, after a beat in which the store has answered: so nothing that it would
settle again is gone. A run that is dead may have left a log that says less than the store knows, of the
slices of its last moments, and is read when its machine comes back: they are kept for 35 days. A log that
comes back later counts them twice, so that more counts as used than was, never less.

A window that is over still takes what its last calls settle, and slices that were forfeited may come back
from a log: it is kept for 35 days as well, with its slices and warnings. What comes later makes a window
anew that nobody asks for. Limits without a window, and rates, have one row each and stay.

One piece is a transaction of some hundred rows every ten seconds: a draw that comes meanwhile waits for
milliseconds. Two thousand draws a minute leave as many rows, and two thousand go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from inferworks.accounts.limit import FOR_EVER_NS, Window
from inferworks.limits.ledger import Rows
from inferworks.units import NS_PER_SECOND

EVERY_NS: Final = 10 * NS_PER_SECOND
"""Interval of pieces."""
_DAY_NS: Final = 86_400 * NS_PER_SECOND
CLOSED_NS: Final = _DAY_NS
"""Age of a closed slice at which its own run removes it."""
KEPT_NS: Final = 35 * _DAY_NS
"""Age at which slices of runs that are dead, and windows that are over, are removed."""
PIECE: Final = 500
"""Most slices, and most windows, of one piece."""
_LONGEST_NS: Final[Mapping[str, int]] = {Window.DAY: 2 * _DAY_NS, Window.MONTH: 32 * _DAY_NS}


def prune(rows: Rows, run: str, after: str) -> str:
    """Remove a piece of what is over, of windows after the id `after`; return where the next one begins."""
    now_ns = rows.now_ns()
    ids = rows.budget_ids(after, PIECE)
    over = [one for one in ids if _over_ns(one) < now_ns - KEPT_NS]
    rows.accounts(over)
    for account_id in over:
        rows.remove_account(account_id)
    rows.remove_closed(run, now_ns - CLOSED_NS, PIECE)
    rows.remove_closed(None, now_ns - KEPT_NS, PIECE)
    return ids[-1] if len(ids) == PIECE else ""


def _over_ns(account_id: str) -> int:
    """Return a moment by which the window of an account is over; that of all time never is."""
    window, _, start_s = account_id.rpartition("/")[2].partition("@")
    longest_ns = _LONGEST_NS.get(window)
    if longest_ns is None or not start_s.isdecimal():
        return FOR_EVER_NS
    return int(start_s) * NS_PER_SECOND + longest_ns
