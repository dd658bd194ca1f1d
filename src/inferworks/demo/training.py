"""The trainer: a real, small distillation, as a process of its own on the same machine.

    rollouts (train-inference)  ->  a data set on disk (data-prep)  ->  gradient descent (train-gradient)

It asks the platform's model for answers, keeps them as a data set, and teaches a student (one hidden
layer, plain numpy) to predict the next character of such answers from the characters before it. The
gradients are real and the loss really falls; the student is too small to be good for anything else.

    python -m inferworks.demo.training --url http://127.0.0.1:8080/v1 --model inferworks-tiny \\
        --dataset rollouts.npz --node local --seconds 5

The key comes from INFERWORKS_API_KEY. The result is printed as one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from inferworks.demo.scenario import LAB, rollouts
from inferworks.demo.traffic import send_all
from inferworks.errors import InferworksError
from inferworks.metering import KEY_VARIABLE, metered
from inferworks.purpose import Purpose

Floats = NDArray[np.float32]
Codes = NDArray[np.uint8]

TRAINER_SOURCE = "demo.trainer"
"""Source under which the machine time of training is reported."""
CONTEXT = 6
"""Characters that the student sees."""
_HIDDEN = 96
_BATCH = 256
_RATE, _MOMENTUM = 0.15, 0.9
_FEWEST_STEPS = 100
_SCORED = 2048
"""Windows on which the loss is told."""
_VOCABULARY = 128
"""Size of the vocabulary: ASCII; other characters count as code 0."""


class Trained(msgspec.Struct, frozen=True):
    """Result of the trainer. Losses are in nats per character, over the same windows."""

    rollouts: int
    windows: int
    parameters: int
    steps: int
    start_loss: float
    end_loss: float


@dataclass
class Student:
    """A network with one hidden layer of tanh and a softmax over characters; it learns in place."""

    into: Floats
    hidden_bias: Floats
    out: Floats
    out_bias: Floats

    @classmethod
    def fresh(cls, seed: int) -> Student:
        """A student that knows nothing."""
        rng = np.random.default_rng(seed)
        width = CONTEXT * _VOCABULARY
        return cls(
            into=(rng.standard_normal((width, _HIDDEN)) * 0.1).astype(np.float32),
            hidden_bias=np.zeros(_HIDDEN, np.float32),
            out=(rng.standard_normal((_HIDDEN, _VOCABULARY)) * 0.01).astype(np.float32),
            out_bias=np.zeros(_VOCABULARY, np.float32),
        )

    @property
    def weights(self) -> tuple[Floats, ...]:
        """Every parameter."""
        return self.into, self.hidden_bias, self.out, self.out_bias

    def loss(self, windows: Codes) -> float:
        """Mean cross-entropy, in nats per character, over `windows` (rows of CONTEXT + 1 codes)."""
        _, _, chances = self._forward(windows)
        return float(-np.log(chances[np.arange(len(windows)), windows[:, -1]] + 1e-9).mean())

    def gradients(self, windows: Codes) -> tuple[Floats, ...]:
        """The gradient of the loss over `windows` for each of `weights`."""
        seen, hidden, chances = self._forward(windows)
        error = chances
        error[np.arange(len(windows)), windows[:, -1]] -= 1.0
        error /= len(windows)
        back = (error @ self.out.T) * (1.0 - hidden * hidden)
        into = np.zeros_like(self.into)
        np.add.at(into, seen, back[:, None, :])
        return into, back.sum(axis=0), hidden.T @ error, error.sum(axis=0)

    def _forward(self, windows: Codes) -> tuple[NDArray[np.int64], Floats, Floats]:
        """Rows of `into` that are seen, the hidden layer, the chances of each next character."""
        seen = windows[:, :-1] + np.arange(CONTEXT, dtype=np.int64) * _VOCABULARY
        hidden = np.tanh(self.into[seen].sum(axis=1) + self.hidden_bias)
        raw = hidden @ self.out + self.out_bias
        chances = np.exp(raw - raw.max(axis=1, keepdims=True))
        return seen, hidden, chances / chances.sum(axis=1, keepdims=True)


def windows_of(texts: Sequence[str]) -> Codes:
    """Every CONTEXT + 1 characters in a row of each text, as codes; a text begins after zeros."""
    rows = []
    for text in texts:
        raw = np.frombuffer(text.encode("utf-8"), np.uint8)
        codes = np.where(raw < _VOCABULARY, raw, 0).astype(np.uint8)
        padded = np.concatenate([np.zeros(CONTEXT, np.uint8), codes])
        rows.append(np.lib.stride_tricks.sliding_window_view(padded, CONTEXT + 1))
    return np.concatenate(rows)


def descend(windows: Codes, seconds: float, seed: int, now: Callable[[], float]) -> Trained:
    """Stochastic gradient descent with momentum for `seconds` of `now`, and a least number of steps."""
    rng = np.random.default_rng(seed)
    student = Student.fresh(seed)
    speeds = [np.zeros_like(weight) for weight in student.weights]
    scored = windows[rng.integers(len(windows), size=min(_SCORED, len(windows)))]
    start_loss, until, steps = student.loss(scored), now() + seconds, 0
    while steps < _FEWEST_STEPS or now() < until:
        batch = windows[rng.integers(len(windows), size=_BATCH)]
        for weight, speed, slope in zip(
            student.weights, speeds, student.gradients(batch), strict=True
        ):
            speed *= _MOMENTUM
            speed -= _RATE * slope
            weight += speed
        steps += 1
    size = sum(weight.size for weight in student.weights)
    return Trained(0, len(windows), size, steps, start_loss, student.loss(scored))


def train(options: argparse.Namespace, secret: str) -> Trained:
    """Collect rollouts, keep them, learn from them."""
    calls = rollouts(options.rollouts, options.seed)
    sending = send_all(options.url, options.model, {LAB: secret}, calls, lambda: None)
    texts = [answer.text for answer in asyncio.run(sending)]
    windows = windows_of(texts)
    np.save(options.dataset, windows)
    about = f"distilling {options.model} into a student on {len(windows)} windows"
    with metered(
        Purpose.TRAIN_GRADIENT,
        options.node,
        measure="processor",
        source=TRAINER_SOURCE,
        description=about,
        url=options.url,
        key=secret,
    ):
        trained = descend(windows, options.seconds, options.seed, time.monotonic)
    return msgspec.structs.replace(trained, rollouts=len(texts))


def main(argv: Sequence[str]) -> int:
    """Run the trainer; an error is one line on standard error."""
    parser = argparse.ArgumentParser(prog="training", description="Train a student, metered.")
    parser.add_argument("--url", required=True, help="where the platform's API begins")
    parser.add_argument("--model", required=True, help="the teacher")
    parser.add_argument("--dataset", type=Path, required=True, help="file for the data set (.npy)")
    parser.add_argument("--node", required=True, help="the machine, as its bills call it")
    parser.add_argument("--seconds", type=float, default=5.0, help="of gradient descent")
    parser.add_argument("--rollouts", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    try:
        trained = train(options, os.environ.get(KEY_VARIABLE, ""))
    except InferworksError as error:
        sys.stderr.write(f"training: {error}\n")
        return 1
    sys.stdout.write(msgspec.json.encode(trained).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
