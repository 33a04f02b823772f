"""Randomness as a function of (seed, cycle, phase, step), so that a resumed run draws what an unbroken one does."""

import zlib

import numpy as np
import torch
from jaxtyping import UInt64

__all__ = ["array_generator", "reseed"]


def reseed(seed: int, cycle: int, phase: str, step: int, *, rank: int = 0) -> torch.Generator:
    """Reseed torch's global generators for this step, and return a generator of its own for explicit draws.

    Dropout and torchvision's samplers take no generator, hence the global ones: they differ with the rank of the
    process, the generator that is returned does not.

    Source: ours.
    """
    words = _words(seed, cycle, phase, step)
    if rank:
        words[0] = _words(seed, cycle, f"{phase} of rank {rank}", step)[0]
    torch.default_generator.manual_seed(int(words[0] >> np.uint64(1)))
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(int(words[0] >> np.uint64(1)))
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(int(words[0] >> np.uint64(1)))
    return torch.Generator().manual_seed(int(words[1] >> np.uint64(1)))


def array_generator(seed: int, cycle: int, phase: str, step: int) -> np.random.Generator:
    """NumPy's generator for this step.

    Source: ours.
    """
    return np.random.default_rng(np.random.SeedSequence(_key(seed, cycle, phase, step)))


def _words(seed: int, cycle: int, phase: str, step: int) -> UInt64[np.ndarray, " 2"]:
    return np.random.SeedSequence(_key(seed, cycle, phase, step)).generate_state(2, np.uint64)


def _key(seed: int, cycle: int, phase: str, step: int) -> list[int]:
    return [seed, cycle, zlib.crc32(phase.encode()), step]
