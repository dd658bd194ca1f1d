"""Limits of the whole gateway, divided among its workers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.config import Breaker, Config, Gateway, Leave, Upstream
from inferworks.errors import ConfigError
from inferworks.wiring.machine import GB, Machine, divided
from inferworks.wiring.share import check_shares, share, share_of, with_live, workers_of

UPSTREAM = Upstream(
    name="up", provider="vllm", url="http://127.0.0.1:1/v1", models=("m",), max_calls=5
)


@given(st.integers(0, 10**6), st.integers(1, 64))
def test_shares_come_to_the_limit(limit: int, workers: int) -> None:
    """No limit is exceeded, none is lost, and shares differ by one at most."""
    shares = [share(limit, number, workers) for number in range(1, workers + 1)]
    assert sum(shares) == limit
    assert max(shares) - min(shares) <= 1


def test_every_limit_of_the_whole_is_divided() -> None:
    """The first worker gets what is left over; 0 stays 0, which is no limit or a default."""
    config = Config(
        gateway=Gateway(max_calls=513, max_connections=1001),
        leave=Leave(drains=64),
        upstream=(UPSTREAM,),
    )
    first, second = (share_of(config, number, 2) for number in (1, 2))
    assert (first.gateway.max_calls, second.gateway.max_calls) == (257, 256)
    assert (first.gateway.max_connections, second.gateway.max_connections) == (501, 500)
    assert (first.gateway.max_calls_per_key, second.gateway.max_held_bytes) == (0, 0)
    assert (first.fairness.queue_calls, second.fairness.queue_per_customer) == (512, 64)
    assert (first.leave.drains, second.leave.drains) == (32, 32)
    assert [one.upstream[0].max_calls for one in (first, second)] == [3, 2]
    assert first.gateway.drain_s == config.gateway.drain_s
    assert divided(Machine(1024, 10, 8 * GB), 4) == Machine(1024, 10, 2 * GB)


def test_a_limit_smaller_than_the_workers_is_refused() -> None:
    """A share of nothing would refuse every call, or be no limit at all."""
    config = Config(upstream=(UPSTREAM,))
    check_shares(config, 5)
    with pytest.raises(ConfigError, match=r"upstream up: max_calls = 5 cannot .* 6 workers"):
        check_shares(config, 6)
    with pytest.raises(ConfigError, match=r"gateway\.max_calls_per_key = 1 "):
        check_shares(Config(gateway=Gateway(max_calls_per_key=1)), 2)


def test_only_live_parts_of_a_changed_configuration_are_taken() -> None:
    """Other settings stay as they were, in a worker that is started later, too."""
    changed = Config(
        gateway=Gateway(max_calls=1), breaker=Breaker(window_s=7.0), upstream=(UPSTREAM,)
    )
    found = with_live(Config(), changed)
    assert found.gateway == Gateway()
    assert (found.breaker.window_s, found.upstream) == (7.0, (UPSTREAM,))


def test_zero_workers_are_one_for_each_core() -> None:
    """At most eight; a number is that number."""
    assert 1 <= workers_of(Config(gateway=Gateway(workers=0))) <= 8
    assert workers_of(Config(gateway=Gateway(workers=12))) == 12
