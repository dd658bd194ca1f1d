"""Run seeds and print the broken promises: `python -m inferworks.simulation SEED ...`."""

from __future__ import annotations

import gc
import sys
import time

import click

from inferworks.simulation.run import Run, run


def main(arguments: list[str]) -> int:
    """Run the seeds in `arguments`: numbers, or ranges such as `0-199`. 1 when a promise was broken."""
    gc.disable()  # collected where a run says, so that each run is the same
    runs = [told(run(seed)) for argument in arguments for seed in seeds(argument)]
    bad = [one.seed for one in runs if one.broken]
    click.echo(
        f"{len(runs)} seeds, {sum(one.starts for one in runs)} starts, "
        f"{sum(one.calls for one in runs)} calls, {sum(one.usages for one in runs)} records, "
        f"{sum(one.kills for one in runs)} kills, "
        f"{sum(one.power_losses for one in runs)} losses of power, "
        f"{sum(one.disk_faults for one in runs)} failed operations of the disk; "
        f"{sum(one.simulated_s for one in runs):.0f} s simulated in {time.process_time():.0f} s of CPU; "
        f"broken: {bad or 'none'}"
    )
    return 1 if bad else 0


def seeds(argument: str) -> range:
    """The seeds that an argument names."""
    first, _, last = argument.partition("-")
    return range(int(first), int(last or first) + 1)


def told(one: Run) -> Run:
    """Print the result of a seed."""
    click.echo(f"seed {one.seed}: {one.digest}, {one.events} events")
    if one.broken:
        click.echo("\n".join(f"    {line}" for line in one.last))
        click.echo("\n".join(f"  BROKEN {promise}" for promise in one.broken))
        click.echo(f"  again: make simulate SEED={one.seed}")
    return one


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
