"""Inputs drawn by hypothesis: seeds, changed in a few places.

For machines without atheris, and for `make test`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hypothesis.strategies import DrawFn

    from tests.fuzz.target import Target

_ROUND = 2000
"""Examples that hypothesis is asked for at once: it remembers those of one round."""


@st.composite
def inputs(draw: DrawFn, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """Draw bytes: one of the seeds, with pieces put in, taken out, doubled, or put in from another seed."""
    data = draw(st.sampled_from(seeds))
    pieces = st.one_of(
        st.sampled_from(words or (b"\0",)), st.binary(max_size=6), st.text(max_size=4).map(_encoded)
    )
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 16)))
        match draw(st.integers(0, 4)):
            case 0:
                data = data[:at] + draw(pieces) + data[at:]
            case 1:
                data = data[:at] + draw(pieces) + data[end:]
            case 2:
                data = data[:at] + data[end:]
            case 3:
                data = data[:at] + data[at:end] * draw(st.integers(2, 40)) + data[end:]
            case _:
                data = data[:at] + draw(st.sampled_from(seeds))[at:]
    return data


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def campaign(target: Target, attempt: Callable[[bytes], None], number: int, runs: int) -> None:
    """Try so many drawn inputs; the same number draws the same ones."""
    for start in range(0, runs, _ROUND):

        @seed(number + start)
        @settings(
            max_examples=min(_ROUND, runs - start),
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(inputs(target.seeds, target.words))
        def attempted(data: bytes) -> None:
            attempt(data)

        attempted()
