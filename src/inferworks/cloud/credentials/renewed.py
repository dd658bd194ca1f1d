"""A proof that ends: fetched in a thread, kept, and renewed before it is over, once for everybody.

Problem. The vendors' libraries fetch tokens with blocking requests, which take a second on a good day. A
gateway with a thousand calls running must neither stand still for one of them nor send a thousand requests
to the token service when the token is over; and it must not fail calls because the service is away for a
minute while the token in hand is still good.

Decision. One `Renewed` holds one value. While it is fresh, `get` returns it without waiting. Shortly before
its end the first caller starts a fetch in a thread, and everybody, that caller too, goes on with the value
in hand. Only without a good value do callers wait, all of them for the same fetch, and not for minutes, as
the libraries would. A fetch that fails is not tried again within a second; those who have no good value
are told so at once meanwhile, as an UpstreamError that was not sent, which a route answers by going
elsewhere.

Rejected. A task that renews by the clock, whether or not anybody calls (a token service asked for ever by
an idle gateway, and one more thing to stop); leaving it to the libraries, whose locks hold threads, not
tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from inferworks.clock import Clock, SystemClock
from inferworks.errors import UpstreamError

Value = TypeVar("Value")
_SECOND_NS: Final = 1_000_000_000
_RETRY_NS: Final = _SECOND_NS
"""Time in which a fetch that failed is not tried again."""
_WAIT_S: Final = 20.0
"""Longest wait for a fetch; the fetch itself goes on."""


@dataclass(frozen=True, slots=True)
class Lease(Generic[Value]):
    """A value and when it ends. Its repr does not show the value."""

    value: Value = field(repr=False)
    ends_ns: int
    """Nanoseconds since 1970-01-01 UTC."""


@dataclass(frozen=True, slots=True)
class Early:
    """Time before the end of a value at which it is renewed."""

    seconds: float = 300.0
    part: float = 0.5
    """Largest part of the value's whole time that this may be."""


_EARLY: Final = Early()


class Renewed(Generic[Value]):
    """One value, renewed as it is asked for. Belongs to one event loop."""

    def __init__(
        self,
        fetch: Callable[[], Lease[Value]],
        *,
        what: str,
        early: Early = _EARLY,
        clock: Clock | None = None,
    ) -> None:
        """`fetch` blocks and is run in a thread; `what` names the value in errors, without secrets."""
        self._fetch = fetch
        self._what = what
        self._early_ns = round(early.seconds * _SECOND_NS)
        self._early_part = early.part
        self._wait_s = _WAIT_S
        self._clock = clock or SystemClock()
        self._carried = self._clock.carried()
        self._lease: Lease[Value] | None = None
        self._renew_ns = 0
        """Time from which it is to be renewed."""
        self._not_before_ns = 0
        """Time until which a failed fetch is not tried again."""
        self._why = ""
        self._fetching: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"Renewed({self._what})"

    async def get(self) -> Value:
        """A value that is good now. UpstreamError (not sent) when there is none and none can be had."""
        carried = self._clock.carried()
        if (
            carried is not self._carried
        ):  # the clock was set: when the value ends is not known any more
            self._carried = carried
            self._renew_ns = self._not_before_ns = carried.now_ns()
        now_ns = carried.now_ns()
        if now_ns >= self._renew_ns:
            if self._fetching is None and now_ns >= self._not_before_ns:
                self._fetching = asyncio.create_task(self._renew())
            fetching = self._fetching  # none while one that failed is left alone
            if self._lease is None or now_ns >= self._lease.ends_ns:
                self._lease = None
                if fetching is not None:
                    done, _ = await asyncio.wait({fetching}, timeout=self._wait_s)
                    if not done:
                        why = f"its source has not answered in {self._wait_s:g} s"
                        raise UpstreamError(f"{self._what} cannot be had: {why}", sent=False)
        if self._lease is None:
            raise UpstreamError(f"{self._what} cannot be had: {self._why}", sent=False)
        return self._lease.value

    async def _renew(self) -> None:
        """Replace the value. What goes wrong is kept for those who wait, and raised by none here."""
        try:
            lease = await asyncio.to_thread(self._fetch)
        except Exception as error:  # noqa: BLE001 each library has errors of its own
            lines, name = str(error).strip().splitlines(), type(error).__name__
            self._why = f"{name}: {lines[0][:200]}" if lines else name
            self._not_before_ns = self._clock.now_ns() + _RETRY_NS
        else:
            left_ns = lease.ends_ns - self._clock.now_ns()
            self._lease = lease
            self._renew_ns = lease.ends_ns - min(self._early_ns, int(left_ns * self._early_part))
        finally:
            self._fetching = None
