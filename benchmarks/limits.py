"""Cost of letting the right ones in, and of keeping them to what they have: a section for each.

    python benchmarks/limits.py [--only SECTION,...] [--count N] [--json]

Every section makes what it measures, in a temporary folder, and gives figures with their units in their
names. CPU times are of the thread or process that is measured, not of the wall, so that a machine that is
shared changes them less. `--only` measures some of:

    admission
            limits on the key, project, customer and organisation of a call, from its key to its settlement
    keys    a gateway with `--count` keys: authentication of keys seen lately and for the first time, and of
            wrong ones; its start, its memory, and how soon a revoked key is refused
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from limit_sections.admission import measure_admission
from limit_sections.base import Options
from limit_sections.keys import measure_keys

SECTIONS: Final[Mapping[str, Callable[[Options], object]]] = {
    "admission": measure_admission,
    "keys": measure_keys,
}
"""Name of each section in the output, and the function that measures it."""


def main() -> None:
    """Measure, and print."""
    arguments = _arguments()
    names = list(SECTIONS) if arguments.only is None else arguments.only.split(",")
    if unknown := set(names) - SECTIONS.keys():
        sys.exit(f"no section {', '.join(sorted(unknown))}; there are: {', '.join(SECTIONS)}")
    found: dict[str, object] = {}
    for name in names:
        with tempfile.TemporaryDirectory(prefix="inferworks-limits-", dir=arguments.home) as folder:
            options = Options(Path(folder), arguments.count, arguments.customers)
            found[name] = SECTIONS[name](options)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for name, figures in found.items():
        print(name)
        lines = figures.items() if isinstance(figures, dict) else [("", figures)]
        for figure, value in lines:
            print(f"  {figure:26}{value:>14,}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="sections to measure, with commas between")
    parser.add_argument("--count", type=int, default=1_000_000, help="keys")
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--home", type=Path, help="where the temporary folder is made")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
