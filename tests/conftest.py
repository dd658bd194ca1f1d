"""The same verdict every time, on any number of cores.

*Examples.* Hypothesis draws the same ones in every run: not at random, not from a database of past
failures, and not judged by how long they took on a busy machine. Of itself it also draws constants that
stand in the modules imported so far, which are others in each worker and for each choice of tests; here it
does not. What explores at random is the profile `fuzz`, of `make fuzz`.

*Workers.* The tests of a file run in the same one (`--dist loadfile`), so that what a file shares is made
once: a session of Spark, the run of a demo. Files that take long begin first, or one worker would end
alone. (Marks of `xdist_group` have no effect under pytest 9.2: pytest-dev/pytest-xdist#1386.) Each of them
collects all tests: every other one begins at the end, so that on a first run each compiles half of what
is imported, and reads the rest.

*Quick and slow.* A file whose `pytestmark` is slow is not even read by `make check`: the clients of others,
Spark and DuckDB take longer to import than thousands of tests to run.

*Garbage.* What is imported for the tests stays. While they are collected nobody looks for garbage in it,
and later searches leave it out: in a process with all the tests each would take half a second.

*Stalls.* Where the gateway runs in the test's own process, a test fails in which it kept its event loop
for 50 ms of the processor in one go: everybody else would have waited. `may_stall` says why one may. A
stall that nobody saw may be the machine's, which counts what its owner takes as the thread's: memory that
was lent elsewhere comes back that slowly. Such a test is run once more, and fails if it stalls again.

*Clients.* Those of vendors import half of themselves at their first request, which would be within a loop;
here that is done when all tests are collected.

*Files.* What the tests of a file open, they close: a file or socket that is open at its end and was not at
its beginning fails its last test. Else what hundreds of files leave open comes to a limit in another test,
far from its cause. Pipes and polls do not count: libraries make theirs once for a process.

*Folders.* Those that tests write in lie in memory where there is enough of it: what is made sure to be on
the disk, as journals and lakes do all the time, would have the processor wait. Of tests that pass nothing
stays (`tmp_path_retention_policy`).
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import signal
import sys
import warnings
from collections.abc import Generator, Iterator
from importlib import import_module
from pathlib import Path
from random import Random

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

import inferworks
from inferworks.testing.stalls import watched

ROOMS = Path(inferworks.__file__).parent
OURS = [str(ROOMS / room) for room in ("http", "api", "cloud", "meter")]
FAKES = [str(ROOMS / "testing" / "upstream")]
"""Upstreams in a test's own loop may take their time, as they would in one of their own."""
WHOLLY_SLOW = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.slow\b", re.MULTILINE)
LONGEST = (
    "tests/books/engines/test_spark.py",
    "tests/scenarios/test_books_worlds.py",
    "tests/books/engines/test_duckdb.py",
    "tests/simulation/test_world.py",
    "tests/meter/archive/test_reader.py",
)
"""Files that take longest, longest first."""
VARYING = re.compile(r" at 0x|\\x1f\\x8b\\x08")
"""Names that differ by process, or by second: of an object, and of bytes that gzip packs."""
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 2 * 2**30
DESCRIPTORS = "/proc/self/fd"
SHARED = ("tests/clients/", "tests/books/engines/test_spark.py")
"""Tests that share what stays open from one file to the next: servers, and Spark's process."""
STALLED_UNSEEN = pytest.StashKey[bool]()
OPEN_BEFORE = pytest.StashKey[tuple[Path, dict[str, str], dict[str, str] | None]]()
"""The file of tests at hand, and what was open when it began, and when the test did, if that is known."""
CLIENTS = {"anthropic", "openai"}
WATCHED = ("tests/http/", "tests/api/", "tests/cloud/", "tests/scenarios/")

settings.register_profile(
    "same",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("fuzz", settings.get_profile("same"), derandomize=False, print_blob=True)
settings.load_profile("same")


def pytest_configure(config: pytest.Config) -> None:
    """Have no constants drawn from modules, unless exploring; let Ctrl-C be heard; and write in memory.

    A shell has what it starts in the background ignore Ctrl-C, and so do the processes that tests start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--hypothesis-profile") != "fuzz":
        providers.is_local_module_file = lambda _path: False
    if has_room(MEMORY):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def has_room(folder: Path) -> bool:
    """Return true if tests may write in `folder` and run what they wrote, and it has room for them."""
    try:
        state = os.statvfs(folder)
    except OSError:
        return False
    is_usable = os.access(folder, os.W_OK) and not state.f_flag & os.ST_NOEXEC
    return is_usable and state.f_bavail * state.f_frsize >= MEMORY_BYTES


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out a file that is slow as a whole where only quick tests are wanted."""
    if config.option.markexpr != "not slow" or collection_path.suffix != ".py":
        return None
    return bool(WHOLLY_SLOW.search(collection_path.read_text())) or None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage in what is imported, neither now nor later."""
    gc.disable()
    try:
        found = yield
        for client in CLIENTS & sys.modules.keys():
            import_module(f"{client}.resources")
        return found
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Have every other worker read the folders from their ends."""
    report = yield
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    if isinstance(collector, pytest.Directory) and int(worker.removeprefix("gw")) % 2:
        report.result.reverse()
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest; when exploring, somewhere else each time."""
    items.sort(key=file_of)  # the same in each worker
    for item in items:
        if VARYING.search(item.nodeid):  # each process would collect another test
            raise pytest.UsageError(f"{item.nodeid}: an address or a time in its name; give it ids")
    if config.option.markexpr == "not slow":
        return
    if config.getoption("--hypothesis-profile") == "fuzz":
        Random(config.getoption("--hypothesis-seed")).shuffle(items)
        return
    files = [file_of(item) for item in items]
    slow = {file_of(item) for item in items if item.get_closest_marker("slow")}
    order = {file: place for place, file in enumerate([*LONGEST, *sorted(slow), *files][::-1])}
    items.sort(key=lambda item: -order[file_of(item)])


def file_of(item: pytest.Item) -> str:
    """Return the file of a test; a state machine's `location` is Hypothesis's own."""
    return item.nodeid.partition("::")[0]


def open_files() -> dict[str, str]:
    """The files and sockets that are open, by descriptor; none where the system does not tell.

    What pytest has put in the place of the standard streams is left out.
    """
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for number in os.listdir(DESCRIPTORS):  # noqa: PTH208 after each test: `Path` takes 3 times as long
            with contextlib.suppress(OSError):  # that of the folder itself is gone
                found[number] = os.readlink(f"{DESCRIPTORS}/{number}")  # noqa: PTH115
    of_files = ("/", "socket:")
    return {n: name for n, name in found.items() if int(n) > 2 and name.startswith(of_files)}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note what is open when a test begins, and when its file did: what was when the last test ended."""
    path, of_file, now = item.session.stash.get(OPEN_BEFORE, (None, {}, None))
    now = open_files() if now is None else now
    item.session.stash[OPEN_BEFORE] = item.path, of_file if path == item.path else now, now


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Fail a test that leaves something for the garbage collector to close, and a file that leaves it open.

    Whoever makes the collector run next would be blamed for it, which is another test each time.
    """
    yield
    path, of_file, of_test = item.session.stash[OPEN_BEFORE]
    assert of_test is not None, "a test that ends has begun"
    item.session.stash[OPEN_BEFORE] = path, of_file, None
    if item.nodeid.startswith(SHARED):
        return
    now = open_files()
    if left := more_of(now, of_test):
        with warnings.catch_warnings(record=True) as closed:
            warnings.simplefilter("always")
            gc.collect()
        now = open_files()
        if garbage := [name for name in left if name not in more_of(now, of_test)]:
            said = [*garbage, *(str(warning.message) for warning in closed)]
            pytest.fail(f"{item.nodeid} does not close: {', '.join(said)}", pytrace=False)
    is_last = nextitem is None or nextitem.path != item.path
    if is_last and (left := more_of(now, of_file)):
        pytest.fail(f"{item.location[0]} leaves open: {', '.join(left)}", pytrace=False)
    item.session.stash[OPEN_BEFORE] = path, of_file, now


def more_of(now: dict[str, str], before: dict[str, str]) -> list[str]:
    """Names of the files that are open now and were not before."""
    return [name for number, name in now.items() if before.get(number) != name]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test again, with fixtures of its own, if its loop stood and nobody saw why."""
    if not is_watched(item):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    if item.stash.get(STALLED_UNSEEN, False):
        item.stash[STALLED_UNSEEN] = False
        item._initrequest()
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def is_watched(item: pytest.Item) -> bool:
    """Return true for a test that fails when its event loop stands."""
    return item.nodeid.startswith(WATCHED) and item.get_closest_marker("may_stall") is None


@pytest.fixture(autouse=True)
def nothing_stalls(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test whose event loop stood."""
    if not is_watched(request.node):
        yield
        return
    with watched() as stalls:
        yield
    for stall in stalls:
        if stall.is_in(OURS) and not (stall.calls and stall.is_in(FAKES)):
            request.node.stash[STALLED_UNSEEN] = not stall.calls
            pytest.fail(str(stall))
