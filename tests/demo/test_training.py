"""The demo's student: a small model that learns."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest

from inferworks.demo.scenario import (
    rollouts,
)
from inferworks.demo.training import CONTEXT, Student, descend, windows_of


@pytest.mark.slow
def test_the_loss_falls() -> None:
    """A hundred steps of gradient descent on a text: the student has learned most of it."""
    windows = windows_of(["Gross margin is revenue minus cost of revenue. " * 8])
    ticks = count()
    trained = descend(windows, 0.0, seed=1, now=lambda: float(next(ticks)))
    assert trained.steps == 100
    assert trained.start_loss == pytest.approx(np.log(128), abs=0.1)
    assert trained.end_loss < trained.start_loss / 2


def test_gradients_are_the_slopes_of_the_loss() -> None:
    """Each kind of weight, nudged: the loss moves as its gradient says."""
    student = Student.fresh(seed=2)
    student.out *= 20
    windows = windows_of(["abcabcabcabd"])
    slopes = student.gradients(windows)
    for weight, slope in zip(student.weights, slopes, strict=True):
        place = np.unravel_index(np.abs(slope).argmax(), slope.shape)
        here, nudge = weight[place], 1e-2
        weight[place] = here + nudge
        above = student.loss(windows)
        weight[place] = here - nudge
        below = student.loss(windows)
        weight[place] = here
        assert (above - below) / (2 * nudge) == pytest.approx(slope[place], rel=0.02)


def test_windows_hold_what_came_before() -> None:
    """A text of three characters has three windows, the first of which knows nothing yet."""
    windows = windows_of(["abé"])
    assert windows.shape == (4, CONTEXT + 1)  # é is two bytes, beyond ASCII
    assert windows[0].tolist() == [0] * CONTEXT + [ord("a")]
    assert windows[1, -2:].tolist() == [ord("a"), ord("b")]
    assert windows[2:, -1].tolist() == [0, 0]


def test_rollouts_are_sampled() -> None:
    """The student learns from sampled answers, not from the one likeliest answer."""
    assert all(call.temperature > 0 for call in rollouts(5, seed=1))
