"""Request traces: read whole or refused with one line; thinned, squeezed and fitted as stated."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.errors import UserError
from inferworks.planner.workload import (
    Arrival,
    Workload,
    fit,
    read_trace,
    seconds_text,
    squeeze,
    thin,
)

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
AZURE = Path(__file__).parents[3] / "shared" / "data" / "traces" / "azure2023_conv.csv"

arrivals = st.builds(
    Arrival,
    at_ns=st.integers(0, 10**13),
    input_tokens=st.integers(0, 10**6),
    output_tokens=st.integers(0, 10**4),
)
workloads = st.lists(arrivals, min_size=1, max_size=40).map(
    lambda rows: Workload("w", tuple(sorted(rows, key=lambda a: a.at_ns)))
)


def written(tmp_path: Path, text: str) -> Path:
    """A trace file with this text."""
    path = tmp_path / "trace.csv"
    path.write_bytes(text.encode())
    return path


def test_a_trace_is_read(tmp_path: Path) -> None:
    """Seven decimals, CRLF, any order of rows and columns, no last line break; time starts at zero."""
    text = (
        "ContextTokens,TIMESTAMP,GeneratedTokens\r\n"
        "5,2023-11-16 18:15:50.9951690,6\r\n374,2023-11-16 18:15:46.6805900,44"
    )
    workload = read_trace(written(tmp_path, text))
    assert workload.arrivals == (Arrival(0, 374, 44), Arrival(4_314_579_000, 5, 6))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "line 1, column TIMESTAMP: is missing"),
        ("TIMESTAMP,ContextTokens\n", "line 1, column GeneratedTokens: is missing"),
        (HEADER, "no requests in it"),
        (HEADER + "yesterday,1,2\r\n", "line 2, column TIMESTAMP: 'yesterday'"),
        (HEADER + "2023-11-16 18:15:46,1,2\r\n2023-11-16 18:15:47,-1,2", "line 3, column Context"),
        (HEADER + "2023-11-16 18:15:46,1,2.5\r\n", "line 2, column GeneratedTokens: '2.5'"),
        (HEADER + "2023-11-16 18:15:46,1\r\n", "line 2, column GeneratedTokens: the line has 2"),
        (HEADER + "2023-11-16 18:15:46,1,9999999999\r\n", "line 2, column GeneratedTokens"),
        (HEADER + '"2023', "not CSV"),
    ],
)
def test_a_malformed_trace_is_refused_in_one_line(tmp_path: Path, text: str, where: str) -> None:
    """The line names the file, and the line and column of what is wrong."""
    path = written(tmp_path, text)
    with pytest.raises(UserError) as refused:
        read_trace(path)
    message = str(refused.value)
    assert message.startswith(str(path))
    assert where in message
    assert "\n" not in message


def test_what_is_no_text_file_is_refused(tmp_path: Path) -> None:
    """A missing file and a binary one are one clear line too."""
    with pytest.raises(UserError, match="cannot be read"):
        read_trace(tmp_path / "none.csv")
    binary = tmp_path / "trace.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        read_trace(binary)


@pytest.mark.slow
@given(workloads, st.integers(1, 50), st.integers())
def test_thinning_takes_a_sample_in_order(workload: Workload, count: int, seed: int) -> None:
    """A sample has the number asked for, or all, each once, in the trace's order, the same each time."""
    sample = thin(workload, count, seed).arrivals
    assert len(sample) == min(count, len(workload.arrivals))
    rest = iter(workload.arrivals)
    assert all(any(kept is arrival for arrival in rest) for kept in sample)
    assert thin(workload, count, seed).arrivals == sample


@given(workloads, st.integers(1, 10**11))
def test_squeezing_keeps_order_and_ends_on_time(workload: Workload, length_ns: int) -> None:
    """The first comes at zero, none after the end, and nobody overtakes anybody."""
    times = [arrival.at_ns for arrival in squeeze(workload, length_ns).arrivals]
    assert times[0] == 0
    assert times == sorted(times)
    assert times[-1] in {0, length_ns}


@pytest.mark.slow
@given(workloads, st.integers(4, 10_000))
def test_fitted_lengths_fit(workload: Workload, context_tokens: int) -> None:
    """Every request fits the context, none is empty, and nothing is ever made longer."""
    fitted, scale = fit(workload, context_tokens)
    assert 0 < scale <= 1
    for before, after in zip(workload.arrivals, fitted.arrivals, strict=True):
        assert after.input_tokens + after.output_tokens <= context_tokens
        assert 1 <= after.input_tokens <= max(1, before.input_tokens)
        assert 1 <= after.output_tokens <= max(1, before.output_tokens)


def test_what_fits_is_left_alone() -> None:
    """A workload of short requests keeps its lengths."""
    workload = Workload("w", (Arrival(0, 100, 20),))
    assert fit(workload, 1000) == (workload, Fraction(1))


def test_spans_are_told_in_units_people_use() -> None:
    """Seconds, then minutes, then hours."""
    texts = [seconds_text(seconds * 10**9) for seconds in (30, 3600, 36000)]
    assert texts == ["30 seconds", "60 minutes", "10.0 hours"]


@pytest.mark.skipif(not AZURE.exists(), reason=f"there is no {AZURE}")
def test_a_real_trace_is_read_whole() -> None:
    """An hour of Azure's conversations: every request of the file."""
    workload = read_trace(AZURE)
    assert len(workload.arrivals) == 19_366
    assert workload.arrivals[0] == Arrival(0, 374, 44)
    assert seconds_text(workload.length_ns) == "58 minutes"
