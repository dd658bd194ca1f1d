"""The flow diagram: labels apart, bands as thick as their amounts."""

from __future__ import annotations

import re
from itertools import pairwise

from tests.support.reports import a_report, the_statement

from inferworks.books.exports.html import render


def drawn(page: str, kind: str, where: str) -> list[int]:
    """The exact amounts of the elements of class `kind` within the figure of class `where`."""
    figures = re.findall(rf'<figure class="{where}">(.*?)</figure>', page, re.DOTALL)
    found = re.findall(rf'class="{kind}[^"]*" data-pico="(-?\d+)"', figures[0])
    return [int(pico) for pico in found]


def test_the_picture_carries_the_whole_bill() -> None:
    """The nodes of each column, and the bands between them, sum to what was billed."""
    statement, charges = the_statement()
    page = render(a_report(statement, charges))
    figure = re.search(r'<figure class="broad">(.*?)</figure>', page, re.DOTALL)
    assert figure is not None
    columns: dict[str, int] = {}
    for pico, column in re.findall(r'data-pico="(\d+)" data-column="(\d)"', figure.group(1)):
        columns[column] = columns.get(column, 0) + int(pico)
    assert columns == dict.fromkeys("012", statement.billed_pico)
    assert sum(drawn(page, "band", "broad")) == 2 * statement.billed_pico


def test_labels_do_not_overlap() -> None:
    """A label has a line to itself, however thin its neighbours."""
    statement, charges = the_statement()
    page = render(a_report(statement, charges))
    start = page.index('<svg class="sankey"')
    svg = page[start : page.index("</svg>", start)]
    lines: dict[str, list[float]] = {}
    for x, y in re.findall(r'<text x="([\d.]+)" y="([\d.]+)"', svg):
        lines.setdefault(x, []).append(float(y))
    assert len(lines) == 3
    for ys in lines.values():
        assert all(later - earlier >= 16 for earlier, later in pairwise(ys))
