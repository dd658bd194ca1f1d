"""The decoder computes the same bits for a sequence, whoever its neighbours are."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pytest

from inferworks.hardware.engines.base import Message
from inferworks.hardware.engines.embedded.model import PREFILL_CHUNK, Model
from inferworks.hardware.engines.embedded.sampling import Logits

QUESTIONS = (
    "What is prefill?", "17+25", "Tell me a long story about Ada.", "Hello", "é" * 150,
    "Compare decode and a ledger.", "x" * 700, "Why does egress matter?",
)  # fmt: skip
STEPS = 24


@dataclass
class Run:
    """A sequence run alone: its prompt, its tokens, and the logits after each of them."""

    prompt: tuple[int, ...]
    tokens: list[int]
    logits: list[Logits]


def read(model: Model, prompt: tuple[int, ...], row: int) -> Logits:
    """Read a prompt into a row; return its last logits."""
    logits = np.empty(0, np.float32)
    for start in range(0, len(prompt), PREFILL_CHUNK):
        chunk = np.array(prompt[start : start + PREFILL_CHUNK], np.int64)
        logits = model.prefill(chunk, start).copy()
    model.seat(row, len(prompt))
    return logits


def alone(model: Model, question: str) -> Run:
    """Run a question greedily in a batch of its own."""
    prompt = model.card.tokenizer.chat((Message("user", question),))
    logits = [read(model, prompt, 0)]
    tokens = [int(logits[0].argmax())]
    for step in range(STEPS):
        logits.append(model.decode(tokens[-1:], [len(prompt) + step])[0].copy())
        tokens.append(int(logits[-1].argmax()))
    return Run(prompt, tokens, logits)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_logits_are_bitwise_the_same_in_any_batch(model: Model, seed: int) -> None:
    """In random batches, with rows leaving on the way, every logit has the bits it has alone."""
    rng = random.Random(seed)
    runs = [alone(model, question) for question in QUESTIONS]
    rows = [rng.choice(runs) for _ in range(rng.randint(1, 32))]
    for row, run in enumerate(rows):
        assert np.array_equal(read(model, run.prompt, row), run.logits[0])
    for done in range(STEPS):
        tokens = [run.tokens[done] for run in rows]
        logits = model.decode(tokens, [len(run.prompt) + done for run in rows])
        for row, run in enumerate(rows):
            assert np.array_equal(logits[row], run.logits[done + 1]), f"{len(rows)} rows"
        if len(rows) > 1 and rng.random() < 0.4:
            gone, last = rng.randrange(len(rows) - 1), rows.pop()
            model.move(len(rows), gone, len(last.prompt) + done + 1)
            rows[gone] = last


def test_chunks_continue_each_other(model: Model) -> None:
    """A prompt read in chunks gives what it gives read at once, up to rounding."""
    prompt = np.array(model.card.tokenizer.chat((Message("user", "What is decode?"),)), np.int64)
    whole = model.prefill(prompt, 0).copy()
    model.prefill(prompt[:7], 0)
    assert np.allclose(model.prefill(prompt[7:], 7), whole, atol=1e-3)


def test_a_decode_continues_a_prefill(model: Model) -> None:
    """Reading a token in the prompt or feeding it back gives the same, up to rounding."""
    prompt = model.card.tokenizer.chat((Message("user", "What is a token?"),))
    whole = read(model, prompt, 0)
    read(model, prompt[:-1], 0)
    assert np.allclose(model.decode([prompt[-1]], [len(prompt) - 1])[0], whole, atol=1e-3)


def test_small_numbers_stay_what_they_are() -> None:
    """A number below the normal ones is one after a model is opened, too.

    ONNX Runtime can have the processor count it as 0. It sets that for the thread that opens the first
    session, for good and for everything that the thread computes.
    """
    smallest_normal = np.finfo(np.float64).smallest_normal
    Model(1)
    assert smallest_normal / 2 > 0
