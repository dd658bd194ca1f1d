"""The decoder: one ONNX session and the memory its attention works in.

Problem. Continuous batching needs a cache that outlives a step: sequences of different lengths side
by side, each growing by a token at a time, joining and leaving between steps. A graph that returns
a longer cache each time would copy it all at every step.

Decision. We own the cache, one array per layer and part, shaped (rows, kv_heads, positions,
head_width), and bind it as both the past and the present of GroupQueryAttention, which then writes
the new keys and values in place. A sequence is a row. Rows 0..n-1 are the running batch, always
dense, so a decode binds the first n rows and nothing is gathered. The last row is the *desk*: there
one prompt at a time is read, alone, in chunks cut by its own length only; when it is read, its keys
and values are copied into as many rows as the call asked for choices.

Why alone: a prompt's numbers then cannot depend on its neighbours. In a decode every row has its own
length, and the kernels sum each element of a matrix product in one order, however many rows there
are. Thus the logits of a call are bitwise the same alone and in any batch. That is a property of the
runtime's kernels on a kind of processor and not a promise of theirs, so `tests/hardware` checks it
over random batches wherever the tests run.

Rejected. Paged attention (there is no such operator for processors here, and with 1024 positions a
row is 2.6 MB: nothing to page); one batch for prompts and decodes (the lengths would mix); padding a
batch with idle rows (an idle row writes too, and one day it overwrites somebody).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from inferworks.hardware.engines.embedded.sampling import Logits
from inferworks.hardware.engines.embedded.tokenizer import Tokenizer

HOME = Path(__file__).parent
"""Folder of `model.onnx` and its card `model.json`."""

PREFILL_CHUNK = 128
"""The most tokens of a prompt that are read in one step."""


@dataclass(frozen=True, slots=True)
class Card:
    """Fields of the model's card that the engine needs."""

    layers: int
    kv_heads: int
    head_width: int
    positions: int
    vocabulary: int
    tokenizer: Tokenizer


def read_card(path: Path) -> Card:
    """Read `model.json`. OSError, ValueError or KeyError when it is not a card."""
    whole = json.loads(path.read_text("utf-8"))
    shape = whole["shape"]
    return Card(
        layers=shape["layers"],
        kv_heads=shape["kv_heads"],
        head_width=shape["head_width"],
        positions=shape["positions"],
        vocabulary=shape["vocabulary"],
        tokenizer=Tokenizer(**whole["specials"]),
    )


class Model:
    """The session, its cache, and the two ways to run it. Used by one thread at a time."""

    def __init__(self, slots: int, *, threads: int = 1, home: Path = HOME) -> None:
        """Load the graph and set aside the cache of `slots` rows and the desk."""
        self.card = read_card(home / "model.json")
        self.slots = slots
        card = self.card
        shape = (2 * card.layers, slots + 1, card.kv_heads, card.positions, card.head_width)
        self._cache = np.zeros(shape, np.float32)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        # threads that wait sleep, they do not spin
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = str(home / "model.onnx")
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._decodes: dict[int, _Bound] = {}
        self._desk = _Desk(self._cache[:, slots:], card)

    def warm(self) -> None:
        """Run the largest prefill and decode once, so that the first call finds memory set aside."""
        self.prefill(np.zeros(PREFILL_CHUNK, np.int64), 0)
        self.decode([0] * self.slots, [0] * self.slots)

    def prefill(self, tokens: NDArray[np.int64], start: int) -> Logits:
        """Read the next chunk of a prompt at the desk.

        `tokens` is (length,), at most PREFILL_CHUNK, standing at positions from `start`. Returns the
        logits (vocabulary,) after the last of them.
        """
        return self._desk.run(self._session, tokens, start)

    def seat(self, row: int, length: int) -> None:
        """Copy the first `length` positions of the desk into `row`."""
        self.move(self.slots, row, length)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of row `source` into row `target`."""
        self._cache[:, target, :, :length] = self._cache[:, source, :, :length]

    def decode(self, tokens: list[int], lengths: list[int]) -> Logits:
        """Run one step of rows 0..n-1.

        `tokens` and `lengths` are (n,): each row's newest token and how many positions it has in
        the cache already. Returns logits (n, vocabulary), valid until the next decode of n rows.
        """
        rows = len(tokens)
        bound = self._decodes.get(rows)
        if bound is None:
            cache = self._cache[:, :rows]
            bound = _bind(self._session, cache, rows, 1, self.card.vocabulary)
            self._decodes[rows] = bound
        bound.tokens[:, 0] = tokens
        bound.lengths[:] = lengths
        bound.total[0] = max(lengths) + 1
        self._session.run_with_iobinding(bound.binding)
        return bound.logits[:, 0]


@dataclass(frozen=True, slots=True)
class _Bound:
    """The arrays of one shape of step, bound once and filled anew each time."""

    binding: Any
    tokens: NDArray[np.int64]
    lengths: NDArray[np.int32]
    total: NDArray[np.int32]
    logits: Logits


def _bind(
    session: Any, cache: NDArray[np.float32], rows: int, length: int, vocabulary: int
) -> _Bound:
    """Bind the inputs and outputs of a step of (rows, length) to arrays that stay where they are."""
    tokens = np.zeros((rows, length), np.int64)
    lengths = np.zeros(rows, np.int32)
    total = np.ones(1, np.int32)
    logits = np.zeros((rows, length, vocabulary), np.float32)
    binding = session.io_binding()
    for name, array in (("tokens", tokens), ("lengths", lengths), ("total", total)):
        _bind_input(binding, name, array)
    for index, part in enumerate(cache):
        name = f"{('key', 'value')[index % 2]}{index // 2}"
        _bind_input(binding, f"past_{name}", part)
    _bind_output(binding, "logits", logits)
    for index, part in enumerate(cache):
        _bind_output(binding, f"present_{('key', 'value')[index % 2]}{index // 2}", part)
    return _Bound(binding, tokens, lengths, total, logits)


def _bind_input(binding: Any, name: str, array: NDArray[Any]) -> None:
    kind, shape, pointer = array.dtype.type, array.shape, array.ctypes.data
    binding.bind_input(name, "cpu", 0, kind, shape, pointer)


def _bind_output(binding: Any, name: str, array: NDArray[Any]) -> None:
    kind, shape, pointer = array.dtype.type, array.shape, array.ctypes.data
    binding.bind_output(name, "cpu", 0, kind, shape, pointer)


class _Desk:
    """Prefill of one prompt at a time; bound anew for each length of chunk."""

    def __init__(self, cache: NDArray[np.float32], card: Card) -> None:
        self._cache = cache
        self._card = card
        self._full: _Bound | None = None

    def run(self, session: Any, tokens: NDArray[np.int64], start: int) -> Logits:
        """Read `tokens` (length,) at positions from `start`; return the last logits."""
        length = len(tokens)
        bound = self._full if length >= PREFILL_CHUNK else None
        if bound is None:
            bound = _bind(session, self._cache, 1, length, self._card.vocabulary)
            if length >= PREFILL_CHUNK:
                self._full = bound
        bound.tokens[0] = tokens
        bound.lengths[0] = start + length - 1
        bound.total[0] = start + length
        session.run_with_iobinding(bound.binding)
        last: Logits = bound.logits[0, -1]
        return last
