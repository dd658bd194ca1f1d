"""Share of one worker in limits that are of the whole gateway.

A limit is divided so that the shares of all workers come to it exactly; the first workers get what is left
over. So no limit is exceeded, whatever worker a client is connected to. What it costs is that a worker may
refuse a call while another has room: clients are spread over the workers by the kernel (decision 25), and a
limit of few calls for each worker is felt.
"""

from __future__ import annotations

import os
from typing import Final, TypeVar

import msgspec

from inferworks.config import REPEATED, Config
from inferworks.errors import ConfigError

_MOST_BY_DEFAULT: Final = 8

S = TypeVar("S", bound=msgspec.Struct)


def workers_of(config: Config) -> int:
    """Return the number of workers that `config` wants on this machine."""
    return config.gateway.workers or min(_MOST_BY_DEFAULT, len(os.sched_getaffinity(0)))


def check_shares(config: Config, workers: int) -> None:
    """Raise ConfigError when a limit cannot be divided among `workers`."""
    limits = {
        f"upstream {upstream.name}: max_calls": upstream.max_calls for upstream in config.upstream
    }
    limits["gateway.max_calls"] = config.gateway.max_calls
    limits["gateway.max_calls_per_key"] = config.gateway.max_calls_per_key
    limits["fairness.queue_calls"] = config.fairness.queue_calls
    limits["fairness.queue_per_customer"] = config.fairness.queue_per_customer
    for name, limit in limits.items():
        if 0 < limit < workers:
            raise ConfigError(
                f"{name} = {limit} cannot be divided among {workers} workers; raise it, or run fewer "
                "(gateway.workers)"
            )


def share_of(config: Config, number: int, workers: int) -> Config:
    """Return `config` with the share of worker `number` (from 1) in each limit of the whole gateway."""

    def divided(section: S, *names: str) -> S:
        changes = {name: share(getattr(section, name), number, workers) for name in names}
        return msgspec.structs.replace(section, **changes)

    limits = ("max_calls", "max_calls_per_key", "max_connections", "max_held_bytes")
    return msgspec.structs.replace(
        config,
        gateway=divided(config.gateway, *limits),
        fairness=divided(config.fairness, "queue_calls", "queue_per_customer"),
        leave=divided(config.leave, "drains"),
        upstream=tuple(divided(upstream, "max_calls") for upstream in config.upstream),
    )


def share(limit: int, number: int, workers: int) -> int:
    """Return the share of worker `number` (from 1) in `limit`; the shares of all come to it."""
    return limit // workers + (number <= limit % workers)


def with_live(config: Config, changed: Config) -> Config:
    """Return `config` with the parts of `changed` that take effect without a restart."""
    live = {name: getattr(changed, name) for name in (*REPEATED, "breaker", "fairness")}
    return msgspec.structs.replace(config, **live)
