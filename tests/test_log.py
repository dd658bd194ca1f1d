"""The log: what happens is told at once, what repeats once a minute with a count."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from inferworks.log import LogHandler


class World:
    """A logger whose time a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.stream = io.StringIO()
        self.handler = LogHandler(self.stream, lambda: self.now_s)
        self.log = logging.getLogger("tests.log")
        self.log.propagate = False
        self.log.addHandler(self.handler)

    def lines(self) -> list[str]:
        """Lines written since the last time, less the date."""
        text = self.stream.getvalue()
        self.stream.seek(0)
        self.stream.truncate()
        return [line.split(" ", 2)[-1] if line[:2] == "20" else line for line in text.splitlines()]


@pytest.fixture
def world() -> Iterator[World]:
    """A log of its own."""
    world = World()
    yield world
    world.log.removeHandler(world.handler)
    world.handler.close()


def test_what_repeats_is_told_once_a_minute_with_a_count(world: World) -> None:
    """The first line at once, then one a minute for as long as it goes on, then silence."""
    for _ in range(3):
        for _ in range(524):
            world.log.error("the disk is full")
            world.now_s += 0.1
        world.now_s += 60
    world.handler.tell()
    world.now_s += 120
    world.handler.tell()
    once, *counts = world.lines()
    assert once == "ERROR the disk is full"
    told = [line.removeprefix("ERROR the disk is full (repeated ") for line in counts]
    numbers = [int(line.split()[0]) for line in told]
    assert sum(numbers) == 3 * 524 - 1
    assert len(numbers) <= 5


def test_lines_of_a_kind_that_differ_are_told_up_to_a_few(world: World) -> None:
    """Two providers that fail are both seen; a thousand calls that fail are a handful and a count."""
    for number in range(1000):
        world.log.warning("call %s failed", number)
    assert world.lines() == [f"WARNING call {number} failed" for number in range(5)]
    world.log.warning("something else")
    world.now_s = 60
    world.log.warning("call %s failed", 7)
    assert world.lines() == [
        "WARNING call 999 failed (repeated 995 times in the last minute)",
        "WARNING something else",
        "WARNING call 7 failed",
    ]


def test_the_count_of_failures_comes_before_the_line_that_says_they_are_over(world: World) -> None:
    """After it nothing more is told of them, unless there is more; counts of other loggers can wait."""
    for _ in range(164):
        world.log.error("the store cannot be reached")
    world.log.warning("the store works again, after %d failures", 164)
    for _ in range(3):
        world.now_s += 60
        world.handler.tell()
    assert world.lines() == [
        "ERROR the store cannot be reached",
        "ERROR the store cannot be reached (repeated 163 times in the last minute)",
        "WARNING the store works again, after 164 failures",
    ]


def test_only_the_first_of_a_kind_has_a_traceback(world: World) -> None:
    """A failure's place is told once; repetitions within a minute, and the count after it, go without."""

    def fail(number: int) -> None:
        try:
            raise OSError(number)
        except OSError as error:
            world.log.exception("writing failed: %s", error)

    for number in range(4):
        fail(number)
    text = "\n".join(world.lines())
    assert text.count("Traceback") == 1
    assert "writing failed: 3" in text
    world.now_s = 60
    fail(4)
    assert "\n".join(world.lines()).count("Traceback") == 1
    world.log.error("writing failed: %s", 5)
    assert world.lines() == ["ERROR writing failed: 5"], "without its error it is another kind"


def test_counts_that_are_left_are_told_at_the_end(world: World) -> None:
    """Nothing is dropped without a number."""
    for _ in range(2):
        world.log.error("again")
    world.handler.close()
    assert world.lines() == ["ERROR again", "ERROR again (repeated once in the last minute)"]


def test_the_kinds_that_are_remembered_are_bounded(world: World) -> None:
    """Memory stays bounded and counts are told, however many kinds there are."""
    world.log.error("first")
    world.log.error("first")
    for number in range(1500):
        world.log.error(f"kind {number}")  # noqa: G004 a kind each
    assert len(world.handler._minutes) <= 1000
    assert "ERROR first (repeated once in the last minute)" in world.lines()


def test_long_and_hostile_text_is_one_short_visible_line(world: World) -> None:
    """Words of an upstream may be in a line; they can neither fill the disk nor forge another."""
    world.log.error("it said %s", "\x1b[2J\nERROR forged " + "x" * 1_000_000)
    (line,) = world.lines()
    assert line.startswith("ERROR it said \\x1b[2J\\nERROR forged xxx")
    assert len(line) < 5000


def test_what_escapes_a_thread_is_logged() -> None:
    """An exception in a thread is one line of the log, with its traceback, and not a print of Python's."""
    program = """
import threading
from inferworks.log import keep_log
keep_log()
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
class Last:
    def __del__(self):
        raise KeyError("x")
last = Last()
del last
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "ERROR an exception ended a thread: ZeroDivisionError" in done.stderr
    assert "ERROR an exception could not be raised: KeyError('x')" in done.stderr
    assert done.stdout == ""
