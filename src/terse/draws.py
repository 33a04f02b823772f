"""Random numbers that are a function of a seed, a name and a position: the same in any batch and on any CPU.

`splitmix64` (Steele, Lea and Flood 2014) as a hash: one seed an image, a name for each thing that is drawn, and a
counter. Nothing is carried from one draw to the next, so an image's numbers do not depend on its neighbours.
"""

import zlib

import numpy as np
from jaxtyping import Float64, Int64, UInt64

__all__ = ["derive", "integers", "normal", "seeds_of", "uniform"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def seeds_of(*path: int | str, count: int) -> UInt64[np.ndarray, " count"]:
    """Seeds of so many images of one step: `seeds_of(run_seed, cycle, phase, step, count=64)`.

    Source: ours.
    """
    seed = np.zeros(1, dtype=np.uint64)
    for part in path:
        seed = derive(seed, part)
    return derive(np.broadcast_to(seed, count), np.arange(count))


def derive(seeds: UInt64[np.ndarray, " n"], part: int | str | Int64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """Seeds of a part of each image: of an attempt, of a paste by its number.

    Source: ours.
    """
    word = zlib.crc32(part.encode()) if isinstance(part, str) else part
    return _mixed(_mixed(seeds + _GOLDEN) ^ np.atleast_1d(word).astype(np.uint64) * _FIRST)


def uniform(seeds: UInt64[np.ndarray, " n"], name: str, count: int) -> Float64[np.ndarray, "n count"]:
    """Numbers in [0, 1) for each seed, with 53 random bits.

    Source: ours.
    """
    bits = _bits(seeds, name, count) >> np.uint64(11)
    unit: Float64[np.ndarray, "n count"] = bits.astype(np.float64) * 2.0**-53
    return unit


def integers(
    seeds: UInt64[np.ndarray, " n"], name: str, below: int | Int64[np.ndarray, " n"], low: int = 0
) -> Int64[np.ndarray, " n"]:
    """One integer for each seed, from `low` to less than `below`.

    Source: ours.
    """
    span = np.asarray(below) - low
    found: Int64[np.ndarray, " n"] = low + (uniform(seeds, name, 1)[:, 0] * span).astype(np.int64)
    return found


def normal(seeds: UInt64[np.ndarray, " n"], name: str, count: int) -> Float64[np.ndarray, "n count"]:
    """Standard normal numbers for each seed, rounded to 1e-6: logarithms differ between CPUs in the last digit.

    Source: Box and Muller 1958.
    """
    unit = uniform(seeds, name, 2 * count)
    radius = np.sqrt(-2 * np.log1p(-unit[:, :count]))
    found: Float64[np.ndarray, "n count"] = np.round(radius * np.cos(2 * np.pi * unit[:, count:]), 6)
    return found


def _bits(seeds: UInt64[np.ndarray, " n"], name: str, count: int) -> UInt64[np.ndarray, "n count"]:
    named = derive(seeds, name)
    return _mixed(named[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)


def _mixed(word: np.ndarray) -> np.ndarray:
    """The output function of splitmix64; every bit of the word changes half of the result's."""
    word = (word ^ (word >> np.uint64(30))) * _FIRST
    word = (word ^ (word >> np.uint64(27))) * _SECOND
    mixed: np.ndarray = word ^ (word >> np.uint64(31))
    return mixed
