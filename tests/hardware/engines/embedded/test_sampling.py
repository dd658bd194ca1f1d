"""Drawing tokens."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.hardware.engines.embedded.sampling import Logits, Sampler, draw

VOCABULARY = 264
END = 256


def logits_of(shares: dict[int, float]) -> Logits:
    """One row of logits in which only these tokens are possible."""
    row = np.full((1, VOCABULARY), -1e9, np.float32)
    for token, share in shares.items():
        row[0, token] = np.log(share)
    return row


ROW = logits_of({10: 0.15, 20: 0.5, 30: 0.05, END: 0.3})


def draws(temperature: float, top_p: float, seed: int = 1, choice: int = 0) -> list[int]:
    """Two thousand draws of one choice."""
    sampler = Sampler.of(temperature, top_p, seed, choice)
    return [draw(ROW, [sampler], [False])[0] for _ in range(2000)]


def test_zero_takes_the_likeliest() -> None:
    """At temperature 0 the seed does not matter, and of equals the lowest is taken."""
    assert set(draws(0.0, 1.0)) == {20}
    flat = np.zeros((1, VOCABULARY), np.float32)
    assert draw(flat, [Sampler.of(0.0, 1.0, 5, 0)], [False]) == [0]


@pytest.mark.slow
def test_a_seed_decides() -> None:
    """The same seed draws the same; another seed or another choice draws otherwise."""
    assert draws(1.0, 1.0) == draws(1.0, 1.0)
    assert draws(1.0, 1.0) != draws(1.0, 1.0, seed=2)
    assert draws(1.0, 1.0) != draws(1.0, 1.0, choice=1)


def test_shares_follow_the_probabilities() -> None:
    """Over many draws each token has its share, within four standard deviations."""
    counts = Counter(draws(1.0, 1.0))
    for token, share in {10: 0.15, 20: 0.5, 30: 0.05, END: 0.3}.items():
        assert counts[token] / 2000 == pytest.approx(share, abs=4 * (share / 2000) ** 0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("top_p", "kept"),
    [
        (0.0, {20}), (0.4, {20}), (0.79, {20, END}), (0.9, {20, END, 10}),
        (0.99, {20, END, 10, 30}), (1.0, {20, END, 10, 30}),
    ],
)  # fmt: skip
def test_the_nucleus(top_p: float, kept: set[int]) -> None:
    """Only the fewest tokens that together have `top_p` are ever drawn."""
    assert set(draws(1.0, top_p)) == kept


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_end_can_be_barred(temperature: float) -> None:
    """A row that may not end draws another token, and its neighbour may still end."""
    ending = np.repeat(logits_of({END: 0.9, 7: 0.1}), 2, axis=0)
    samplers = [Sampler.of(temperature, 0.5, 1, n) for n in range(2)]
    assert draw(ending, samplers, [True, False]) == [7, END]


@pytest.mark.slow
@given(st.integers(0, 2**32), st.integers(1, 8), st.data())
def test_neighbours_do_not_matter(seed: int, rows: int, data: st.DataObject) -> None:
    """Rows drawn together are what each of them is drawn alone."""
    logits = np.random.default_rng(seed).normal(0, 3, (rows, VOCABULARY)).astype(np.float32)
    settings = [
        (data.draw(st.sampled_from([0.0, 0.7, 1.5])), data.draw(st.sampled_from([0.3, 0.9, 1.0])))
        for _ in range(rows)
    ]
    barred = [data.draw(st.booleans()) for _ in range(rows)]

    def samplers() -> list[Sampler]:
        return [Sampler.of(*setting, seed, row) for row, setting in enumerate(settings)]

    alone = [
        draw(logits[row : row + 1], [sampler], [barred[row]])[0]
        for row, sampler in enumerate(samplers())
    ]
    assert draw(logits, samplers(), barred) == alone
