"""The tests themselves: what is drawn does not depend on what ran before; what is left open is seen."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st


def drawn() -> list[tuple[str, int]]:
    """The examples of a property."""
    examples: list[tuple[str, int]] = []

    @given(st.text(), st.integers())
    def draw(text: str, number: int) -> None:
        examples.append((text, number))

    draw()
    return examples


def test_examples_do_not_depend_on_what_was_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another module with constants of its own changes nothing."""
    before = drawn()
    (tmp_path / "odd.py").write_text(f"A = {[f'odd {n}' for n in range(1000)]}\nB = 123_456_789\n")
    spec = spec_from_file_location("odd", tmp_path / "odd.py")
    assert spec
    monkeypatch.setitem(sys.modules, "odd", module_from_spec(spec))
    assert drawn() == before
    assert len(before) == 100


def test_names_that_vary_are_known(pytestconfig: pytest.Config) -> None:
    """An object's address, and bytes that say when they were packed; other bytes are as they are."""
    checks = pytestconfig.pluginmanager.get_plugin(str(Path(__file__).with_name("conftest.py")))
    assert checks
    ids = [
        str(object()),
        *(ascii(packed)[2:-1] for packed in (gzip.compress(b"x"), b"\x1f", b"PK")),
    ]
    assert [bool(checks.VARYING.search(one)) for one in ids] == [True, True, False, False]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not tell")
def test_what_is_left_open_is_told(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Files and sockets, each by its name; not pipes, and nothing that was open before."""
    checks = request.config.pluginmanager.get_plugin(str(Path(__file__).with_name("conftest.py")))
    assert checks
    file = tmp_path / "file"
    before = checks.open_files()
    reads, writes = os.pipe()
    with file.open("w"), socket.socket():
        left = sorted(checks.more_of(checks.open_files(), before))
        assert left[0] == str(file)
        assert [name.partition("[")[0] for name in left[1:]] == ["socket:"]
    assert not checks.more_of(checks.open_files(), before)
    os.close(reads)
    os.close(writes)


STALLS = '''
"""Loops that stand, seen and unseen."""

import asyncio, time
import pytest
from inferworks.testing import stalls

made = []


@pytest.fixture
def number():
    """Number of the run."""
    made.append(1)
    return len(made)


@pytest.fixture
def unseen(monkeypatch):
    """Nobody looks what a loop does."""
    monkeypatch.setattr(stalls._Beat, "look", lambda self, over: over.wait())


def stall(seconds):
    """Keep a loop for so much of the processor."""
    async def main():
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass
    asyncio.run(main())


def test_once(unseen, number):
    """The first run stalls."""
    stall(0.3 if number == 1 else 0)


def test_always(unseen, number):
    """Every run stalls."""
    stall(0.3)


def test_how_often(number):
    """Both ran twice."""
    assert number == 5
'''


@pytest.mark.slow
def test_a_stall_that_nobody_saw_must_come_twice(tmp_path: Path) -> None:
    """A test whose loop stood unseen runs again, with new fixtures, and fails if it stands again."""
    root = Path(__file__).parents[1]
    (tmp_path / "tests" / "api").mkdir(parents=True)
    shutil.copy(root / "pyproject.toml", tmp_path)
    shutil.copy(root / "tests" / "conftest.py", tmp_path / "tests")
    (tmp_path / "tests" / "api" / "test_stalls.py").write_text(STALLS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/api"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert "ERROR tests/api/test_stalls.py::test_always" in done.stdout
    assert "3 passed, 1 error" in done.stdout, done.stdout
