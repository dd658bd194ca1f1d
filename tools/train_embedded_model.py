"""Train the model that ships inside the package, and write it as ONNX.

    pip install numpy onnx onnxruntime msgspec 'torch==2.13.0'
    PYTHONPATH=src python tools/train_embedded_model.py

Problem: the embedded engine must be a real engine, with a real transformer behind it, yet the
package may carry only a few megabytes and may not depend on a training framework. Decision: a
Llama-shaped decoder of 1.6 million parameters over bytes, trained on text the project writes
itself (``corpus.py``), exported by hand as an ONNX graph whose weights are stored as float16 and
cast to float32 once, when the session folds its constants. Attention is the contrib operator
GroupQueryAttention: it writes the keys and values in place into a buffer we own, and takes one
length per row, which is what continuous batching needs.

Rejected: torch's own ONNX exporter (it spells the attention out in some forty operators, and the
cache grows by concatenation, so every step would copy it); int8 weights (half the file, but the
activations are then quantised by the range of the whole batch, so that a neighbour in the batch
changes one's logits).

The run is reproducible on one kind of machine: seed, steps and threads fix it. On another kind
the float sums differ in their last bits, and training amplifies that.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import random
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as the whole world writes it

import corpus
from corpus import Example, conversations, examples

END_OF_TURN, BEGIN, SYSTEM, USER, ASSISTANT = 256, 257, 258, 259, 260
VOCABULARY = 264  # 256 bytes, five specials, and three unused rows so that the width is even
HAS_BFLOAT16 = torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001 there is no other way
"""True if the processor computes with bfloat16 itself: emulation is ten times as slow."""
SHORT_ROW = 256
LONG_EVERY = 12
CHECKPOINT_EVERY = 100
ASK_EVERY = 40
READING_WEIGHT = 0.1  # the loss on text that the model reads, relative to text it must write
OUTPUT = Path(__file__).parents[1] / "src/inferworks/hardware/engines/embedded"


@dataclass(frozen=True)
class Shape:
    """The dimensions of the decoder: wide feed-forwards and little attention.

    Attention is the part of a step that batching does not make cheaper, since every sequence has
    keys and values of its own. With five layers of six heads eight streams gave 2.5 times the tokens
    of one; so there are four layers of four heads, which share one set of keys and values.
    """

    vocabulary: int = VOCABULARY
    width: int = 192
    layers: int = 4
    heads: int = 4
    kv_heads: int = 1
    head_width: int = 32
    hidden: int = 576
    positions: int = 1024
    rope_base: float = 10000.0
    norm_epsilon: float = 1e-5

    @property
    def packed_width(self) -> int:
        """Queries, keys and values of one token, side by side."""
        return (self.heads + 2 * self.kv_heads) * self.head_width


# ------------------------------------------------------------------------------- the torch side


def rotary_tables(shape: Shape) -> tuple[Tensor, Tensor]:
    """Return cosines and sines, each (positions, head_width / 2)."""
    half = shape.head_width // 2
    frequency = shape.rope_base ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(shape.positions, dtype=torch.float64)[:, None] * frequency
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate (batch, heads, length, head_width) by position; halves, not interleaved pairs."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend over (batch, heads, length, head_width).

    Written out for short rows: there, on a processor, two bfloat16 products and a softmax are
    twice as fast as torch's fused kernel. Long rows and exact scores take the fused kernel.
    """
    length = q.shape[2]
    if not torch.is_autocast_enabled("cpu") or length > SHORT_ROW:
        return F.scaled_dot_product_attention(q, k, v.to(q.dtype), is_causal=True)
    mask = torch.full((length, length), -math.inf, dtype=torch.bfloat16).triu(1)
    q, k = (q * q.shape[-1] ** -0.5).bfloat16(), k.bfloat16()
    scores = torch.matmul(q, k.transpose(-1, -2)) + mask
    return torch.matmul(scores.softmax(-1), v.bfloat16())


class Block(nn.Module):
    """Attention and feed-forward, each behind its own RMS norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.attention_norm = nn.Parameter(torch.ones(shape.width))
        self.qkv = nn.Linear(shape.width, shape.packed_width, bias=False)
        self.out = nn.Linear(shape.heads * shape.head_width, shape.width, bias=False)
        self.feed_norm = nn.Parameter(torch.ones(shape.width))
        self.gate_up = nn.Linear(shape.width, 2 * shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def attend(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Causal grouped-query attention over (batch, length, width)."""
        s, (batch, length, _) = self.shape, x.shape
        packed = self.qkv(x).view(batch, length, -1, s.head_width).transpose(1, 2)
        q, k, v = packed.split((s.heads, s.kv_heads, s.kv_heads), dim=1)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        group = s.heads // s.kv_heads
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        mixed = causal_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, -1))

    def feed(self, x: Tensor) -> Tensor:
        """SwiGLU over (batch, length, width)."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Map (batch, length, width) to the same shape."""
        width, epsilon = (self.shape.width,), self.shape.norm_epsilon
        x = x + self.attend(F.rms_norm(x, width, self.attention_norm, epsilon), cos, sin)
        return x + self.feed(F.rms_norm(x, width, self.feed_norm, epsilon))


class Decoder(nn.Module):
    """Tokens (batch, length) to logits (batch, length, vocabulary); embeddings are tied."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Parameter(torch.randn(shape.vocabulary, shape.width) * 0.05)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.final_norm = nn.Parameter(torch.ones(shape.width))
        cos, sin = rotary_tables(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for block in self.blocks:
            for linear in (block.out, block.down):
                nn.init.normal_(linear.weight, std=0.02 / math.sqrt(2 * shape.layers))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits for every position."""
        length = tokens.shape[1]
        x = F.embedding(tokens, self.embedding)
        for block in self.blocks:
            x = block(x, self.cos[:length], self.sin[:length])
        x = F.rms_norm(x, (self.shape.width,), self.final_norm, self.shape.norm_epsilon)
        return F.linear(x, self.embedding)


# ------------------------------------------------------------------------------------- the text

Chat = tuple[Example, ...]
SUMS: corpus.Mix = ((corpus.add, 2), (corpus.subtract, 3))


def encode(chat: Chat, reading: float = READING_WEIGHT) -> tuple[list[int], list[float]]:
    """Return a chat's tokens, and the loss weight of each one as a *target*."""
    tokens, weights = [BEGIN], [0.0]

    def say(role: int, text: str, weight: float) -> None:
        body = text.encode()
        tokens.extend((role, *body, END_OF_TURN))
        weights.extend((0.0, *[weight] * len(body), weight))

    if chat[0].system:
        say(SYSTEM, chat[0].system, reading)
    for turn in chat:
        say(USER, turn.question, reading)
        say(ASSISTANT, turn.answer, 1.0)
    return tokens, weights


def rows(
    chats: Iterator[Chat], length: int, reading: float
) -> Iterator[tuple[list[int], list[float]]]:
    """Yield rows of ``length + 1`` tokens: whole chats side by side, the rest padding."""
    tokens: list[int] = []
    weights: list[float] = []
    for chat in chats:
        more, more_weights = encode(chat, reading)
        if len(tokens) + len(more) > length + 1:
            padding = length + 1 - len(tokens)
            if tokens:
                yield tokens + [END_OF_TURN] * padding, weights + [0.0] * padding
            tokens, weights = more[: length + 1], more_weights[: length + 1]
        else:
            tokens, weights = tokens + more, weights + more_weights


def batches(
    chats: Iterator[Chat], length: int, size: int, reading: float = READING_WEIGHT
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield tokens (size, length + 1) and their weights as targets, for ever."""
    source = rows(chats, length, reading)
    while True:
        chunk = list(itertools.islice(source, size))
        yield torch.tensor([row for row, _ in chunk]), torch.tensor([w for _, w in chunk])


class Mistakes:
    """Sums that the model got wrong when it was asked, near which it is then taught more.

    A model that is right nine times in ten learns little from sums drawn by chance. So it is asked
    some now and then, and a share of its chats become sums like those that it missed.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.missed: deque[Example] = deque(maxlen=1000)

    def ask(self, model: Decoder, count: int = 500) -> float:
        """Ask sums of the corpus; return the share that was wrong."""
        seed = self.rng.randrange(2**32)
        asked = list(itertools.islice(examples(seed, held_out=False, mix=SUMS), count))
        right = answered_exactly(model, asked)
        missed = [example for example, is_right in zip(asked, right, strict=True) if not is_right]
        self.missed.extend(missed)
        return len(missed) / count

    def among(self, chats: Iterator[Chat], share: float) -> Iterator[Chat]:
        """Yield the chats, a share of them replaced by one sum near a mistake."""
        for chat in chats:
            if not self.missed or self.rng.random() >= share:
                yield chat
            elif not (near := self.near(self.rng.choice(self.missed))).held_out:
                yield (near,)

    def near(self, missed: Example) -> Example:
        """Return the sum in another wording, with both numbers shifted, or with a digit changed."""
        rng, way = self.rng, self.rng.random()
        a, b = map(int, missed.answer.split(" = ")[0].split()[::2])
        if way < 0.35:
            by = rng.randrange(-999, 1000)
            a, b = a + by, b + by if missed.kind == "subtract" else b - by
        elif way < 0.7:
            change = rng.choice((1, 10, 100)) * rng.randrange(-9, 10)
            a, b = rng.choice(((a + change, b), (a, b + change)))
        make = corpus.sum_of if missed.kind == "add" else corpus.difference_of
        return make(rng, a % 1000, b % 1000)


# --------------------------------------------------------------------------------- the training


def loss_of(model: nn.Module, tokens: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of the cross entropy, in nats per token."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=HAS_BFLOAT16):
        logits = model(tokens[:, :-1])
    each = F.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    target = weights[:, 1:].flatten()
    return (each * target).sum() / target.sum()


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Warm up over 100 steps, hold, then fall linearly to zero over the last 60 percent."""
    return peak * min(1.0, (step + 1) / 100, (1 - step / steps) / 0.6)


def optimiser(model: nn.Module) -> torch.optim.Optimizer:
    """AdamW, with weight decay on the matrices only."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.98), fused=True)


def train(model: Decoder, arguments: argparse.Namespace) -> float:
    """Train in place and return the mean loss of the last 50 steps, in nats per weighted byte.

    One step in `LONG_EVERY` reads rows of the full context. They must come all along: left to the end,
    when the rate is low, they found a model that fell apart beyond 256 tokens and stayed so.
    """
    compiled = torch.compile(model, dynamic=False) if arguments.compile else model
    optimizer, started, recent = optimiser(model), time.monotonic(), [0.0]
    mistakes = Mistakes(arguments.seed + 2000)
    chats = conversations(arguments.seed, held_out=False)
    if arguments.mistakes:
        chats = mistakes.among(chats, arguments.mistakes)
    longer = conversations(arguments.seed + 1000, held_out=False)
    short = batches(chats, SHORT_ROW, arguments.rows, arguments.reading)
    long = batches(longer, model.shape.positions, arguments.rows // 4, arguments.reading)
    for step in range(arguments.steps):
        if arguments.mistakes and step % ASK_EVERY == 0:
            wrong = mistakes.ask(model)
        rate = learning_rate(step, arguments.steps, arguments.rate)
        for group in optimizer.param_groups:
            group["lr"] = rate
        tokens, weights = next(long if step % LONG_EVERY == LONG_EVERY - 1 else short)
        loss = loss_of(compiled, tokens, weights)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        recent = [*recent[-49:], loss.item()]
        if step % 50 == 0:
            elapsed = time.monotonic() - started
            mean = sum(recent) / len(recent)
            told = f" wrong {wrong:.3f}" if arguments.mistakes else ""
            print(f"step {step} loss {mean:.4f} rate {rate:.5f} {elapsed:.0f}s{told}", flush=True)
        if arguments.checkpoint is not None and step % CHECKPOINT_EVERY == CHECKPOINT_EVERY - 1:
            torch.save(model.state_dict(), arguments.checkpoint)
    return sum(recent) / len(recent)


# ----------------------------------------------------------------------------------- the scores


@torch.no_grad()
def held_out_loss(model: Decoder, weight: float, count: int = 8) -> float:
    """Return nats per byte over held-out rows, for bytes written (1.0) or bytes read (0.1)."""
    total, bytes_seen = 0.0, 0.0
    for tokens, weights in itertools.islice(
        batches(conversations(77, held_out=True), 512, 32), count
    ):
        chosen = (weights[:, 1:].flatten() - weight).abs() < 1e-6
        logits = model(tokens[:, :-1]).flatten(0, 1)[chosen]
        total += F.cross_entropy(logits, tokens[:, 1:].flatten()[chosen], reduction="sum").item()
        bytes_seen += float(chosen.sum())
    return total / bytes_seen


@torch.no_grad()
def answered_exactly(model: Decoder, asked: Sequence[Example]) -> list[bool]:
    """Tell for each whether greedy decoding gives the answer, byte for byte, and then stops.

    One forward pass decides it: greedy decoding gives the answer exactly when the likeliest
    token after every prefix of the right answer is the next token of the right answer.
    """
    right: list[bool] = []
    for start in range(0, len(asked), 64):
        chats = [encode((example,)) for example in asked[start : start + 64]]
        longest = max(len(tokens) for tokens, _ in chats)
        padded = [tokens + [END_OF_TURN] * (longest - len(tokens)) for tokens, _ in chats]
        likeliest = model(torch.tensor(padded)).argmax(-1)
        for row, (tokens, weights) in zip(likeliest, chats, strict=True):
            answer = [i for i, weight in enumerate(weights) if weight == 1.0]
            right.append(all(int(row[i - 1]) == tokens[i] for i in answer))
    return right


SCORED = (
    corpus.define, corpus.why, corpus.compare, corpus.reverse, corpus.add, corpus.subtract,
    corpus.multiply, corpus.unit_cost, corpus.bill, corpus.margin, corpus.fleet, corpus.repeat,
    corpus.count, corpus.off_topic,
)  # fmt: skip


def score(model: Decoder, questions: Sequence[Example]) -> dict[str, float | int]:
    """Return how many questions there are and the share of them answered exactly."""
    right = sum(answered_exactly(model, questions))
    return {"questions": len(questions), "exact": round(right / len(questions), 4)}


def exact_match(model: Decoder, per_kind: int) -> dict[str, dict[str, float | int]]:
    """Return, for each kind, the score of distinct held-out questions."""
    scores = {}
    for maker in SCORED:
        found: dict[tuple[str, ...], Example] = {}
        for example in itertools.islice(examples(99, held_out=True, mix=((maker, 1),)), 3_000):
            if len(found) < per_kind:
                found.setdefault(example.key, example)
        scores[example.kind] = score(model, list(found.values()))
    return scores


def sums(model: Decoder, count: int) -> dict[str, dict[str, float | int]]:
    """Return the scores of sums, whether held out or not: all of two digits, and numbers by chance.

    Each pair of digits is asked in ten ways; numbers below a hundred and a thousand are uniform.
    """
    rng = random.Random(7)
    digits = [(a, b) for a in range(10) for b in range(10)] * 10
    pairs = {"one_digit": digits} | {
        f"below_{limit}": [(rng.randrange(limit), rng.randrange(limit)) for _ in range(count)]
        for limit in (100, 1000)
    }
    return {
        f"{name}_{size}": score(model, [of(rng, a, b) for a, b in chosen])
        for size, chosen in pairs.items()
        for name, of in (("add", corpus.sum_of), ("subtract", corpus.difference_of))
    }


# ----------------------------------------------------------------------------------- the export


class Graph:
    """Collects the nodes and weights of the ONNX graph; every weight is float16 with a Cast."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: list[str], outputs: list[str], **attributes: object) -> str:
        """Append a node of the default domain and return its first output."""
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=outputs[0], **attributes))
        return outputs[0]

    def contrib(
        self, kind: str, inputs: list[str], outputs: list[str], **attributes: object
    ) -> str:
        """Append a node of the runtime's contrib domain and return its first output."""
        return self.add(kind, inputs, outputs, domain="com.microsoft", **attributes)

    def half(self, name: str, value: Tensor) -> str:
        """Store a weight as float16 and return the name of its float32 form."""
        array = value.detach().numpy().astype(np.float16)
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), f"{name}.f16"))
        return self.add("Cast", [f"{name}.f16"], [name], to=TensorProto.FLOAT)

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Store a constant as it is."""
        self.weights.append(numpy_helper.from_array(value, name))
        return name


def build_attention(graph: Graph, model: Decoder, layer: int, x: str) -> str:
    """Append one attention; the new keys and values land in the buffers bound to the outputs."""
    s, p = model.shape, f"layer{layer}"
    block = model.blocks[layer]
    packed = graph.add("MatMul", [x, graph.half(f"{p}.qkv", block.qkv.weight.T)], [f"{p}.packed"])
    past = [f"past_key{layer}", f"past_value{layer}"]
    mixed = graph.contrib(
        "GroupQueryAttention",
        [packed, "", "", *past, "lengths", "total", "cos", "sin"],
        [f"{p}.mixed", f"present_key{layer}", f"present_value{layer}"],
        num_heads=s.heads,
        kv_num_heads=s.kv_heads,
        do_rotary=1,
    )
    return graph.add("MatMul", [mixed, graph.half(f"{p}.o", block.out.weight.T)], [f"{p}.attended"])


def build_feed(graph: Graph, model: Decoder, layer: int, x: str) -> str:
    """Append one SwiGLU; QuickGelu with alpha 1 is x * sigmoid(x)."""
    p, block = f"layer{layer}", model.blocks[layer]
    both = graph.add("MatMul", [x, graph.half(f"{p}.gu", block.gate_up.weight.T)], [f"{p}.both"])
    graph.add("Split", [both], [f"{p}.gate", f"{p}.up"], axis=-1, num_outputs=2)
    opened = graph.contrib("QuickGelu", [f"{p}.gate"], [f"{p}.opened"], alpha=1.0)
    mixed = graph.add("Mul", [opened, f"{p}.up"], [f"{p}.gated"])
    return graph.add("MatMul", [mixed, graph.half(f"{p}.d", block.down.weight.T)], [f"{p}.fed"])


def build_norm(graph: Graph, name: str, residual: str, change: str, scale: Tensor,
               epsilon: float) -> tuple[str, str]:  # fmt: skip
    """Append ``residual + change`` and its RMS norm; return the norm and the new residual."""
    weight = graph.half(f"{name}.scale", scale)
    outputs = [f"{name}.normed", "", "", f"{name}.residual"]
    graph.contrib(
        "SkipSimplifiedLayerNormalization", [residual, change, weight], outputs, epsilon=epsilon
    )
    return outputs[0], outputs[3]


def build_graph(model: Decoder) -> Graph:
    """Return the whole decoder: tokens (batch, length) to logits (batch, length, vocabulary)."""
    graph, epsilon = Graph(), model.shape.norm_epsilon
    graph.constant("cos", model.cos.numpy())
    graph.constant("sin", model.sin.numpy())
    embedding = graph.half("embedding", model.embedding)
    residual = graph.add("Gather", [embedding, "tokens"], ["embedded"])
    first = graph.half("first.scale", model.blocks[0].attention_norm)
    normed = graph.add("SimplifiedLayerNormalization", [residual, first], ["first.normed"],
                       axis=-1, epsilon=epsilon, stash_type=1)  # fmt: skip
    for layer, block in enumerate(model.blocks):
        change = build_attention(graph, model, layer, normed)
        normed, residual = build_norm(
            graph, f"feed{layer}", residual, change, block.feed_norm, epsilon
        )
        change = build_feed(graph, model, layer, normed)
        last = layer + 1 == model.shape.layers
        scale = model.final_norm if last else model.blocks[layer + 1].attention_norm
        normed, residual = build_norm(graph, f"next{layer}", residual, change, scale, epsilon)
    head = graph.add("Transpose", [embedding], ["head"], perm=[1, 0])
    graph.add("MatMul", [normed, head], ["logits"])
    return graph


def interface(shape: Shape) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    """Return the graph's inputs and outputs; cache is (batch, kv_heads, positions, head_width)."""
    cache = ["batch", shape.kv_heads, "positions", shape.head_width]

    def caches(word: str) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(f"{word}_{part}{layer}", TensorProto.FLOAT, cache)
            for layer in range(shape.layers)
            for part in ("key", "value")
        ]

    inputs = [
        helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "length"]),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]),
        helper.make_tensor_value_info("total", TensorProto.INT32, [1]),
        *caches("past"),
    ]
    logits = ["batch", "length", shape.vocabulary]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, logits)]
    return inputs, [*outputs, *caches("present")]


def export(model: Decoder, path: Path) -> None:
    """Write the model as ONNX; ``lengths`` is each row's total length minus one."""
    graph = build_graph(model)
    inputs, outputs = interface(model.shape)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    proto = helper.make_model(
        helper.make_graph(graph.nodes, "inferworks-tiny", inputs, outputs, graph.weights),
        opset_imports=opsets,
        ir_version=9,
        producer_name="inferworks",
    )
    path.write_bytes(proto.SerializeToString())


def round_weights(model: Decoder) -> None:
    """Round every weight to float16 in place, so that torch scores the weights of the file."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())


def load(model: Decoder, path: Path) -> None:
    """Read the weights of an exported model in place: the inverse of `export`."""
    stored = {
        tensor.name.removesuffix(".f16"): torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in onnx.load(path).graph.initializer
    }
    places: dict[str, Tensor] = {"embedding": model.embedding}
    norms = ["first", *(f"next{layer}" for layer in range(model.shape.layers))]
    scales = [*(block.attention_norm for block in model.blocks), model.final_norm]
    places |= {f"{name}.scale": scale for name, scale in zip(norms, scales, strict=True)}
    for layer, block in enumerate(model.blocks):
        places |= {
            f"layer{layer}.qkv": block.qkv.weight.T,
            f"layer{layer}.o": block.out.weight.T,
            f"feed{layer}.scale": block.feed_norm,
            f"layer{layer}.gu": block.gate_up.weight.T,
            f"layer{layer}.d": block.down.weight.T,
        }
    with torch.no_grad():
        for name, place in places.items():
            place.copy_(stored[name].float())


def load_mean(model: Decoder, paths: Sequence[Path]) -> None:
    """Read the mean of the weights of exported models in place."""
    others = [Decoder(model.shape) for _ in paths]
    for other, path in zip(others, paths, strict=True):
        load(other, path)
    with torch.no_grad():
        for place, *every in zip(
            model.parameters(), *(o.parameters() for o in others), strict=True
        ):
            place.copy_(torch.stack(every).mean(0))


def _options(arguments: argparse.Namespace) -> str:
    """Return the options that decide a model; files by their last two names."""
    if arguments.mean:
        return "--mean " + " ".join("/".join(path.parts[-2:]) for path in arguments.mean)
    options = (
        f"--steps {arguments.steps} --rows {arguments.rows} --rate {arguments.rate} "
        f"--seed {arguments.seed} --reading {arguments.reading}"
    )
    if arguments.mistakes:
        options += f" --mistakes {arguments.mistakes}"
    if arguments.begin_with:
        options += f" --begin-with {'/'.join(arguments.begin_with.parts[-2:])}"
    return options


def card(model: Decoder, arguments: argparse.Namespace, scores: dict[str, object]) -> str:
    """Return the model's card as JSON: description, origin, scores."""
    command = f"PYTHONPATH=src python tools/train_embedded_model.py {_options(arguments)}"
    digest = hashlib.sha256((arguments.output / "model.onnx").read_bytes()).hexdigest()
    specials = {"end_of_turn": END_OF_TURN, "begin": BEGIN, "system": SYSTEM, "user": USER,
                "assistant": ASSISTANT}  # fmt: skip
    whole = {
        "name": "inferworks-tiny",
        "licence": "Apache-2.0",
        "sha256": digest,
        "parameters": sum(p.numel() for p in model.parameters()),
        "shape": asdict(model.shape),
        "specials": specials,
        "chat_template": "<begin>{<role>text<end_of_turn>}*<assistant>",
        "training": {
            "command": command,
            "seed": arguments.seed,
            "torch": torch.__version__,
            "text": "generated by tools/corpus.py; no outside data",
        },
        "scores": scores,
    }
    return json.dumps(whole, indent=2) + "\n"


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=4500)
    parser.add_argument("--rows", type=int, default=24, help="rows of 256 tokens in a batch")
    parser.add_argument("--rate", type=float, default=0.004, help="peak learning rate")
    parser.add_argument(
        "--reading", type=float, default=READING_WEIGHT, help="loss weight of text that is read"
    )
    parser.add_argument(
        "--mistakes", type=float, default=0.0, help="share of chats near sums that it gets wrong"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--questions", type=int, default=300, help="scored questions of a kind")
    parser.add_argument("--sums", type=int, default=2000, help="scored sums of a size and sign")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--checkpoint", type=Path, help="where to keep torch's weights, if at all")
    parser.add_argument(
        "--mean", type=Path, nargs="+", help="take the mean of exported models instead of training"
    )
    parser.add_argument("--begin-with", type=Path, help="an exported model to train on from")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Train, export, score, and write the card."""
    arguments = parse(argv)
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    model = Decoder(Shape())
    if arguments.begin_with is not None:
        load(model, arguments.begin_with)
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    scores: dict[str, object] = {}
    if arguments.mean:
        load_mean(model, arguments.mean)
    else:
        scores["train_loss_nats_per_byte"] = round(train(model, arguments), 4)
    round_weights(model)
    arguments.output.mkdir(parents=True, exist_ok=True)
    export(model, arguments.output / "model.onnx")
    if arguments.checkpoint is not None:
        torch.save(model.state_dict(), arguments.checkpoint)
    scores |= {
        "held_out_loss_nats_per_byte": round(held_out_loss(model, 1.0), 4),
        "held_out_exact_match": exact_match(model, arguments.questions),
        "sums_exact_match": sums(model, arguments.sums),
    }
    text = card(model, arguments, scores)
    (arguments.output / "model.json").write_text(text)
    print(text, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
