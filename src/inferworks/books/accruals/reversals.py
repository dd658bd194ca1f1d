"""Sealed estimates of bills: their reversal by a bill, and their return when that bill is taken back.

An estimate sealed with a closed period stays. A reversal is posted beside it as soon as a bill covers it;
and where that bill is taken back (a void, a bill of another company), the estimate is posted again, under
a name of its own: a reversal that a later close has sealed stays, as the estimate does.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import msgspec

from inferworks.books.charge import Charge, ChargeId, charge_id

REVERSED = "reversed"
_SUCCESSOR = re.compile(r"/again-(?P<ordinal>\d+)$")


def is_reversal(charge: Charge) -> bool:
    """Return True if `charge`, an estimate, reverses another."""
    return charge.line.endswith(f"/{REVERSED}")


def is_first(charge: Charge) -> bool:
    """Return True if `charge`, an estimate, is neither the reversal of one nor one booked again."""
    return not (is_reversal(charge) or _SUCCESSOR.search(charge.line))


def reversal(charge: Charge) -> Charge:
    """The exact opposite of an estimate, under a name of its own."""
    quantity = charge.quantity and str(-int(charge.quantity))
    return msgspec.structs.replace(
        _renamed(charge, f"{charge.line}/{REVERSED}"),
        description=f"{charge.description}; reversed, for the bill has arrived",
        amount_pico=-charge.amount_pico,
        quantity=quantity,
    )


def with_reversals(
    sealed: Iterable[Charge], is_billed: Callable[[Charge], bool]
) -> Iterator[Charge]:
    """All estimates that were `sealed`, what takes them back, and what books them again."""
    families: dict[ChargeId, list[Charge]] = defaultdict(list)
    for charge in {charge.id: charge for charge in sealed}.values():
        families[_first(charge).id].append(charge)
    for family in families.values():
        yield from family
        last = max((one for one in family if not is_reversal(one)), key=_ordinal)
        stands = 2 * _ordinal(last) - 1 == len(family)
        if is_billed(last) and stands:
            yield reversal(last)
        elif not is_billed(last) and not stands:
            yield _renamed(last, f"{_first(last).line}/again-{_ordinal(last) + 1}")


def _first(charge: Charge) -> Charge:
    """The estimate that was sealed first, of which `charge` is one of the successors, by its name."""
    line = charge.line.removesuffix(f"/{REVERSED}")
    return _renamed(charge, _SUCCESSOR.sub("", line))


def _ordinal(charge: Charge) -> int:
    """Return the number of times an estimate was booked, this time included."""
    match = _SUCCESSOR.search(charge.line)
    return int(match["ordinal"]) if match else 1


def _renamed(charge: Charge, line: str) -> Charge:
    return msgspec.structs.replace(
        charge, id=charge_id(charge.issuer, charge.invoice, line), line=line
    )
