"""The answers before and after a run as one PNG: what can be looked at without a browser, or sent to somebody."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from terse.errors import RunError
from terse.pictures.crops import made
from terse.pictures.gallery import BeforeAfter
from terse.pictures.page_folder import FOLDER, read_page
from terse.pictures.sheets import contact_sheet
from terse.tasks.answers import Answer

__all__ = ["draw_before_after"]

_FILE = "before-after.png"
_SMALL_PX = 64  # cells of digits and icons: more of them fit
_LARGE_PX = (240, 320)  # others are brought to such a side, which labels and captions fit
_PAIRS, _PAIRS_A_ROW = {"small": 12, "large": 6}, {"small": 4, "large": 2}
_STATES = {"correct": "found", "missed": "missed", "false": "false alarm"}


def draw_before_after(folder: Path) -> Path | None:
    """Write `page/before-after.png` of a finished run: pairs of cells, the start's answer and the kept model's.

    Boxes are coloured by verdict: found, missed, false alarm. None where the page compares no answers.

    Raises:
        RunError: the folder has no page, or cannot be written.
    """
    pairs = read_page(folder).pairs
    if not pairs:
        return None
    side_px = max(max(made(pair.image).size_px) for pair in pairs)
    size = "small" if side_px <= _SMALL_PX else "large"
    shown = pairs[: _PAIRS[size]]
    cell_px = side_px if size == "small" else min(max(side_px, _LARGE_PX[0]), _LARGE_PX[1])
    cells = [_picture(pair, cell_px) for pair in shown for _ in range(2)]
    answers = [(pair, answer, mark) for pair in shown for answer, mark in ((pair.before, ""), (pair.after, "-> "))]
    scales = [cell_px / max(made(pair.image).size_px) for pair, _, _ in answers]
    sheet = contact_sheet(
        np.stack(cells),
        2 * _PAIRS_A_ROW[size],
        boxes=[_boxes(answer) * scale for (_, answer, _), scale in zip(answers, scales, strict=True)],
        labels=[[_STATES[box.state] for box in answer.boxes if box.state in _STATES] for _, answer, _ in answers],
        captions=[mark + _caption(answer) for _, answer, mark in answers],
    )
    out = folder / FOLDER / _FILE
    try:
        Image.fromarray(sheet).save(out)
    except OSError as error:
        raise RunError(f"{out}: expected to write it, got: {error.strerror or error}") from None
    return out


def _picture(pair: BeforeAfter, side_px: int) -> npt.NDArray[np.uint8]:
    """The image of a pair in the upper left of a white square."""
    image = Image.open(io.BytesIO(made(pair.image).encoded)).convert("RGB")
    width, height = made(pair.image).size_px
    scale = side_px / max(width, height)
    fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
    square = Image.new("RGB", (side_px, side_px), (255, 255, 255))
    square.paste(image if image.size == fitted else image.resize(fitted), (0, 0))
    return np.asarray(square)


def _caption(answer: Answer) -> str:
    """The answer's own, or its boxes counted in few words."""
    found, missed, false = (sum(box.state == state for box in answer.boxes) for state in _STATES)
    if not found + missed + false:
        return answer.caption
    return f"{found} of {found + missed} found" + (f", {false} false" if false else "")


def _boxes(answer: Answer) -> npt.NDArray[np.float64]:
    found: Sequence[tuple[float, ...]] = [box.xyxy_px for box in answer.boxes if box.state in _STATES]
    return np.array(found, dtype=np.float64).reshape(-1, 4)
