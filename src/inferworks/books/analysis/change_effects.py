"""Effects of causes on the parts of a gross margin.

Amounts are keyed by ids, which are permanent; texts show the names of customers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from inferworks.books.statement.statement import name_json
from inferworks.money import format_pico


class Cause(StrEnum):
    """Cause of a change of margin, in the order of presentation."""

    VOLUME = "volume"
    MIX = "mix"
    PRICE = "price"
    FEES = "fees"
    CACHE = "cache"
    BILLS = "bills"
    IDLE = "idle"
    LATE = "late"


MEANINGS: Final = {
    Cause.VOLUME: "more or less was used",
    Cause.MIX: "others used it, or other models",
    Cause.PRICE: "a unit earned more or less",
    Cause.FEES: "subscriptions, minimums, expired credit",
    Cause.CACHE: "more or less of the input was cached",
    Cause.BILLS: "suppliers and staff cost more or less",
    Cause.IDLE: "more or less capacity stood unused",
    Cause.LATE: "booked for closed periods",
}
"""Description of each cause, in a few words."""


class Part(NamedTuple):
    """A part of the margin, by what is known of it; the rest is empty."""

    pool: str = ""
    customer: str = ""
    model: str = ""
    period: str = ""
    """Closed period of a correction."""

    def about(self, cause: Cause) -> Part:
        """Return the part as shown to a reader: a pool or a period, else a customer and model."""
        if cause in (Cause.BILLS, Cause.IDLE):
            return Part(self.pool)
        if self.period or self.customer or self.model:
            return self._replace(pool="")
        return Part(self.pool)

    def text(self, names: Mapping[str, str]) -> str:
        """Return the part in words; customers are named by `names`."""
        customer = names.get(self.customer, self.customer)
        return (
            self.period or ", ".join(name for name in (customer, self.model) if name) or self.pool
        )


class Effect(NamedTuple):
    """Effect of one cause on one part of the margin, in picounits."""

    cause: Cause
    part: Part
    amount_pico: int


class Explained(NamedTuple):
    """The change of a gross margin, and the effects that sum to it."""

    then_pico: int
    now_pico: int
    effects: tuple[Effect, ...]
    names: tuple[tuple[str, str], ...] = ()
    """Names of customers by id; those without a name are left out."""

    @property
    def change_pico(self) -> int:
        """Now less then."""
        return self.now_pico - self.then_pico

    def by_cause(self) -> dict[Cause, int]:
        """The effect of every cause; they sum to the change."""
        sums = dict.fromkeys(Cause, 0)
        for effect in self.effects:
            sums[effect.cause] += effect.amount_pico
        return sums

    def ranked(self, cause: Cause) -> list[tuple[str, int]]:
        """Return the parts that `cause` affects, in words, with their picounits; largest first."""
        sums: dict[Part, int] = defaultdict(int)
        for effect in self.effects:
            if effect.cause is cause:
                sums[effect.part.about(cause)] += effect.amount_pico
        names = dict(self.names)
        largest = sorted(sums, key=lambda part: (-abs(sums[part]), part))
        return [(part.text(names), sums[part]) for part in largest]

    def mostly(self, cause: Cause) -> str:
        """Return the part most affected by `cause`, in words; empty if there is none."""
        return next((text for text, _ in self.ranked(cause)), "")

    def to_json(self) -> dict[str, object]:
        """The causes as JSON values; every amount an exact decimal string."""
        names = dict(self.names)
        return {
            "margin": "gross_margin",
            "change": format_pico(self.change_pico),
            "causes": {cause.value: format_pico(pico) for cause, pico in self.by_cause().items()},
            "parts": [
                {
                    "cause": effect.cause.value,
                    **effect.part._asdict(),
                    **name_json(effect.part.customer, names),
                    "effect": format_pico(effect.amount_pico),
                }
                for effect in self.effects
            ],
        }
