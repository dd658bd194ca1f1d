"""Figures and their parts: a tree in which the parts of every node sum to it, or it is not built."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from inferworks.errors import BooksError
from inferworks.money import format_pico


class Ratio(msgspec.Struct, frozen=True):
    """Ratio of one split: `quantity` of `whole`, in `unit` (a driver's unit)."""

    stage: str
    quantity: int
    whole: int
    unit: str

    @property
    def text(self) -> str:
        """Return the ratio as text for readers."""
        return f"{self.stage}: {self.quantity} of {self.whole} {self.unit}"


class Node(msgspec.Struct, frozen=True):
    """A figure and its parts. `amount_pico` is in picounits; the parts, if any are shown, sum to it."""

    label: str
    amount_pico: int
    detail: str = ""
    ratios: tuple[Ratio, ...] = ()
    parts: tuple[Node, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return the JSON values; every amount an exact decimal string."""
        return {
            "label": self.label,
            "amount": format_pico(self.amount_pico),
            "detail": self.detail,
            "ratios": [
                {"stage": r.stage, "quantity": r.quantity, "whole": r.whole, "unit": r.unit}
                for r in self.ratios
            ],
            "parts": [part.to_json() for part in self.parts],
        }


class Bounds(NamedTuple):
    """Limits of a shown tree: levels below the root, and parts of one node."""

    depth: int = 6
    width: int = 10


USUAL_BOUNDS = Bounds()


class Unseen(NamedTuple):
    """Number and sum of the parts that are not kept, for they will not be shown."""

    parts: int
    amount_pico: int


NOTHING_UNSEEN = Unseen(0, 0)


def sum_unseen(unseen: Iterable[Unseen]) -> Unseen:
    """Return the sum of all."""
    each = list(unseen)
    return Unseen(sum(u.parts for u in each), sum(u.amount_pico for u in each))


def bounded(node: Node, bounds: Bounds, unseen: Unseen = NOTHING_UNSEEN) -> Node:
    """Return `node` with its largest parts; the others are counted and summed in a last one.

    `unseen` are smaller than any part that is shown. BooksError when the parts do not sum to the node.
    """
    parts_pico = sum(part.amount_pico for part in node.parts) + unseen.amount_pico
    if node.parts and parts_pico != node.amount_pico:
        raise BooksError(
            f"the parts of {node.label!r} sum to {format_pico(parts_pico)}, not "
            f"{format_pico(node.amount_pico)}"
        )
    ordered = sorted(node.parts, key=lambda part: (-abs(part.amount_pico), part.label))
    shown, rest = ordered[: bounds.width], ordered[bounds.width :]
    if rest or unseen.parts:
        rest_pico = sum(part.amount_pico for part in rest) + unseen.amount_pico
        shown.append(Node(f"and {len(rest) + unseen.parts} more", rest_pico))
    return msgspec.structs.replace(node, parts=tuple(shown))
