"""Run campaigns, print a table, and end with 1 where anything was found."""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.fuzz import guided
from tests.fuzz.campaign import Campaign, run, table
from tests.fuzz.target import load, names


def main() -> int:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "--target", choices=names(), action="append", help="default: all, one after the other"
    )
    parser.add_argument("--runs", type=int, default=20_000, help="inputs for each target (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="at most, for each target (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(1 << 31), help="to repeat one"
    )
    engine = "guided" if guided.is_there() else "drawn"
    parser.add_argument("--engine", choices=["guided", "drawn"], default=engine, help="(%(default)s)")
    asked = parser.parse_args()
    print(f"{asked.engine}, seed {asked.seed}, {time.strftime('%F %T')}", flush=True)
    outcomes = []
    for name in asked.target or names():
        target = load(name)
        runs = max(1, int(asked.runs * target.share))
        outcomes.append(run(target, Campaign(asked.engine, asked.seed, runs, asked.seconds)))
        one = outcomes[-1]
        print(f"{name}: {one.inputs:,} inputs in {one.seconds:.0f} s", flush=True)
        for place, path in (*one.crashes.items(), *one.hangs.items()):
            print(f"  {place}\n    {path}", flush=True)
    print(*table(outcomes), sep="\n")
    return 0 if all(one.clean for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
