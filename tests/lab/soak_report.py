"""What came of a long run: in words, and as a picture where matplotlib is there."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HUNDREDTHS: Final = 100


def summary(text: str) -> str:
    """Say what was done and how long it took."""
    record = json.loads(text)
    samples: list[dict[str, Any]] = record["samples"]
    if not samples:
        return "soak: nothing was done"
    done = Counter(sample["action"] for sample in samples if sample["outcome"] != "nothing to do it to")
    admitted = [sample["took"] for sample in samples if sample["outcome"] == "admitted"]
    converged = [sample["converged"] for sample in samples if sample["converged"] is not None]
    minutes, lives = samples[-1]["second"] / 60, samples[-1]["life"]
    lines = [
        f"soak: seed {record['seed']}, {minutes:.1f} minutes, the plugin lived {lives} times",
        "soak: " + ", ".join(f"{count} x {name}" for name, count in done.most_common()),
        f"soak: admission {_spread(admitted)}; the node offered what followed after {_spread(converged)}",
    ]
    return "\n".join(lines)


def _spread(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return "too seldom to say"
    return f"p50 {median(seconds):.2f} s, p99 {quantiles(seconds, n=HUNDREDTHS)[-1]:.2f} s"


def draw(record: Path) -> str:
    """Draw a record beside itself, as PNG; return what to say of it."""
    try:
        from matplotlib import pyplot as plt
    except ImportError:
        return f"soak: no picture of {record}: it takes `pip install --group plots`"
    samples = json.loads(record.read_text("utf-8"))["samples"]
    figure, axes = plt.subplots(4, 1, sharex=True, figsize=(11, 12), layout="constrained")
    minutes = [sample["second"] / 60 for sample in samples]
    _memory(axes[0], minutes, samples)
    _counts(axes[1], minutes, samples)
    _times(axes[2], samples, "took", ("admit",), "s an admission took")
    _times(axes[3], samples, "converged", (), "s until the node offered what followed")
    axes[3].set_xlabel("minutes")
    figure.savefig(record.with_suffix(".png"), dpi=110)
    plt.close(figure)
    return f"soak: drawn as {record.with_suffix('.png')}"


def _memory(axis: Any, minutes: Sequence[float], samples: Sequence[dict[str, Any]]) -> None:  # noqa: ANN401 - matplotlib's
    for name, label in (("family_mib", "with its interpreters"), ("rss_mib", "serve-plugin")):
        axis.plot(minutes, [sample[name] for sample in samples], label=label)
    for before, after in pairwise(samples):
        if after["life"] != before["life"]:
            axis.axvline(after["second"] / 60, color="grey", linestyle=":")
    calm = [sample for sample in samples if sample["calm"]]
    axis.plot([one["second"] / 60 for one in calm], [one["rss_mib"] for one in calm], "k.", label="all calm")
    axis.set_ylabel("MiB resident (dotted: killed)")
    axis.set_ylim(bottom=0)
    axis.legend()


def _counts(axis: Any, minutes: Sequence[float], samples: Sequence[dict[str, Any]]) -> None:  # noqa: ANN401 - matplotlib's
    for name in ("descriptors", "threads", "tasks", "sockets"):
        axis.plot(minutes, [sample[name] for sample in samples], label=name)
    axis.set_ylim(bottom=0)
    axis.legend()


def _times(
    axis: Any,  # noqa: ANN401 - matplotlib's
    samples: Sequence[dict[str, Any]],
    name: str,
    actions: Sequence[str],
    label: str,
) -> None:
    chosen = [
        sample
        for sample in samples
        if sample[name] is not None and (not actions or sample["action"] in actions)
    ]
    axis.plot([one["second"] / 60 for one in chosen], [one[name] for one in chosen], ".")
    axis.set_ylabel(label)
    axis.set_ylim(bottom=0)
