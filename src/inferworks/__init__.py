"""Inferworks: an inference ecosystem as one program that knows what every answer cost."""

__version__ = "0.1.0"
