"""What a run's pool looks like: the gallery, a strip for each cycle, and real images beside synthetic ones."""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from terse.evaluation.predictions import spread
from terse.pictures.gallery import Gallery, GalleryItem, Streamed
from terse.pictures.sheets import Sheet, contact_sheet
from terse.pool import Pool
from terse.protocols import RealImages
from terse.synthesis.materials import Materials
from terse.tasks.answers import Box
from terse.training.seeding import array_generator
from terse.types import Truth

__all__ = [
    "POOL_STRIP",
    "boxes_of",
    "cycle_sheets",
    "layout",
    "pool_gallery",
    "pool_strip",
    "real_and_synthetic",
    "to_uint8",
]

POOL_STRIP = ("Real and synthetic", "Synthetic")
"""Group and heading of the strip that is drawn from the whole pool of a run."""
_CHUNK, _SMALL_CHUNK = 64, 512  # photographs, digits: images drawn at once
_SMALL_PX = 96  # a canvas up to here costs a page 300 bytes an image, so that all of 5,000 are shown
_MOST_SMALL, _MOST_LARGE = (5000, 1200)  # a photograph takes 10 ms to draw: 12 s, and thumbnails of 200 px


def pool_gallery(pools: Mapping[str, tuple[Materials, Pool]]) -> Gallery:
    """The composites of each arm's pool, or an even share of them where they are too many for a page.

    Args:
        pools: by arm, each with what it is drawn from.
    """
    filled = {arm: (materials, pool) for arm, (materials, pool) in pools.items() if len(pool)}
    if not filled:
        return Gallery()
    is_small = all(materials.canvas_px <= _SMALL_PX for materials, _ in filled.values())
    most = (_MOST_SMALL if is_small else _MOST_LARGE) // len(filled)
    chosen = {arm: spread(len(pool), most) for arm, (_, pool) in filled.items()}
    shown, total = sum(map(len, chosen.values())), sum(len(pool) for _, pool in filled.values())
    note = "Every image of the pool" if shown == total else f"{shown:,} of {total:,} images, evenly spread"
    parts = [_items(*filled[arm], rows, arm) for arm, rows in chosen.items()]
    return Gallery(
        Streamed(shown, itertools.chain.from_iterable(parts)),
        note=f"{note}. Hardness is what the target made of it when it was found: 1\u00a0-\u00a0p of the truth.",
    )


def cycle_sheets(materials: Materials, pool: Pool, most_cycles: int = 8) -> list[Sheet]:
    """Composites of each cycle in a strip, the cycles below each other (paper, Fig. 4 and 11)."""
    if len(pool) == 0:
        return []
    found = pool.placements
    _, count = layout(materials)
    cycles = np.unique(found.cycle)
    sheets = []
    for cycle in cycles[spread(len(cycles), most_cycles)]:
        rows = np.flatnonzero(found.cycle == cycle)
        chosen = rows[spread(len(rows), count)]
        caption = f"{len(rows):,} found, {_mean_hardness(found.hardness[rows])}"
        alt = f"{len(chosen)} composites of cycle {cycle}"
        sheets.append(Sheet("By cycle", f"Cycle {cycle}", _strip(materials, pool, chosen), alt, caption))
    return sheets


def real_and_synthetic(materials: Materials, pool: Pool, real: RealImages, seed: int) -> list[Sheet]:
    """A strip of real training images and a strip of composites."""
    if len(pool) == 0 or len(real) == 0:
        return []
    columns, count = layout(materials)
    rows = _drawn_rows(seed, "page: real", len(real), count)
    group, heading = POOL_STRIP
    images = contact_sheet(to_uint8(real.fetch(rows)[0]), columns, transparent=True)
    return [
        Sheet(group, "Real", images, f"{len(rows)} real training images"),
        pool_strip(materials, pool, group, heading, seed),
    ]


def pool_strip(materials: Materials, pool: Pool, group: str, heading: str, seed: int) -> Sheet:
    """A strip of composites drawn from a whole pool, whatever their cycle and hardness."""
    rows = _drawn_rows(seed, "page: pool", len(pool), layout(materials)[1])
    caption = f"{_mean_hardness(pool.placements.hardness)} when found"
    return Sheet(group, heading, _strip(materials, pool, rows), f"{len(rows)} composites: {heading}", caption)


def to_uint8(images: Tensor) -> np.ndarray:
    """NCHW in [0, 1] to NHWC bytes."""
    bytes_: np.ndarray = images.detach().clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return bytes_


def boxes_of(truth: Truth, classes: tuple[str, ...]) -> list[tuple[list[Box], Int64[np.ndarray, " k"]]]:
    """The boxes of each image of a batch, and their rows in the truth."""
    boxes, labels = truth.boxes_px.double().tolist(), truth.labels.tolist()
    made = [Box((box[0], box[1], box[2], box[3]), classes[k]) for box, k in zip(boxes, labels, strict=True)]
    starts = np.searchsorted(truth.image_index.cpu().numpy(), np.arange(truth.batch_size + 1)).tolist()
    return [(made[first:end], np.arange(first, end)) for first, end in itertools.pairwise(starts)]


def _mean_hardness(hardness: Float64[np.ndarray, " n"]) -> str:
    """Of those that were judged."""
    known = hardness[~np.isnan(hardness)]
    return f"mean hardness {known.mean():.2f}" if len(known) else "not judged"


def _drawn_rows(seed: int, purpose: str, total: int, count: int) -> Int64[np.ndarray, " k"]:
    """So many of the rows, without repeats, in order."""
    return np.sort(array_generator(seed, 0, purpose, 0).choice(total, min(count, total), replace=False))


def _strip(materials: Materials, pool: Pool, rows: Int64[np.ndarray, " k"]) -> np.ndarray:
    """The contact sheet of some composites of the pool."""
    with torch.no_grad():
        images = materials.render(pool.placements.take(rows)).images
    return contact_sheet(to_uint8(images), layout(materials)[0], transparent=True)


def layout(materials: Materials) -> tuple[int, int]:
    """Columns and images of a strip."""
    return (12, 24) if materials.canvas_px <= _SMALL_PX else (6, 12)


def _items(materials: Materials, pool: Pool, chosen: Int64[np.ndarray, " k"], arm: str) -> Iterator[GalleryItem]:
    count = _SMALL_CHUNK if materials.canvas_px <= _SMALL_PX else _CHUNK
    for first in range(0, len(chosen), count):
        part = pool.placements.take(chosen[first : first + count])
        with torch.no_grad():
            drawn = materials.render(part, masks=True)
        images = to_uint8(drawn.images)
        modal = None if drawn.modal is None else drawn.modal.cpu().numpy()
        for number, (boxes, rows) in enumerate(boxes_of(drawn.truth, materials.classes)):
            yield GalleryItem(
                image=images[number],
                class_name=materials.classes[int(part.label[number])],
                boxes=boxes,
                masks=() if modal is None else [modal[k] for k in rows],
                cycle=int(part.cycle[number]),
                hardness=None if np.isnan(part.hardness[number]) else float(part.hardness[number]),
                arm=arm,
                record=pool.describe(part, number),
            )
