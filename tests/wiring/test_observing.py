"""The observers of a platform: one watch for all of them, and what is opened only where it is wanted."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inferworks.clock import SystemClock
from inferworks.config import Log, Observe
from inferworks.errors import ConfigError
from inferworks.http.server import RequestHead
from inferworks.supervise import Supervisor
from inferworks.wiring.observing import (
    Observing,
    access_log,
    heard_refusal,
    metrics_port,
    tracing,
)


class Taken:
    """An observer that keeps what it is shown."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.dropped = 3

    def take(self, ended: Any) -> None:
        """Keep `ended`."""
        self.taken.append(ended)


def observing(*, metrics: bool = False, traces: Any = None) -> Observing:
    """Observers before there is a platform."""
    transcripts: Any = SimpleNamespace(dropped=2)
    return Observing(Observe(metrics=metrics), SystemClock(), transcripts, traces)


def test_without_observers_there_is_no_watch() -> None:
    """A call that nobody looks at costs no call of a function."""
    observers = observing()
    assert observers.watch is None
    assert observers.board is None
    ended: list[Any] = [1, 2]
    observers.tell(ended)
    assert ended == []


def test_one_observer_is_the_watch_itself() -> None:
    """With one observer nothing stands between it and the calls."""
    traces = Taken()
    assert observing(traces=traces).watch == traces.take
    observers = observing(metrics=True)
    assert observers.board is not None
    assert observers.watch == observers.board.calls.take


def test_every_observer_sees_every_call_in_order() -> None:
    """Calls that ended before there was a watch are shown to all observers, and kept by none here."""
    traces, access = Taken(), Taken()
    observers = observing(traces=traces)
    observers.access = access  # type: ignore[assignment]
    ended: list[Any] = [1, 2, 3]
    observers.tell(ended)
    assert (traces.taken, access.taken, ended) == ([1, 2, 3], [1, 2, 3], [])


def test_metrics_can_be_shown_before_there_are_parts() -> None:
    """A platform that is starting shows its metrics, with what is dropped already."""
    observers = observing(metrics=True)
    observers.access = Taken()  # type: ignore[assignment]
    assert observers.board is not None
    lines = asyncio.run(observers.board.text()).splitlines()
    assert b"inferworks_transcripts_dropped_total 2" in lines
    assert b"inferworks_access_log_dropped_total 3" in lines


def test_nothing_is_opened_that_is_not_wanted() -> None:
    """Without the setting there are no traces, no access log and no address for metrics."""

    async def main() -> None:
        async with tracing(Observe(), {}) as traces:
            assert traces is None

    asyncio.run(main())
    tariffs: Any = None
    with access_log(Log(), tariffs, Supervisor()) as access:
        assert access is None
    with metrics_port(Observe()) as bound:
        assert bound is None


def test_an_access_log_that_cannot_be_written(tmp_path: Path) -> None:
    """A file in a folder that does not exist is refused by the name of its setting."""
    path = tmp_path / "none" / "access.log"
    tariffs: Any = None
    with (
        pytest.raises(ConfigError) as refused,
        access_log(Log(access="json", file=str(path)), tariffs, Supervisor()),
    ):
        pass
    assert str(refused.value) == (
        f"log.file: {path} cannot be written: No such file or directory; name another, or none"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_address_of_the_metrics_is_taken_while_it_is_wanted(host: str) -> None:
    """The address is bound within the block and free after it."""
    with metrics_port(Observe(metrics_listen=f"{host}:0")) as bound:
        assert bound is not None
        assert bound.getsockname()[1] > 0
    assert bound.fileno() == -1


def test_an_address_that_is_taken_is_refused() -> None:
    """An address that another program has is refused by the name of its setting."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        with (
            pytest.raises(ConfigError) as refused,
            metrics_port(Observe(metrics_listen=listen)),
        ):
            pass
    text = str(refused.value)
    assert text.startswith(f"observe.metrics_listen: cannot listen on {listen}: ")
    assert text.endswith("; choose another")


def test_a_port_that_is_none_is_refused() -> None:
    """A number of five digits may still be no port."""
    with (
        pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1:99999"),
        metrics_port(Observe(metrics_listen="127.0.0.1:99999")),
    ):
        pass


def test_an_unreadable_request_has_a_line_in_the_access_log() -> None:
    """A refusal by the server is the same with and without a log, and is told to it where there is one."""
    clock: Any = SimpleNamespace(now_ns=lambda: 7)
    asked = RequestHead("GET", "/v1/models", "", {})
    access: Any = Taken()
    refused = heard_refusal(access, clock, None)(431, "too large", asked)
    silent = heard_refusal(None, clock, None)(431, "too large", asked)
    assert (refused.status, refused.body) == (431, silent.body)
    (line,) = access.taken
    assert (line.at_ns, line.method, line.path, line.status) == (7, "GET", "/v1/models", 431)
