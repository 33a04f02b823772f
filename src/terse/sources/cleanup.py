"""Do mask and box agree? For about one image in ten of VOC they do not (paper 4.2, Fig. 10).

The paper looks at instance masks by eye; here they are measured, and the limits were chosen by eye.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum

import cv2
import numpy as np
from jaxtyping import UInt8

from terse.boxes import iou
from terse.errors import DataError
from terse.progress import Observer
from terse.sources.annotations import Annotations
from terse.sources.decode import read_rgb
from terse.sources.masks import box_of, draw_mask, extent

__all__ = ["Cleaned", "CleanupLimits", "Flaw", "MaskVerdict", "clean_up", "examine", "solidity"]

_BORDER_PX = 2
_TELL_EVERY = 100
_PLAIN_LEVELS, _OTHER_LEVELS, _LEAST_OTHER = 16, 40, 0.02  # of 255; JPEG's noise on white stays below the first


class Flaw(StrEnum):
    """What can be wrong with a mask; the value is what a user reads beside a count."""

    EMPTY = "empty"
    BOX = "whose mask and box disagree"
    SMALL = "too small"
    SCRAP = "scraps"
    COVERS = "masks of two objects"
    PIECES = "in pieces"
    CUT = "cut by the image's border"
    OPAQUE = "cut-outs with their plain background left in"
    UNREADABLE = "masks that cannot be read"


@dataclass(frozen=True, slots=True)
class CleanupLimits:
    """What a foreground must keep to; chosen on contact sheets of COCO's persons and things; see docs/cleanup.md."""

    min_box_iou: float = 0.7
    """Annotated box and mask's box; below, one of them belongs to something else."""
    min_side_px: int = 32
    """Longer side; smaller ones are a blur when they are pasted larger."""
    min_solidity: float = 0.33
    """Mask over its convex hull; sportsmen with spread limbs have 0.35 and more, scraps of things behind others less."""
    max_covered_other: float = 0.75
    """People who stand before others cover up to 0.67 of a box behind them; a mask of two people covers more."""
    min_largest_share: float = 0.7
    """Below, hands or feet apart, or a person whom a thing cuts to pieces, which then hang in the air."""
    max_cut_share: float = 0.45
    """Above, a face or garment that fills the image: a rectangle with four straight edges."""


@dataclass(frozen=True, slots=True)
class MaskVerdict:
    """What was measured of one object, and why it is dropped, if it is.

    Attributes:
        object: its number in the annotations.
        key: its stable name.
        box_iou: of the annotated box with the mask's own box.
        solidity: share of its convex hull that the mask covers.
        largest_share: of the mask, in its largest connected component.
        covered_other: largest share of another object's box of the class that this mask covers.
        cut_share: of the outline of the mask's box, that is a cut by the image's border. Above 0 the object goes on
            outside the image.
        mask_box_px: the mask's own box.
        opaque: whether it is a cut-out of which nothing is cut away, with a plain rim around something else.
        flaws: empty where the object is kept.
        limits: what it was held against.
        error: why its mask cannot be read.
    """

    object: int
    key: str
    box_iou: float = 0.0
    solidity: float = 0.0
    largest_share: float = 0.0
    covered_other: float = 0.0
    cut_share: float = 0.0
    mask_box_px: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    opaque: bool = False
    flaws: tuple[Flaw, ...] = ()
    limits: CleanupLimits = CleanupLimits()
    error: str = ""

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the mask's own box."""
        x0, y0, x1, y1 = self.mask_box_px
        return int(x1 - x0), int(y1 - y0)

    @property
    def flaw(self) -> Flaw | None:
        """What it counts as. Of a small object, mask and box differ by a pixel or two, which says nothing more."""
        return Flaw.SMALL if Flaw.SMALL in self.flaws else next(iter(self.flaws), None)

    @property
    def reasons(self) -> tuple[str, ...]:
        """A sentence for each flaw."""
        return tuple(self._sentence(flaw) for flaw in self.flaws)

    def _sentence(self, flaw: Flaw) -> str:
        limits = self.limits
        return {
            Flaw.EMPTY: "the mask is empty",
            Flaw.BOX: f"box and mask's box overlap by {self.box_iou:.2f}, less than {limits.min_box_iou}",
            Flaw.SMALL: f"{self.size_px[0]}x{self.size_px[1]} px, its longer side less than {limits.min_side_px}",
            Flaw.SCRAP: f"the mask fills {self.solidity:.2f} of its hull, less than {limits.min_solidity}",
            Flaw.COVERS: f"the mask covers {self.covered_other:.2f} of another object's box, "
            f"more than {limits.max_covered_other}",
            Flaw.PIECES: f"the largest part is {self.largest_share:.2f} of the mask, less than {limits.min_largest_share}",
            Flaw.CUT: f"the image's border cuts {self.cut_share:.2f} of its outline, more than {limits.max_cut_share}",
            Flaw.OPAQUE: "its alpha is opaque everywhere, and a plain background is left around the object",
            Flaw.UNREADABLE: self.error,
        }[flaw]


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The annotations without the objects that disagree, these objects' verdicts, and those on all that were examined."""

    kept: Annotations
    dropped: tuple[MaskVerdict, ...]
    verdicts: tuple[MaskVerdict, ...]


def clean_up(
    annotations: Annotations,
    limits: CleanupLimits | None = None,
    workers: int = 0,
    observer: Observer | None = None,
) -> Cleaned:
    """Leave out the masked objects that break a limit; objects without a mask stay."""
    verdicts = examine(annotations, limits, workers, observer=observer)
    keep = np.ones(len(annotations.labels), dtype=np.bool_)
    dropped = tuple(verdict for verdict in verdicts if verdict.flaws)
    keep[[verdict.object for verdict in dropped]] = False
    return Cleaned(annotations.keep_objects(keep), dropped, tuple(verdicts))


def examine(
    annotations: Annotations,
    limits: CleanupLimits | None = None,
    workers: int = 0,
    objects: Iterable[int] | None = None,
    observer: Observer | None = None,
) -> list[MaskVerdict]:
    """A verdict on every object that could be a foreground: with a mask, no crowd, not ignored.

    Args:
        annotations: the objects; a mask may cover others of its image.
        limits: what a foreground must keep to.
        workers: threads that draw masks.
        objects: the numbers of those to look at; None is all.
        observer: hears how many are looked at.
    """
    usable = np.flatnonzero(annotations.usable).tolist()
    rows = usable if objects is None else sorted(set(usable).intersection(objects))
    keys = annotations.object_keys
    chosen = limits or CleanupLimits()

    def one(row: int) -> MaskVerdict:
        return _examine(annotations, row, keys[row], chosen)

    if not workers:
        return list(_counted(map(one, rows), len(rows), observer))
    with ThreadPoolExecutor(workers) as pool:
        return list(_counted(pool.map(one, rows), len(rows), observer))


def _counted(verdicts: Iterable[MaskVerdict], total: int, observer: Observer | None) -> Iterator[MaskVerdict]:
    for done, verdict in enumerate(verdicts, 1):
        yield verdict
        if observer is not None and (done % _TELL_EVERY == 0 or done == total):
            observer.advance("looking at masks", done, total)


def _examine(annotations: Annotations, row: int, key: str, limits: CleanupLimits) -> MaskVerdict:
    mask = annotations.masks[row]
    assert mask is not None  # by the choice of rows
    image = int(annotations.image_index[row])
    width, height = annotations.sizes_px[image].tolist()
    x0, y0, _, _ = window = extent(mask, (width, height))
    try:
        drawn = draw_mask(mask, annotations.root, (width, height), window) > 127
    except DataError as error:
        return MaskVerdict(row, key, flaws=(Flaw.UNREADABLE,), error=str(error))
    tight = box_of(drawn.view(np.uint8))
    if tight is None:
        return MaskVerdict(row, key, flaws=(Flaw.EMPTY,))
    left, top, right, bottom = tight
    own = np.array([left + x0, top + y0, right + x0, bottom + y0], dtype=np.float64)
    cut = np.ascontiguousarray(drawn[top:bottom, left:right]).view(np.uint8)
    measured = MaskVerdict(
        row,
        key,
        box_iou=float(iou(own[None], annotations.boxes_px[[row]])[0, 0]),
        solidity=solidity(cut),
        largest_share=_largest_share(cut),
        covered_other=_covered(annotations, row, image, drawn, (x0, y0)),
        # The edge of a cut-out's file is no border of a scene.
        cut_share=0.0 if annotations.cut_outs else _cut_share(cut, own, (width, height)),
        mask_box_px=(left + x0, top + y0, right + x0, bottom + y0),
        opaque=annotations.cut_outs and bool(drawn.all()) and _is_framed(annotations, image),
        limits=limits,
    )
    return replace(measured, flaws=_flaws(measured, limits))


def _flaws(measured: MaskVerdict, limits: CleanupLimits) -> tuple[Flaw, ...]:
    rules = {
        Flaw.BOX: measured.box_iou < limits.min_box_iou,
        Flaw.SMALL: max(measured.size_px) < limits.min_side_px,
        Flaw.SCRAP: measured.solidity < limits.min_solidity,
        Flaw.COVERS: measured.covered_other > limits.max_covered_other,
        Flaw.PIECES: measured.largest_share < limits.min_largest_share,
        Flaw.CUT: measured.cut_share > limits.max_cut_share,
        Flaw.OPAQUE: measured.opaque,
    }
    return tuple(flaw for flaw, broken in rules.items() if broken)


def _largest_share(mask: UInt8[np.ndarray, "h w"]) -> float:
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    return float(stats[1:count, cv2.CC_STAT_AREA].max() / mask.sum())


def solidity(mask: UInt8[np.ndarray, "h w"]) -> float:
    """The share of its convex hull that a mask covers, which is not empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    filled_rows = mask[rows]
    ends = (filled_rows.argmax(axis=1), mask.shape[1] - 1 - filled_rows[:, ::-1].argmax(axis=1))
    # The ends of the rows have the hull of all pixels, in a twentieth of the time.
    hull = cv2.convexHull(np.concatenate([np.stack([end, rows], axis=1) for end in ends]).astype(np.int32))
    filled = cv2.fillConvexPoly(np.zeros(mask.shape, dtype=np.uint8), hull, 1)
    return float(mask.sum()) / float(filled.sum())


def _cut_share(mask: UInt8[np.ndarray, "h w"], box: np.ndarray, size_px: tuple[int, int]) -> float:
    """Outlines are drawn a pixel or two off the border they mean."""
    sides = (
        (box[0] <= _BORDER_PX, mask[:, :_BORDER_PX].any(axis=1)),
        (box[1] <= _BORDER_PX, mask[:_BORDER_PX].any(axis=0)),
        (box[2] >= size_px[0] - _BORDER_PX, mask[:, -_BORDER_PX:].any(axis=1)),
        (box[3] >= size_px[1] - _BORDER_PX, mask[-_BORDER_PX:].any(axis=0)),
    )
    cut = sum(int(pixels.sum()) for touches, pixels in sides if touches)
    return cut / (2 * sum(mask.shape))


def _is_framed(annotations: Annotations, image: int) -> bool:
    """Whether the image's rim is of one colour and a part of what it surrounds is of others."""
    path = annotations.paths[image]
    width, height = annotations.sizes_px[image].tolist()
    try:
        pixels = read_rgb(annotations.root / path, path, (width, height)).astype(np.int16)
    except DataError:  # reading it tells the user
        return False
    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    plain = np.median(rim, axis=0)
    if np.abs(rim - plain).max() > _PLAIN_LEVELS:
        return False
    return float((np.abs(pixels - plain).max(axis=2) > _OTHER_LEVELS).mean()) > _LEAST_OTHER


def _covered(annotations: Annotations, row: int, image: int, drawn: np.ndarray, corner: tuple[int, int]) -> float:
    """The largest share of another box of the class, in the same image, that this mask covers.

    A box that is the object's own, pixel for pixel, is the same object annotated twice.
    """
    objects = annotations.objects_of(image)
    height, width = drawn.shape
    boxes = annotations.boxes_px[objects]
    meets = (boxes[:, :2] < np.add(corner, (width, height))).all(axis=1) & (boxes[:, 2:] > corner).all(axis=1)
    others = objects[meets]  # boxes first: of a crowded image, few meet the mask's
    same = np.abs(annotations.boxes_px[others] - annotations.boxes_px[row]).max(axis=1) < 1
    rivals = ~same & (annotations.labels[others] == annotations.labels[row]) & ~annotations.crowd[others]
    x0, y0, x1, y1 = annotations.boxes_px[others[rivals]].T
    if not len(x0):
        return 0.0
    counts = cv2.integral(drawn.view(np.uint8))
    left, right = (np.clip(x - corner[0], 0, width).astype(np.int64) for x in (np.trunc(x0), np.ceil(x1)))
    top, bottom = (np.clip(y - corner[1], 0, height).astype(np.int64) for y in (np.trunc(y0), np.ceil(y1)))
    inside = counts[bottom, right] - counts[top, right] - counts[bottom, left] + counts[top, left]
    return min(float((inside / np.maximum((x1 - x0) * (y1 - y0), 1.0)).max()), 1.0)
