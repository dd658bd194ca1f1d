"""Dividing from the top down: a coarser figure never depends on how finely one looks.

Problem. A charge can be split among customers, among customers and models, or among calls. Each split is
exact, but the customers' sums of a finer split differ from the coarser by picounits, for remainders fall
elsewhere. A statement by customer would depend on the other dimensions of the split.

Decision. A leaf stands at the end of a *path*: whose it is, what it was for, then itself. A total is
split among the first steps of all paths, each part among the second steps, and so on. So the parts at
any depth are final: an engine that stops at the customers gives the figures of one that goes down to
the calls (theorem 8), and ten million calls need not be visited to know what a customer cost.

Rejected. One split among the leaves, summed up: the coarse figures then need the finest. One split for
each cut: the cuts disagree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

from inferworks.money import split

if TYPE_CHECKING:  # numpy takes its time to load
    from inferworks.books.amounts import Amounts

Leaf = TypeVar("Leaf", bound=Hashable)
Path: TypeAlias = tuple[tuple[str, ...], ...]
"""The steps above a leaf, from the top; all paths of a split are of the same length."""
Amount: TypeAlias = "int | Amounts"
"""Amount to divide: one, or those of many lines, each on its own."""


def each(amount: Amount) -> Sequence[int]:
    """Return the amounts that are divided each on its own."""
    return [amount] if isinstance(amount, int) else amount.each()


def split_down(
    total: int, weights: Mapping[Leaf, int], path_of: Callable[[Leaf], Path]
) -> dict[Leaf, int]:
    """`split_each_down` of one amount."""
    return cast("dict[Leaf, int]", split_each_down(total, weights, path_of))


def split_each_down(
    total: Amount, weights: Mapping[Leaf, int], path_of: Callable[[Leaf], Path]
) -> Mapping[Leaf, Amount]:
    """`total` divided among the leaves of `weights`, step by step down their paths.

    Each step is a `money.split`: the parts sum to `total`, ties go by key. MoneyError when a weight is
    negative or all are zero.
    """
    return _divided(total, {leaf: (path_of(leaf), weight) for leaf, weight in weights.items()})


def _divided(total: Amount, leaves: Mapping[Leaf, tuple[Path, int]]) -> Mapping[Leaf, Amount]:
    """`total` among `leaves`, each with what is left of its path and its weight."""
    if not any(path for path, _ in leaves.values()):
        return _split(total, {leaf: weight for leaf, (_, weight) in leaves.items()})
    groups: dict[tuple[str, ...], dict[Leaf, tuple[Path, int]]] = defaultdict(dict)
    for leaf, (path, weight) in leaves.items():
        groups[path[0]][leaf] = (path[1:], weight)
    sums = {key: sum(weight for _, weight in group.values()) for key, group in groups.items()}
    parts: dict[Leaf, Amount] = {}
    for key, part in _split(total, sums).items():
        group = groups[key]  # one without weight has no part to divide
        parts |= _divided(part, group) if sums[key] else dict.fromkeys(group, 0)
    return {leaf: parts[leaf] for leaf in leaves}


def _split(total: Amount, weights: Mapping[Leaf, int]) -> Mapping[Leaf, Amount]:
    return split(total, weights) if isinstance(total, int) else total.split(weights)
