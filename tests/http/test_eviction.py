"""Order in which connections give way, and the cost of a search for them."""

from __future__ import annotations

import random
from dataclasses import dataclass

from inferworks.http.eviction import Evictions


@dataclass(eq=False)
class Evictable:
    """A connection, as far as giving way goes; counts how often it is looked at."""

    idle_now: bool
    deadline: float
    looks: int = 0

    @property
    def idle(self) -> bool:
        """True if the guest may be dropped."""
        self.looks += 1
        return self.idle_now


def test_order() -> None:
    """Strangers in the order they came, then the known that are late soonest; who is busy never goes."""
    chance = random.Random(3)
    room: Evictions[Evictable] = Evictions()
    unauthenticated = [Evictable(chance.random() < 0.7, chance.random()) for _ in range(200)]
    known = [Evictable(chance.random() < 0.7, chance.random()) for _ in range(200)]
    left = {*unauthenticated, *known}
    room.unauthenticated.update(dict.fromkeys(unauthenticated))
    gone = []
    while (guest := room.choose(left, 0.0)) is not None:
        left.remove(guest)
        gone.append(guest)
    idle = [guest for guest in known if guest.idle_now]
    assert gone == [
        *(guest for guest in unauthenticated if guest.idle_now),
        *sorted(idle, key=lambda guest: guest.deadline),
    ]


def test_a_stranger_that_came_later_goes_before_the_known() -> None:
    """A list made before a stranger came is no reason to drop a guest that is known."""
    room: Evictions[Evictable] = Evictions()
    known = [Evictable(True, float(n)) for n in range(3)]
    assert room.choose(known, 0.0) is known[0]
    newcomer = Evictable(True, 100.0)
    room.unauthenticated[newcomer] = None
    assert room.choose([*known[1:], newcomer], 0.0) is newcomer
    assert room.choose(known[1:], 0.0) is known[1]


def test_who_has_become_busy_meanwhile() -> None:
    """A guest that has begun something since it was found, or was answered again, is passed over."""
    guests = [Evictable(True, float(n)) for n in range(4)]
    room: Evictions[Evictable] = Evictions()
    assert room.choose(guests, 0.0) is guests[0]
    guests[1].idle_now = False
    guests[2].deadline = 50.0
    assert room.choose(guests[1:], 0.0) is guests[3]


def test_work_for_each_newcomer_is_bounded() -> None:
    """Neither a crowd of idle connections nor one of busy ones is looked through for each newcomer."""
    newcomers = 1000
    for idle in (True, False):
        for are_strangers in (True, False):
            guests = [Evictable(idle, float(n)) for n in range(2000)]
            left = set(guests)
            room: Evictions[Evictable] = Evictions()
            if are_strangers:
                room.unauthenticated.update(dict.fromkeys(guests))
            for _ in range(newcomers):
                guest = room.choose(left, 0.0)
                if guest is not None:
                    left.remove(guest)
            assert sum(guest.looks for guest in guests) / newcomers < 70


def test_nobody_is_held() -> None:
    """Guests that were found are held by nobody here."""
    room: Evictions[Evictable] = Evictions()
    guests = [Evictable(True, float(n)) for n in range(3)]
    assert room.choose(guests, 0.0) is guests[0]
    guests.clear()
    assert room.choose(guests, 0.0) is None
