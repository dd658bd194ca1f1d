"""Which offer to try, and which next: a policy without I/O.

A route is a generator: it yields the offer to try and is sent the verdict on that attempt. Production
drives it with sockets (`serve`), a test with a list, the planner with a heap. It ends when there is
nothing more to try; the last verdict then stands.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from enum import Enum, auto

from inferworks.cloud.offer import Offer


class Verdict(Enum):
    """How an attempt went, as far as the next one is concerned."""

    SERVED = auto()
    """It answers; nothing else is tried."""
    FINAL = auto()
    """It refused what any other would refuse too."""
    ELSEWHERE = auto()
    """It failed before it answered; another offer may do better."""


Route = Generator[Offer, Verdict, None]


def least_loaded(
    offers: Sequence[Offer], running: Callable[[Offer], int], *, attempts: int = 3
) -> Route:
    """Try the offer with the fewest running calls first, ties by id; at most `attempts` offers."""
    for offer in sorted(offers, key=lambda offer: (running(offer), offer.id))[:attempts]:
        verdict = yield offer
        if verdict is not Verdict.ELSEWHERE:
            return
