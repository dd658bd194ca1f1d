"""Limits that fit a machine, and what is known of one."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.config import Gateway
from inferworks.errors import ConfigError
from inferworks.wiring.machine import Machine, fit, memory_bytes, this_machine

GB = 1 << 30
LARGE = Machine(1 << 20, 30, 64 * GB)
FITS = {
    "a large machine": (LARGE, 10_000, 512, 8 * GB, False),
    "a common ulimit": (LARGE._replace(descriptors=1024), 642, 320, 8 * GB, True),
    "a small one": (LARGE._replace(descriptors=256), 130, 64, 8 * GB, True),
    "little memory": (LARGE._replace(memory_bytes=GB), 4096, 512, GB // 8, True),
    "very little memory": (LARGE._replace(memory_bytes=GB // 8), 512, 512, 64 << 20, True),
}


@pytest.mark.parametrize("case", FITS.values(), ids=FITS)
def test_what_fits(case: tuple[Machine, int, int, int, bool]) -> None:
    """Limits are as configured where there is enough, and lowered to what there is."""
    machine, connections, calls, held_bytes, lowered = case
    fitted = fit(Gateway(), machine)
    assert (fitted.limits.connections, fitted.calls) == (connections, calls)
    assert fitted.limits.held_bytes == held_bytes
    assert fitted.lowered == lowered
    for told in (connections, calls, machine.descriptors, held_bytes // (1 << 20)):
        assert str(told) in fitted.text


def test_what_may_be_held_is_configured() -> None:
    """The operator's word counts, but two bodies of the largest size are always held."""
    assert fit(Gateway(max_held_bytes=5 * GB), LARGE).limits.held_bytes == 5 * GB
    least = fit(Gateway(max_held_bytes=1), LARGE).limits.held_bytes
    assert least == 2 * Gateway().max_body_bytes


@given(st.integers(0, 5000), st.integers(0, 300), st.integers(1, 5000), st.integers(1, 5000))
def test_what_is_let_in_can_be_opened(
    descriptors: int, open_now: int, connections: int, calls: int
) -> None:
    """Clients, upstreams and what is open never need more than there is, or the start is refused."""
    gateway = Gateway(max_connections=connections, max_calls=calls)
    machine = Machine(descriptors, open_now, GB)
    if descriptors < open_now + 56:
        with pytest.raises(ConfigError, match="ulimit -n"):
            fit(gateway, machine)
        return
    fitted = fit(gateway, machine)
    assert fitted.limits.connections + fitted.calls + open_now < descriptors
    assert 1 <= fitted.calls <= calls
    assert 1 <= fitted.limits.connections <= connections


def group(root: Path, name: str, limit: str) -> None:
    """Make a group of processes with this limit of memory."""
    folder = root / "sys/fs/cgroup" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(limit + "\n")


def test_memory_of_a_container(tmp_path: Path) -> None:
    """The smallest limit of all the groups around this process counts; a root without any is no limit."""
    whole = memory_bytes(tmp_path)
    assert whole > 0
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/outer/inner\n")
    group(tmp_path, "", "max")
    group(tmp_path, "outer/inner", "30000000")
    assert memory_bytes(tmp_path) == 30_000_000
    group(tmp_path, "outer", "20000000")
    assert memory_bytes(tmp_path) == 20_000_000
    group(tmp_path, "outer", "max")
    group(tmp_path, "another", "10")
    assert memory_bytes(tmp_path) == 30_000_000


def test_memory_of_a_container_of_before(tmp_path: Path) -> None:
    """The first version of groups is known too."""
    folder = tmp_path / "sys/fs/cgroup/memory"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("40000000\n")
    assert memory_bytes(tmp_path) == 40_000_000


def test_descriptors_are_raised() -> None:
    """The soft limit becomes the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    low = lowest + 100  # however many other tests of this process have left open
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, low), hard))
        machine = this_machine()
        assert machine.descriptors == resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= low
        assert hard in (machine.descriptors, resource.RLIM_INFINITY) or hard > 1 << 20
        assert 0 < machine.open_now < low
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
