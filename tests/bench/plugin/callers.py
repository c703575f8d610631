"""Callers in a process of their own: ``python -m tests.bench.plugin.callers``, told on stdin what to call."""

from __future__ import annotations

import json
import sys

from tests.bench.plugin.wire import Load, called


def main() -> None:
    """Call, and print what was measured."""
    order = json.load(sys.stdin)
    requests = [[bytes.fromhex(one) for one in pool] for pool in order.pop("requests")]
    times, refused = called(Load(requests=requests, **order))
    json.dump({"times": times, "refused": refused}, sys.stdout)


if __name__ == "__main__":
    main()
