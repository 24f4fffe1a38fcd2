"""Medians with their spread. The bootstrap is seeded: the same measurements give the same interval."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median, quantiles

RESAMPLES = 1000

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with its quartiles, or an estimate with its 95 % interval."""

    value: float
    low: float
    high: float

    def scaled(self, scale: float) -> Spread:
        """Return this in another unit: ns in µs for 1000."""
        return Spread(self.value / scale, self.low / scale, self.high / scale)

    def text(self, digits: int, unit: str = "", sign: str = "") -> str:
        """Return ``value unit (low–high)``; ``sign`` is that of a format specification."""
        value, low, high = (f"{number:{sign}.{digits}f}" for number in (self.value, self.low, self.high))
        return f"{value}{unit} ({low} to {high})" if sign else f"{value}{unit} ({low}–{high})"


def spread(values: Iterable[float]) -> Spread:
    """Return the median and the quartiles."""
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return Spread(middle, low, high)


def ratio(blocks: Sequence[Sequence[Pair]]) -> Spread:
    """Return the ratio of medians, second against first, with its bootstrap 95 % interval.

    Blocks are resampled whole: what the rounds of one block have in common must not count twice.
    """
    return _bootstrap(blocks, lambda pairs: median(b for _, b in pairs) / median(a for a, _ in pairs))


def difference(blocks: Sequence[Sequence[Pair]]) -> Spread:
    """Return the median of the differences, second less first, with its bootstrap 95 % interval."""
    return _bootstrap(blocks, lambda pairs: median(b - a for a, b in pairs))


def _bootstrap(blocks: Sequence[Sequence[Pair]], estimate: Callable[[list[Pair]], float]) -> Spread:
    chance = random.Random(1)
    resampled = sorted(estimate(_pooled(chance.choices(blocks, k=len(blocks)))) for _ in range(RESAMPLES))
    low, high = resampled[int(0.025 * RESAMPLES)], resampled[int(0.975 * RESAMPLES)]
    return Spread(estimate(_pooled(blocks)), low, high)


def _pooled(blocks: Iterable[Sequence[Pair]]) -> list[Pair]:
    return list(chain.from_iterable(blocks))
