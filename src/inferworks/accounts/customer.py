"""A customer: whoever is charged for calls, or on whose account we give them away."""

from __future__ import annotations

import re

import msgspec

from inferworks.errors import UserError
from inferworks.ids import CustomerId

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Customer(msgspec.Struct, frozen=True):
    """One customer. `id` is its short name, as it stands in statements."""

    id: CustomerId
    created_ns: int


def customer_id(text: str) -> CustomerId:
    """`text` as a customer's id; refused unless it is a short lower-case name."""
    if not _NAME.fullmatch(text):
        raise UserError(
            f"customer name {text[:80]!r} is not usable: use up to 63 of a-z 0-9 . _ -, "
            "starting with a letter or digit"
        )
    return CustomerId(text)
