"""Sections of `benchmarks/limits.py`, a module for each."""
