"""Speed of this gateway, beside the others that can be installed here, on the same mock upstream.

    python benchmarks/gateway.py [--json] [--only NAME,...] [--seconds N] [--install] [PARTS]

All gateways are measured in one run, as their users start them: ours with authentication, limits and
durable metering on. CPU time per call is the figure to trust on a shared machine; calls a second and
latencies depend on its other work. Each part can be measured alone, ours in seconds:

    python benchmarks/gateway.py --only inferworks --seconds 3 --small

`--install` puts what is missing into folders of its own below --home (and nginx and wrk onto the
machine, with apt), never into this project's environment. docs/gateway-speed.md explains the figures.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
from pathlib import Path

from gateways.figures import Figures, as_json, as_table
from gateways.instructions import are_countable
from gateways.measure import PARTS, Options, install, measure
from gateways.peers import PEERS


def main() -> None:
    """Measure, and print."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every `finally` is run
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # a stream is a connection
    arguments = _arguments()
    if arguments.instructions and not are_countable():
        sys.exit("instructions cannot be counted on this machine; leave --instructions out")
    names = arguments.only.split(",") if arguments.only else list(PEERS)
    parts = frozenset(part for part in PARTS if getattr(arguments, part)) or frozenset(PARTS)
    options = Options(parts, arguments.seconds, arguments.home, arguments.instructions)
    rows: list[Figures] = []
    for name in names:
        note = install(PEERS[name], options.home) if arguments.install else ""
        rows.append(measure(PEERS[name], options, note))
        print(as_table(rows[-1:]), file=sys.stderr, flush=True)
    print(as_json(rows) if arguments.json else as_table(rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", help=f"of {','.join(PEERS)}", metavar="NAME,...")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--install", action="store_true", help="install what is missing first")
    parser.add_argument("--instructions", action="store_true", help="count them, with perf")
    home = Path.home() / ".cache" / "inferworks-benchmarks"
    parser.add_argument("--home", type=Path, default=home, help="where the others are installed")
    for name, part in PARTS.items():
        parser.add_argument(f"--{name}", action="store_true", help=f"only {part.meaning}")
    arguments = parser.parse_args()
    if unknown := set(arguments.only.split(",") if arguments.only else ()) - set(PEERS):
        parser.error(f"no such gateway: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    return arguments


if __name__ == "__main__":
    main()
