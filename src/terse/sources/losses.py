"""What the steps between a source and a run take of its foregrounds, and whether boxes and masks contradict each other.

`train`, `preview`, `generate`, `check` and `init` all judge what is left by this, so that "ready" means ready.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from terse.boxes import iou
from terse.errors import DataError
from terse.progress import Observer
from terse.sources.annotations import Annotations
from terse.sources.cleanup import Flaw, MaskVerdict, clean_up
from terse.sources.masks import Rle, draw_mask

__all__ = ["Contradiction", "LeftToPaste", "Losses", "contradiction", "count_losses", "left_to_paste"]

_LEAST = 3  # objects; fewer show nothing of a whole set
_SMALL_APART = 0.5  # IoU of a small object's box and its mask's own, which differ by a pixel or two
_TOGETHER = 0.7
_MOST = 0.5
_DECODED = 50


class Contradiction(StrEnum):
    """How most boxes of a set contradict their masks; the value says which of the two looks wrong."""

    CORNERS = "the boxes look like two corners x0 y0 x1 y1, where x y width height is expected: correct the boxes"
    CENTRES = "the boxes look like centre x y width height, where the upper left corner is expected: correct the boxes"
    SWAPPED = "the outlines look like y x, where x y is expected: correct the outlines"
    BY_ROWS = "the masks' run lengths look counted by rows, where COCO counts by columns: correct the masks"
    UNKNOWN = "nothing tells which of the two is wrong: look at some, and correct the boxes or the outlines"


@dataclass(frozen=True, slots=True)
class Losses:
    """Foregrounds of each class, and how many of them each step takes away."""

    had: Mapping[str, int]
    judged: Mapping[str, int]  # on images of val or test
    flawed: Mapping[str, Mapping[Flaw, int]]  # by cleanup

    def left(self, name: str) -> int:
        """How many of a class a run can paste."""
        return self.had[name] - self.judged[name] - sum(self.flawed[name].values())

    @property
    def lost(self) -> tuple[str, ...]:
        """The classes that had foregrounds and have none left."""
        return tuple(name for name, count in self.had.items() if count and not self.left(name))

    def why(self, *names: str) -> str:
        """What took the foregrounds of these classes away: `6 too small, 2 on images of val or test`."""
        judged = sum(self.judged[name] for name in names)
        said = [self.flaws(*names), f"{judged:,} on images of val or test" if judged else ""]
        return ", ".join(filter(None, said))

    def flaws(self, *names: str) -> str:
        """What cleanup took of these classes, counted by cause."""
        total: Counter[Flaw] = Counter()
        for name in names:
            total.update(self.flawed[name])
        return ", ".join(f"{total[flaw]:,} {flaw}" for flaw in Flaw if total[flaw])


def count_losses(annotations: Annotations, judges: Iterable[Annotations], dropped: Sequence[MaskVerdict]) -> Losses:
    """What is taken of a source's foregrounds.

    Args:
        annotations: the source as it was read.
        judges: what val and test hold; an image of theirs is never cut from.
        dropped: what cleanup leaves out.
    """
    taken = {file for other in judges for file in other.files}
    files, names = annotations.files, annotations.classes
    rows = np.flatnonzero(annotations.usable).tolist()
    held = {row for row in rows if files[int(annotations.image_index[row])] in taken}
    classes = {key: names[int(label)] for key, label in zip(annotations.object_keys, annotations.labels, strict=True)}
    flaws = {verdict.key: verdict.flaw for verdict in dropped}
    keys = annotations.object_keys
    flawed: dict[str, Counter[Flaw]] = {name: Counter() for name in names}
    for row in rows:
        flaw = flaws.get(keys[row])
        if row not in held and flaw is not None:
            flawed[classes[keys[row]]][flaw] += 1
    had, judged = (Counter(names[int(annotations.labels[row])] for row in some) for some in (rows, held))
    return Losses({name: had[name] for name in names}, {name: judged[name] for name in names}, flawed)


@dataclass(frozen=True, slots=True)
class LeftToPaste:
    """The foregrounds that a run has, and what was taken away on the way."""

    annotations: Annotations
    losses: Losses
    clash: Contradiction | None
    messages: tuple[str, ...] = ()

    def refusal(self, lost: Sequence[str]) -> str:
        """The sentence where nothing is left of these classes."""
        gone = "; ".join(f"{name} ({self.losses.why(name)})" for name in lost)
        step = "name the classes to paste in foregrounds.classes"
        flawed = any(sum(self.losses.flawed[name].values()) for name in lost)
        if self.clash is not None and flawed:
            step = f"{self.clash}"
        elif flawed:
            step = f"{step}, or keep what cleanup takes by cleanup: false; `terse check` shows it"
        return f"foregrounds: expected something to paste of each class, got none of {gone}; {step}"

    def farewell(self, name: str) -> str:
        """What a set's user should know of a class that is gone."""
        return f"foregrounds: nothing of {name} is left to paste ({self.losses.why(name)})"


def left_to_paste(
    foregrounds: Annotations,
    judges: Sequence[Annotations],
    *,
    cleanup: bool,
    workers: int = 0,
    observer: Observer | None = None,
) -> LeftToPaste:
    """The foregrounds that are left when the images that judge and what cleanup drops are taken away."""
    kept = foregrounds.without_images_of(*judges)
    if not cleanup:
        return LeftToPaste(kept, count_losses(foregrounds, judges, ()), None)
    cleaned = clean_up(kept, workers=workers, observer=observer)
    losses = count_losses(foregrounds, judges, cleaned.dropped)
    message = f"cleanup: left out {len(cleaned.dropped):,} foregrounds: {losses.flaws(*foregrounds.classes)}"
    clash = contradiction(kept, cleaned.verdicts)
    return LeftToPaste(cleaned.kept, losses, clash, (message,) if cleaned.dropped else ())


def contradiction(annotations: Annotations, verdicts: Sequence[MaskVerdict]) -> Contradiction | None:
    """How most boxes contradict their own masks; None where they do not.

    Args:
        annotations: boxes and masks.
        verdicts: on its objects, good ones included.
    """
    known = [verdict for verdict in verdicts if any(verdict.mask_box_px)]
    apart = [
        verdict
        for verdict in known
        if Flaw.BOX in verdict.flaws and (Flaw.SMALL not in verdict.flaws or verdict.box_iou < _SMALL_APART)
    ]
    if len(known) < _LEAST or len(apart) <= _MOST * len(known):
        return None
    rows = [verdict.object for verdict in apart]
    boxes, sizes = annotations.boxes_px[rows], annotations.sizes_px[annotations.image_index[rows]]
    x0, y0, x1, y1 = np.array([verdict.mask_box_px for verdict in apart], dtype=np.float64).T
    meant = {
        Contradiction.CORNERS: (x0, y0, x0 + x1, y0 + y1),
        Contradiction.CENTRES: ((x0 + x1) / 2, (y0 + y1) / 2, (x0 + x1) / 2 + x1 - x0, (y0 + y1) / 2 + y1 - y0),
        Contradiction.SWAPPED: (y0, x0, y1, x1),
    }
    for guess, expected in meant.items():
        # A box that sticks out was cut at the image's border.
        seen = np.clip(np.stack(expected, axis=1), 0, np.tile(sizes, 2))
        if _mostly(np.diagonal(iou(seen, boxes))):
            return guess
    return Contradiction.BY_ROWS if _mostly(_read_by_rows(annotations, rows)) else Contradiction.UNKNOWN


def _mostly(overlaps: np.ndarray) -> bool:
    return len(overlaps) > 0 and float((overlaps >= _TOGETHER).mean()) > _MOST


def _read_by_rows(annotations: Annotations, rows: Sequence[int]) -> np.ndarray:
    """Overlaps of boxes with what their run lengths would mean if they counted by rows."""
    overlaps = []
    for row in [row for row in rows if isinstance(annotations.masks[row], Rle)][:_DECODED]:
        mask = annotations.masks[row]
        width, height = annotations.sizes_px[int(annotations.image_index[row])].tolist()
        assert mask is not None  # by the choice above
        try:
            drawn = draw_mask(mask, annotations.root, (width, height)) > 0
        except DataError:
            continue
        turned = drawn.ravel(order="F").reshape(height, width)
        columns, lines = np.flatnonzero(turned.any(axis=0)), np.flatnonzero(turned.any(axis=1))
        if len(columns):
            own = np.array([[columns[0], lines[0], columns[-1] + 1, lines[-1] + 1]], dtype=np.float64)
            overlaps.append(float(iou(own, annotations.boxes_px[[row]])[0, 0]))
    return np.array(overlaps)
