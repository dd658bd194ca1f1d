"""Work without the collector of cyclic garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Switch the collector of cyclic garbage off, and on again afterwards if it was on.

    A bill and a statement are a great many values and no cycles. The collector walks them again and again
    as they grow in number and finds nothing: a second and a half of a hundred thousand customers' five.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
