"""Explore all property tests at random, and print the command that reproduces a finding.

    python tools/fuzz.py MINUTES

Round after round runs all of them on all cores, each with a seed and in an order of its own, until the
time is up. A finding is shown at once, and tried first in later rounds (`.hypothesis/examples`) until it
no longer fails. The exit status is 1 when something was found.
"""

from __future__ import annotations

import secrets
import signal
import sys
from pathlib import Path
from time import monotonic

import pytest

TESTS = Path(__file__).parent.parent / "tests"


class Findings:
    """The properties that failed, shown as they fail; ends the exploring when its time is up."""

    def __init__(self, seconds: float) -> None:
        self.tests: set[str] = set()
        self.seed = 0
        self.left_s = seconds

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """Let the time run; when it is up, pytest is interrupted, which ends it in order."""
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, self.left_s)
        self.began_s = monotonic()

    def pytest_sessionfinish(self) -> None:
        """Stop the time."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.left_s -= monotonic() - self.began_s

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Show a failure, its example, and two ways to reproduce it."""
        if not report.failed:
            return
        self.tests.add(report.nodeid)
        told = [line[1:].strip() for line in report.longreprtext.splitlines() if line[:1] == "E"]
        print(f"\n\nFOUND  {report.nodeid}", *told, "To see it again:", sep="\n  ")
        print(
            f"  pytest '{report.nodeid}' --hypothesis-profile=fuzz --hypothesis-seed={self.seed}\n"
        )


def explore(minutes: float) -> int:
    """Explore so long; the number of properties that failed."""
    findings = Findings(minutes * 60)
    files = [str(path) for path in TESTS.rglob("test_*.py") if "hypothesis" in path.read_text()]
    ended = pytest.ExitCode.OK
    while findings.left_s > 0 and ended in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        findings.seed = secrets.randbits(32)
        options = (
            "-m", "hypothesis", "-q", "--tb=short", "--no-summary",
            "--numprocesses=auto", "--dist=loadfile", "--no-loadscope-reorder",
            "--hypothesis-profile=fuzz", f"--hypothesis-seed={findings.seed}",
        )  # fmt: skip
        ended = pytest.ExitCode(pytest.main([*options, *sorted(files)], plugins=[findings]))
    return len(findings.tests)


if __name__ == "__main__":
    count = explore(float(sys.argv[1]))
    print(f"\n{count} properties failed" if count else "\nNo property failed")
    sys.exit(count > 0)
