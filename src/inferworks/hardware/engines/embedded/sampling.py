"""Choose the next tokens of a batch from their logits.

Each choice of each call has its own random numbers, one per token, so what is drawn for it does not
depend on who else is in the batch. The marks that only a prompt may contain are never drawn: the
candidates are the bytes and the end of turn, or the bytes alone where the end is barred.

All rows are drawn at once: one by one, a token cost fifty microseconds in a dozen calls of numpy, half
as much as the decoder itself. Every operation here works along a row, so a row's result does not
depend on the others.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inferworks.hardware.engines.embedded.tokenizer import BYTES

Logits = NDArray[np.float32]
_Weights = NDArray[np.float64]
_Indices = NDArray[np.intp]

_END = BYTES
"""The end of turn is the token after the bytes."""


@dataclass(frozen=True, slots=True)
class Sampler:
    """Sampling of one choice of one call; `temperature` 0 takes the likeliest token."""

    temperature: float
    top_p: float
    random: random.Random

    @classmethod
    def of(cls, temperature: float, top_p: float, seed: int, choice: int) -> Sampler:
        """Return the sampler of a choice: its random numbers come from the seed and its index."""
        own = random.Random(f"{seed}:{choice}")  # noqa: S311 - it draws words, it keeps no secret
        return cls(temperature, top_p, own)


def draw(logits: Logits, samplers: Sequence[Sampler], barred: Sequence[bool]) -> list[int]:
    """Draw a token for each row of `logits` (rows, vocabulary).

    `samplers` and `barred` have an entry per row; a barred row cannot end.
    """
    allowed = logits[:, : _END + 1]
    if any(barred):
        allowed = allowed.copy()
        allowed[np.asarray(barred), _END] = -np.inf
    tokens: list[int] = allowed.argmax(axis=1).tolist()
    plain = [row for row, s in enumerate(samplers) if s.temperature > 0 and s.top_p >= 1]
    nucleus = [row for row, s in enumerate(samplers) if s.temperature > 0 and s.top_p < 1]
    for rows, sample in ((plain, _draw_plain), (nucleus, _draw_nucleus)):
        if rows:
            chosen = sample(allowed[rows], [samplers[row] for row in rows])
            for row, token in zip(rows, chosen.tolist(), strict=True):
                tokens[row] = token
    return tokens


def _weights(logits: Logits, samplers: list[Sampler]) -> _Weights:
    """Return unnormalised probabilities (rows, candidates), the likeliest of a row being 1."""
    exact = logits.astype(np.float64)
    exact -= exact.max(axis=1, keepdims=True)
    exact /= np.array([[sampler.temperature] for sampler in samplers])
    return np.exp(exact, out=exact)


def _points(samplers: list[Sampler]) -> _Weights:
    return np.array([[sampler.random.random()] for sampler in samplers])


def _draw_plain(logits: Logits, samplers: list[Sampler]) -> _Indices:
    """Draw from all candidates by their probability."""
    cumulative = _weights(logits, samplers).cumsum(axis=1)
    return _at(cumulative, _points(samplers) * cumulative[:, -1:])


def _draw_nucleus(logits: Logits, samplers: list[Sampler]) -> _Indices:
    """Draw from the fewest candidates whose probabilities sum to at least `top_p`."""
    weights = _weights(logits, samplers)
    order = np.argsort(-weights, axis=1, kind="stable")
    cumulative = np.take_along_axis(weights, order, axis=1).cumsum(axis=1)
    top_p = np.array([[sampler.top_p] for sampler in samplers])
    last = (cumulative < top_p * cumulative[:, -1:]).sum(axis=1, keepdims=True)
    kept = np.take_along_axis(cumulative, last, axis=1)
    place = _at(cumulative, _points(samplers) * kept)[:, None]
    drawn: _Indices = np.take_along_axis(order, np.minimum(place, last), axis=1)[:, 0]
    return drawn


def _at(cumulative: _Weights, targets: _Weights) -> _Indices:
    """Return for each row the index whose share of the cumulative sum contains its target."""
    index: _Indices = (cumulative <= targets).sum(axis=1)
    bounded: _Indices = np.minimum(index, cumulative.shape[1] - 1)
    return bounded
