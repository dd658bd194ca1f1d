"""Comparisons in a report: another time, the causes of the change of margin, and a budget.

The chart of the causes begins at the earlier margin and not at zero: changes are mostly small beside the
margin, and a bar of two pixels shows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from inferworks.books.analysis.budget import WHICH_IS, Against
from inferworks.books.analysis.change_effects import MEANINGS, Cause, Explained
from inferworks.books.analysis.comparatives import CAPTIONS, Comparison, named
from inferworks.books.calendar.span import Span
from inferworks.books.exports.pieces import Amount, Cell, Share, section, signed, table
from inferworks.books.exports.values import html_text
from inferworks.books.exports.waterfall import Bar, Kind, waterfall
from inferworks.books.statement.statement import Statement, remarks

_SUMS = ("gross_margin", "operating_result")
_SHOWN = 5
"""Number of parts of each cause with a row; the others share one."""
_LONGEST = 12
"""The longest name of a period above a column."""


def comparatives(now: Statement, beside: Comparison) -> str:
    """The section with every figure of both times, and what changed."""
    rows: list[tuple[str, Sequence[Cell]]] = [
        (
            _kind(row.name),
            (
                CAPTIONS[row.name].strip(),
                Amount(row.now_pico),
                Amount(row.then_pico),
                Amount(row.change_pico, row.favourable),
                Share(row.percent),
            ),
        )
        for row in beside.rows
        if row.now_pico or row.then_pico
    ]
    notes = remarks(beside.then.lines, beside.then.notes)
    listed = "".join(f"<p>{html_text(note)}</p>" for note in notes)
    name = html_text(beside.name)
    more = f"<details><summary>Notes on {name}</summary>{listed}</details>" if notes else ""
    heads = _heads(now, beside)
    return section(
        f"Beside {beside.name}",
        "The change is what it is now less what it was then.",
        f'<div class="beside then">{table(("", *heads, "Change", "%"), rows)}</div>{more}',
    )


def causes(now: Statement, beside: Comparison) -> str:
    """The section with the causes: they lead from the margin of then to that of now."""
    why, heads = beside.why, _heads(now, beside)
    if not why.effects:
        return ""
    rows: list[tuple[str, Sequence[Cell]]] = []
    for cause in Cause:  # its parts, largest first, and the rest of them together
        ranked = why.ranked(cause)
        shown, rest = ranked[:_SHOWN], ranked[_SHOWN:]
        if ranked:
            total_pico = sum(pico for _, pico in ranked)
            rows.append(("", (cause.value.capitalize(), "", signed(total_pico))))
        rows += [("part", ("", text, signed(pico))) for text, pico in shown]
        if rest:
            rest_pico = sum(pico for _, pico in rest)
            rows.append(("part", ("", f"and {len(rest)} more", signed(rest_pico))))
    parts = table(("Cause", "Mostly", now.currency), rows)
    return section(
        "Why the gross margin changed",
        "Every cause is a Shapley value: they sum to the change, and none is told before another. The "
        "bars begin where the margin stood, not at nothing.",
        f'<div class="wide">{waterfall(cause_bars(why, *heads), now.currency)}</div>'
        f"<details><summary>Whose, and of what</summary>{parts}</details>",
    )


def cause_bars(why: Explained, now: str, then: str) -> list[Bar]:
    """The margin `then`, what each cause did to it, and the margin `now`."""
    sums = why.by_cause()
    return [
        Bar(f"Gross margin, {then}", why.then_pico, Kind.LEVEL),
        *(
            Bar(cause.value.capitalize(), sums[cause], note=f"{MEANINGS[cause]}; mostly {mostly}")
            for cause in Cause
            if (mostly := why.mostly(cause))
        ),
        Bar(f"Gross margin, {now}", why.now_pico, Kind.LEVEL),
    ]


def beside_budget(against: Against) -> str:
    """The section with what was planned, what it came to, and the variance."""
    cut = "".join(
        f"<p>This is a part of {html_text(period)}; its budget is cut by time.</p>"
        for period in against.cut
    )
    rows: list[tuple[str, Sequence[Cell]]] = []
    for one in against.shown:
        budget_pico, change_pico = one.budget_pico, one.variance_pico
        cells = (
            one.name.strip(),
            Share(None) if budget_pico is None else Amount(budget_pico),
            Amount(one.actual_pico),
            Share(None) if change_pico is None else Amount(change_pico, one.favourable),
            Share(one.percent),
            WHICH_IS[one.favourable],
        )
        is_part = one.rest or one.key.told_by
        rows.append((_kind("" if is_part else one.key.line), cells))
    listed = table(("", "Budget", "Actual", "Variance", "%", "Which is"), rows)
    return section(
        "Beside the budget",
        f"As planned in {against.file}. The variance is actual less budget; favourable is what raises the "
        "result.",
        f'<div class="beside planned">{listed}</div>{cut}',
    )


def _kind(line: str) -> str:
    """Return the style of the row of `line`; a subdivision of a line is a "part"."""
    if line in _SUMS:
        return "sum"
    return "" if line and line != "unused_capacity" else "part"


def _heads(now: Statement, beside: Comparison) -> tuple[str, str]:
    """Return the column headings of the two times."""
    name = named(Span(now.start_ns, now.end_ns)).name
    return (
        name if len(name) <= _LONGEST else "Now",
        beside.name if len(beside.name) <= _LONGEST else "Then",
    )
