"""Purpose of a call or of machine time. Captured on arrival; no later step can recover it.

The books turn purpose into accounting function by a stated policy (`docs/books.md`, theorem 9).
"""

from __future__ import annotations

from enum import StrEnum


class Purpose(StrEnum):
    """Purpose for which capacity was used."""

    SERVE_PAID = "serve-paid"
    """Answers to customers who pay."""
    SERVE_FREE = "serve-free"
    """Answers to users who do not pay."""
    SERVE_INTERNAL = "serve-internal"
    """Answers to our own staff and tools."""
    TRAIN_INFERENCE = "train-inference"
    """Inference used for training: rollouts, synthetic data, distillation, judges."""
    TRAIN_GRADIENT = "train-gradient"
    """Gradient descent."""
    EVALUATE = "evaluate"
    """Measuring models before or beside production."""
    DATA_PREP = "data-prep"
    """Collecting, cleaning and holding training data."""
    CUSTOMER_TRAINING = "customer-training"
    """A fine-tune that a customer pays for."""
    SUPPORT = "support"
    """Keeping the service running: logs, monitoring, repairs."""


SERVING = frozenset({Purpose.SERVE_PAID, Purpose.SERVE_FREE, Purpose.SERVE_INTERNAL})
"""Purposes of ordinary answers, paid or not."""
