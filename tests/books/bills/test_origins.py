"""Origin of a wrong cell: the column and the text of the file, not ours."""

from __future__ import annotations

from collections.abc import Mapping

from inferworks.books.bills.origins import Origin, Origins
from inferworks.books.bills.tables import Batch, Table

ROWS = {
    "Amount": ["1", "x", ""],
    "Project": ['{"id": "p"}', "{broken", ""],
}


class Mapped:
    """A mapping that makes a column of ours of the first of several that has a text."""

    def __init__(self, sources: Mapping[str, tuple[str, ...]]) -> None:
        self.sources = sources

    def filled(self) -> dict[str, tuple[object, ...]]:
        """Each way by its sources."""
        return {
            name: tuple(type("Way", (), {"sources": (one,)}) for one in sources)
            for name, sources in self.sources.items()
        }


def origins(**sources: tuple[str, ...]) -> Origins:
    """The origins of three rows in two batches, as `sources` say."""
    batches = [
        Batch((2, 3), {name: texts[:2] for name, texts in ROWS.items()}),
        Batch((5,), {name: texts[2:] for name, texts in ROWS.items()}),
    ]
    mapping = Mapped(sources) if sources else None
    return Origins(lambda: Table(tuple(ROWS), iter(batches), "line"), mapping)


def test_without_a_mapping_it_is_the_cell_itself() -> None:
    """The name as the file spells it, whatever the case that is asked for."""
    assert origins().of(3, "amount") == Origin("Amount", "x")


def test_the_first_source_with_a_text_is_told() -> None:
    """Else the first of all; a path within JSON is told as such."""
    found = origins(cost=("Project.id", "Amount"))
    assert found.of(2, "cost") == Origin("Project.id", "p")
    assert found.of(3, "cost") == Origin("Amount", "x")
    assert found.of(5, "cost") == Origin("Project.id", "")


def test_what_is_not_there_has_no_origin() -> None:
    """A column of no source, a row that was left out, and one after the last."""
    assert origins().of(2, "nothing") is None
    assert origins().of(4, "Amount") is None
    assert origins().of(99, "Amount") is None


def test_a_file_is_opened_when_it_is_asked_and_read_once() -> None:
    """Errors come in the order of rows; those of one row may come several times."""
    opened = []
    batch = Batch((1, 2), {"a": ["x", "y"]})

    def table() -> Table:
        opened.append(1)
        return Table(("a",), iter([batch]), "line")

    found = Origins(table, None)
    assert not opened
    assert [found.of(number, "a") for number in (1, 1, 2)] == [
        Origin("a", "x"), Origin("a", "x"), Origin("a", "y"),
    ]  # fmt: skip
    assert len(opened) == 1
