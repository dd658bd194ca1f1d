"""The model that ships does small sums, however they are asked; its documents say how well."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from itertools import cycle, product
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from inferworks.hardware.engines.base import Message
from inferworks.hardware.engines.embedded.model import HOME, Model

Sign = Literal["+", "-"]
Pair = tuple[int, int]

PHRASES = (
    "What is {x}?",
    "{x}",
    "{x} =",
    "what is {x}",
    "How much is {x}?",
    "{x}=",
    "Compute {x}.",
)
EXPRESSIONS = {
    "+": ("{a} + {b}", "{a}+{b}", "{a} plus {b}"),
    "-": ("{a} - {b}", "{a}-{b}", "{a} minus {b}"),
}
OTHERS = {"+": ("Add {a} and {b}.",), "-": ("Subtract {b} from {a}.",)}
LONGEST = 24


def answers(model: Model, questions: Sequence[str]) -> list[str]:
    """The greedy answers to as many questions as the model has rows."""
    lengths = []
    tokens = []
    for row, question in enumerate(questions):
        prompt = model.card.tokenizer.chat((Message("user", question),))
        tokens.append(int(model.prefill(np.array(prompt, np.int64), 0).argmax()))
        model.seat(row, len(prompt))
        lengths.append(len(prompt))
    written = [tokens]
    for _ in range(LONGEST):
        tokens = [int(token) for token in model.decode(tokens, lengths).argmax(-1)]
        lengths = [length + 1 for length in lengths]
        written.append(tokens)
    end = model.card.tokenizer.end_of_turn
    rows = (list(row) for row in zip(*written, strict=True))
    return [bytes(row[: row.index(end)] if end in row else row[:1]).decode() for row in rows]


def wrong(model: Model, sign: Sign, pairs: Sequence[Pair]) -> list[str]:
    """The answers that are wrong, each pair asked in the next wording."""
    phrased = [phrase.replace("{x}", x) for phrase, x in product(PHRASES, EXPRESSIONS[sign])]
    wordings = cycle((*phrased, *OTHERS[sign]))
    asked = [next(wordings).format(a=a, b=b) for a, b in pairs]
    right = [f"{a} {sign} {b} = {a + b if sign == '+' else a - b}" for a, b in pairs]
    given: list[str] = []
    for start in range(0, len(asked), model.slots):
        given += answers(model, asked[start : start + model.slots])
    return [f"{q} {g}" for q, g, r in zip(asked, given, right, strict=True) if g != r]


def chosen(seed: int, count: int, limit: int) -> list[Pair]:
    """Pairs of numbers below a limit, each as likely as any other."""
    rng = random.Random(seed)
    return [(rng.randrange(limit), rng.randrange(limit)) for _ in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["+", "-"])
def test_sums_of_two_digits_are_all_right(model: Model, sign: Sign) -> None:
    """All hundred pairs of one-digit numbers."""
    assert wrong(model, sign, list(product(range(10), repeat=2))) == []


@pytest.mark.slow
@pytest.mark.parametrize(("sign", "least"), [("+", 0.985), ("-", 0.985)])
def test_sums_below_a_thousand(model: Model, sign: Sign, least: float) -> None:
    """Sums are right as often as documented, negative results included."""
    faults = wrong(model, sign, chosen(2, 600, 1000))
    assert 1 - len(faults) / 600 >= least, faults


def test_the_card_is_of_the_model_that_ships() -> None:
    """The card has the hash of the file, which stays within 4 MB."""
    whole = (HOME / "model.onnx").read_bytes()
    card = json.loads((HOME / "model.json").read_text("utf-8"))
    assert card["sha256"] == hashlib.sha256(whole).hexdigest()
    assert len(whole) <= 4_000_000


def test_the_document_states_the_scores_of_the_card() -> None:
    """Each score of the card is a row of docs/engine.md: as many questions, the same percentage."""
    document = (Path(__file__).parents[4] / "docs/engine.md").read_text("utf-8")
    scores = json.loads((HOME / "model.json").read_text("utf-8"))["scores"]
    rows = [line.split("|")[2:4] for line in document.splitlines() if line.endswith(" % |")]
    stated = [(int(count), share.strip()) for count, share in rows]
    measured = [*scores["held_out_exact_match"].values(), *scores["sums_exact_match"].values()]
    assert stated == [(s["questions"], f"{_percent(s['exact'])} %") for s in measured]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0") if share > 0.98 else f"{100 * share:.0f}"
