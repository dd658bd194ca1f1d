"""Choose the next token from its logits.

Each choice of each call has its own random numbers, one per token, so what is drawn for it does
not depend on who else is in the batch. The marks that only a prompt may contain are never drawn:
the candidates are the bytes and the end of turn, or the bytes alone where the end is barred.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inferworks.hardware.engines.embedded.tokenizer import BYTES

Logits = NDArray[np.float32]


def candidates(end_barred: bool) -> int:
    """Return how many tokens, counted from 0, may be drawn."""
    return BYTES if end_barred else BYTES + 1


def greedy(logits: Logits) -> int:
    """Return the likeliest token of `logits` (candidates); the lowest of equals."""
    return int(logits.argmax())


@dataclass(slots=True)
class Sampler:
    """Draws for one choice of one call; `temperature` 0 takes the likeliest."""

    temperature: float
    top_p: float
    random: random.Random

    @classmethod
    def of(cls, temperature: float, top_p: float, seed: int, choice: int) -> Sampler:
        """Return the sampler of a choice: its random numbers come from the seed and its index."""
        own = random.Random(f"{seed}:{choice}")  # noqa: S311 - it draws words, it keeps no secret
        return cls(temperature, top_p, own)

    def draw(self, logits: Logits) -> int:
        """Return a token drawn from `logits` (candidates)."""
        if self.temperature == 0.0:
            return greedy(logits)
        weights = _weights(logits, self.temperature)
        point = self.random.random()
        if self.top_p < 1.0:
            return _draw_nucleus(weights, self.top_p, point)
        return _at(weights.cumsum(), point)


def _weights(logits: Logits, temperature: float) -> NDArray[np.float64]:
    """Return unnormalised probabilities, the likeliest being 1."""
    scaled = (logits.astype(np.float64) - float(logits.max())) / temperature
    return np.exp(scaled)


def _draw_nucleus(weights: NDArray[np.float64], top_p: float, point: float) -> int:
    """Draw from the fewest tokens whose probabilities sum to at least `top_p`."""
    order = np.argsort(-weights, kind="stable")
    cumulative = weights[order].cumsum()
    kept = int(np.searchsorted(cumulative, top_p * cumulative[-1])) + 1
    return int(order[_at(cumulative[:kept], point)])


def _at(cumulative: NDArray[np.float64], point: float) -> int:
    """Return the index whose share of the cumulative sum contains `point`, in [0, 1)."""
    index = int(np.searchsorted(cumulative, point * cumulative[-1], side="right"))
    return min(index, len(cumulative) - 1)
