"""The benchmark of the gateway: what it computes, that it ends what it starts, and that it counts."""

from __future__ import annotations

import json
import math
import shutil
import time
from pathlib import Path

import pytest
import uvloop

from gateways.bench import bench
from gateways.calls import ANSWER, Target, is_whole
from gateways.client import Answer, quantile
from gateways.figures import Figures, as_json, as_table
from gateways.instructions import read_perf
from gateways.peers import PEERS
from gateways.processes import NotRunning, Stat, free_port, parse_stat, running, tree
from gateways.saturate import read_wrk
from gateways.streams import hold, is_whole_stream, most_held

STAT = "42 (a (b) c) S 7 42 42 0 -1 4194560 10 0 0 0 3 4 50 60 20 0 1 0 100 1000 250 0"

needs_setpriv = pytest.mark.skipif(
    shutil.which("setpriv") is None, reason="the benchmark starts processes with setpriv (Linux)"
)


def test_a_process_name_may_hold_anything() -> None:
    """CPU time is the process's own and its ended children's, whatever stands in the name's place."""
    assert parse_stat(STAT) == Stat(pid=42, parent=7, cpu_ticks=3 + 4 + 50 + 60, rss_pages=250)


def test_a_tree_is_a_process_and_all_below_it() -> None:
    """Grandchildren count; neighbours do not."""
    parents = {1: 0, 5: 1, 6: 5, 7: 6, 8: 1}
    stats = [Stat(pid, parent, 0, 0) for pid, parent in parents.items()]
    assert [stat.pid for stat in tree(5, stats)] == [5, 6, 7]


def test_what_wrk_tells_is_read() -> None:
    """Answers that were not the mock's are failures and not calls."""
    line = '{"answers":10,"duration_us":2000000,"p50_us":500,"p99_us":900,"bad":3,"lost":1}'
    load = read_wrk(f"Running 2s test\n  10 requests in 2.00s\n{line}\n")
    assert (load.calls, load.failed, load.duration_s, load.p50_ms) == (7, 4, 2.0, 0.5)


def test_what_perf_counts_is_summed() -> None:
    """One row for each process; nothing where the machine does not count."""
    row = "1200,,instructions:u,900,100.00,,\n"
    assert read_perf(row + row) == 2400
    assert read_perf("<not supported>,,instructions:u,0,100.00,,\n") is None


@pytest.mark.parametrize("limit", [0, 1, 7, 24, 100, 399, 400, 1234])
def test_the_search_finds_the_limit(limit: int) -> None:
    """The number of streams found is held, and half as much again is not."""
    tried: list[int] = []

    def is_held(streams: int) -> bool:
        tried.append(streams)
        return streams <= limit

    found = most_held(is_held, first=100, halvings=2)
    assert found <= limit < max(1, found) * 1.5 + 1
    assert len(tried) <= 7


def test_the_search_ends_where_nothing_fails() -> None:
    """A gateway without a limit does not keep the benchmark going for ever."""
    assert most_held(lambda _streams: True, first=400, halvings=2) == 6400


def test_quantiles_are_values_that_were_seen() -> None:
    """The nearest rank, without interpolation; of nothing there is none."""
    assert quantile([1, 2, 3, 4], 0.5) == 2
    assert quantile([1, 2, 3, 4], 0.99) == 4
    assert math.isnan(quantile([], 0.5))


def test_an_answer_counts_only_when_it_is_the_mocks_and_whole() -> None:
    """A refusal, a piece and another text are not answers; the same written anew is."""
    assert is_whole(200, ANSWER.encode())
    assert is_whole(200, json.dumps(json.loads(ANSWER), indent=1).encode())
    assert not is_whole(500, ANSWER.encode())
    assert not is_whole(200, ANSWER.encode()[:-1])
    assert not is_whole(200, ANSWER.replace("counted", "lost").encode())


def test_a_stream_counts_only_with_all_its_chunks_and_its_end() -> None:
    """One chunk less, or no [DONE], and it is not whole."""
    chunk = b'data: {"delta":{"content":"%019d"}}\n\n' % 7
    done = b"data: [DONE]\n\n"

    def answer(body: bytes) -> Answer:
        return Answer(200, body, 0, 0, 0)

    assert is_whole_stream(answer(chunk * 3 + done), 3)
    assert not is_whole_stream(answer(chunk * 2 + done), 3)
    assert not is_whole_stream(answer(chunk * 3), 3)


FULL = Figures(
    name="sglang-router",
    version="1.2.3",
    cpu_us_per_request=15500.04,
    requests_per_s=74313.2,
    p50_ms=1441.25,
    p99_ms=1600.5,
    added_p50_ms=-10.25,
    added_p99_ms=428.74,
    large_cpu_us_per_request=99999.0,
    cpu_us_per_chunk=564.9,
    streams_held=1600,
    rss_mb=1474.0,
    notes=("no call was answered whole",),
)


def test_the_table_fits_a_terminal() -> None:
    """80 columns hold even the widest figures; what is not known is a dash."""
    text = as_table([FULL, Figures("nginx", cpu_us_per_request=13.4)])
    assert max(map(len, text.splitlines())) <= 80
    assert "74,313" in text
    assert "sglang-router: no call was answered whole" in text
    nginx = next(line for line in text.splitlines() if line.startswith("nginx"))
    assert nginx.split() == ["nginx", "13.4", *["-"] * 7]


def test_the_json_has_the_promised_names() -> None:
    """`gateways`, each with its name, version and figures; the machine and the date beside them."""
    told = json.loads(as_json([FULL]))
    assert told.keys() == {"gateways", "machine", "date"}
    promised = {"name", "version", "cpu_us_per_request", "requests_per_s", "p50_ms", "p99_ms"}
    assert promised <= told["gateways"][0].keys()


@needs_setpriv
def test_nothing_is_left_running(tmp_path: Path) -> None:
    """A gateway that starts children and does not want to stop is gone after the block, with them."""
    program = "trap '' TERM; sleep 600 & sleep 600 & echo ready; wait"
    pids: list[int] = []

    def fail_in_the_middle() -> None:
        with running(["sh", "-c", program], tmp_path / "log", stop_s=0.1) as it:
            it.wait_until(lambda: "ready" in it.log())
            pids.extend(it.pids())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_in_the_middle()
    assert len(pids) == 3
    deadline = time.monotonic() + 10
    while any(map(runs, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.01)  # whoever adopted them has to hear of their end


def runs(pid: int) -> bool:
    """Return true if a process exists and has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@needs_setpriv
def test_a_gateway_that_ends_says_why(tmp_path: Path) -> None:
    """The last lines of its output are in the error."""
    command = ["sh", "-c", "echo no such option; exit 3"]
    with running(command, tmp_path / "log") as it, pytest.raises(NotRunning) as caught:
        it.wait_until(lambda: False)
    assert "status 3" in str(caught.value)
    assert "no such option" in str(caught.value)


@pytest.mark.slow
@needs_setpriv
def test_every_stream_of_ours_has_its_record(tmp_path: Path) -> None:
    """Streams through the real gateway come whole, are paced as asked, and are metered once each."""
    with bench(PEERS["inferworks"], tmp_path, streams=True) as it:
        held = uvloop.run(hold(it.target, streams=3, chunks=5))
        it.count(held.whole, 0)
        assert held.is_held
        assert held.chunks == 15
        assert it.records() == it.calls == 4
        assert it.notes == []


@pytest.mark.slow
@needs_setpriv
def test_a_missing_record_is_told(tmp_path: Path) -> None:
    """Nobody reads a figure beside which the records do not agree with the calls."""
    with bench(PEERS["inferworks"], tmp_path, streams=True) as it:
        it.count(whole=1, failed=0)
        assert it.records() == 1
        assert it.notes == ["WRONG: 1 records of 2 to 2 calls"]


@pytest.mark.slow
def test_nobody_listens_on_a_free_port() -> None:
    """Two that are asked for one after the other can both be taken."""
    assert free_port() > 0
    assert Target(free_port()).url.startswith("http://127.0.0.1:")
