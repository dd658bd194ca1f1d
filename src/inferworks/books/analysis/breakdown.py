"""Figures and their parts: a tree in which the parts of every node sum to it, or it is not built."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    found = list(unseen)
    return Unseen(sum(one.parts for one in found), sum(one.amount_pico for one in found))


def node_of(
    bounds: Bounds,
    label: str,
    amount_pico: int,
    parts: Sequence[Node],
    detail: str = "",
    ratios: tuple[Ratio, ...] = (),
    unseen: Unseen = NOTHING_UNSEEN,
) -> Node:
    """A node whose parts sum to it, the largest first; those out of sight are counted and summed.

    `unseen` are smaller than any of `parts` that is shown. BooksError when the parts do not sum to it.
    """
    parts_pico = sum(part.amount_pico for part in parts) + unseen.amount_pico
    if parts and parts_pico != amount_pico:
        raise BooksError(
            f"the parts of {label!r} sum to {format_pico(parts_pico)}, not {format_pico(amount_pico)}"
        )
    ordered = sorted(parts, key=lambda part: (-abs(part.amount_pico), part.label))
    shown, rest = ordered[: bounds.width], ordered[bounds.width :]
    if rest or unseen.parts:
        rest_pico = sum(part.amount_pico for part in rest) + unseen.amount_pico
        shown.append(Node(f"and {len(rest) + unseen.parts} more", rest_pico))
    return Node(label, amount_pico, detail, ratios, tuple(shown))
