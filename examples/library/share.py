"""Inferworks as a library: an invoice is shared among teams by their tokens, to the last picounit.

    .venv/bin/python examples/library/share.py

The parts always sum to the invoice, in any order of the teams; each is within 10^-12 of its exact share.
Only names that the package promises (`inferworks.__all__`) are used.
"""

from __future__ import annotations

from collections.abc import Mapping

from inferworks import format_pico, parse_pico, split

INVOICE = "100.00"
TOKENS = {"search": 1_000_000, "support": 1_000_000, "research": 1_000_000, "archive": 0}


def shares(invoice: str, tokens: Mapping[str, int]) -> dict[str, str]:
    """Return each team's share of `invoice`, an exact decimal."""
    parts = split(parse_pico(invoice), tokens)
    return {team: format_pico(pico) for team, pico in parts.items()}


if __name__ == "__main__":
    for team, amount in shares(INVOICE, TOKENS).items():
        print(f"{team:10} {amount:>20}")
