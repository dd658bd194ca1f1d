"""Method M3: each call's contribution to a step, averaged over the orders in which calls could join.

Problem. A step costs less than its calls one by one: the model's weights are read once for all calls in
it, and a little prefill takes no time beside that. Any fixed weight per token (M0, M1, M2) shares that
saving arbitrarily.

Decision. The Shapley value is the only sharing that is symmetric, additive, gives nothing to a call that
adds nothing, and sums to the whole (Shapley 1953, "A Value for n-Person Games"). The time of a step with
a set of calls is modelled as a roofline: the larger of reading the weights once and of the linear work of
all tokens, plus what each token's context adds. Values are averaged over orders drawn from a seed that
the step itself names, each with its reverse (Castro et al. 2009; antithetic pairs halve the variance), so
the same step gives the same values on every machine. A draw is not symmetric, the value is: calls that
bring the same work get the mean of theirs. Marginals are whole numbers and every order's sum to the same
total, so the weights are exact and the measured duration is split by them.

Rejected as a default: it costs sixty-four times what M2 costs. M0, M1 and M2 are compared with it
(`analysis/method_comparison.py`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import NamedTuple, TypeAlias

ORDERS = 32
"""Orders drawn per step; each is also walked backwards."""


class Work(NamedTuple):
    """Work of one side of a call in a step, in the weights of `catalog/models.toml`."""

    linear: int = 0
    """Work of the linear layers: up to a point it takes no time beside the reading of the model."""
    context: int = 0
    """Work of attention to the context: always additional."""

    def __add__(self, other: Work) -> Work:  # type: ignore[override]
        """Return the sum of both."""
        return Work(self.linear + other.linear, self.context + other.context)


Player: TypeAlias = tuple[str, ...]


def shapley_weights(
    works: Mapping[Player, Work], fixed: int, seed: str, orders: int = ORDERS
) -> dict[Player, int]:
    """Return each key's average contribution to the step, as whole weights that sum to a multiple of it.

    `2 * orders` orders are walked; of four players or fewer, all there are.
    """
    keys = sorted(key for key, work in works.items() if work != Work())
    weights = dict.fromkeys(keys, 0)
    for order in permutations(keys) if len(keys) <= _FEW else _drawn(keys, seed, orders):
        linear, floor = 0, 0
        for key in order:  # adds what it adds to the step when they join one after the other
            work = works[key]
            linear += work.linear
            reached = max(fixed, linear)
            weights[key] += reached - floor + work.context
            floor = reached
    # the weights of equal work are made equal, all scaled alike so that they stay whole
    sums: dict[Work, int] = {}
    counts: dict[Work, int] = {}
    for key, weight in weights.items():
        sums[works[key]] = sums.get(works[key], 0) + weight
        counts[works[key]] = counts.get(works[key], 0) + 1
    scale = math.lcm(*counts.values())
    return {key: sums[works[key]] * scale // counts[works[key]] for key in weights}


_FEW = 4


def _drawn(keys: Sequence[Player], seed: str, orders: int) -> Iterator[Sequence[Player]]:
    """Orders drawn from `seed`, each followed by its reverse."""
    draw = random.Random(seed)  # noqa: S311 - a sample, not a secret
    for _ in range(orders):
        order = draw.sample(keys, len(keys))
        yield order
        yield order[::-1]
