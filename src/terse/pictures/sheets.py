"""Contact sheets: many small images on one, with boxes, masks and captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from terse.errors import DataError
from terse.pictures.crops import Thumbnail, thumbnail
from terse.pictures.lettering import fitted, line_px

__all__ = ["Sheet", "contact_sheet", "packed_sheets"]

CELL_PX = 120  # images smaller than this are enlarged by whole factors, so that every pixel stays square
GUTTER_PX = 8
SHEET_SIDE_PX = 1600
SHEET_QUALITY = 78
PAPER = (255, 255, 255)
INK = (64, 70, 80)
HALO = (0, 0, 0, 150)
# Told apart in the common colour deficiencies and on dark and light photographs (after Okabe and Ito 2008).
COLOURS = (
    (255, 176, 0),
    (41, 197, 255),
    (255, 94, 138),
    (84, 220, 120),
    (190, 140, 255),
    (255, 130, 40),
    (240, 228, 66),
)

Colour = tuple[int, int, int]
Mark = tuple[str, Colour]  # the label and colour of an object
_PLAIN: Mark = ("", COLOURS[0])
UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A contact sheet, RGB or RGBA, or its thumbnail; sheets of one group stand under one heading."""

    group: str
    heading: str
    image: npt.NDArray[np.uint8] | Thumbnail
    alt: str
    caption: str = ""


def packed_sheets(sheets: Sequence[Sheet]) -> list[Sheet]:
    """The sheets, each with its thumbnail."""
    return [replace(sheet, image=thumbnail(sheet.image, SHEET_SIDE_PX, SHEET_QUALITY)) for sheet in sheets]


def contact_sheet(
    images: UInt8,
    columns: int,
    boxes: Sequence[npt.ArrayLike] | None = None,
    labels: Sequence[Sequence[str]] | None = None,
    masks: Sequence[npt.ArrayLike] | None = None,
    captions: Sequence[str] | None = None,
    transparent: bool = False,
) -> UInt8:
    """Images `(n, h, w, c)`, grey or RGB, in rows of `columns`; RGB, or RGBA with clear gutters.

    Boxes are one `(k, 4)` array an image, half-open xyxy in its pixels; labels one text a box; masks one
    `(k, h, w)` array an image; captions one text an image. Boxes and masks of one label share a colour.

    Raises:
        DataError: lists of another length than the images, or images of another shape or type.
    """
    _check(images, columns, {"boxes": boxes, "labels": labels, "masks": masks, "captions": captions})
    height, width = images.shape[1:3]
    factor = max(1, CELL_PX // max(height, width))
    cell_w, cell_h = width * factor, height * factor
    letter_px = int(np.clip(cell_w / 11, 11, 20))
    caption_px = line_px(letter_px) + 4 if captions is not None else 0
    columns = max(1, min(columns, len(images)))
    rows = -(-len(images) // columns)
    size = (columns * (cell_w + GUTTER_PX) - GUTTER_PX, max(1, rows * (cell_h + caption_px + GUTTER_PX) - GUTTER_PX))
    if not transparent:
        size = (size[0] + 2 * GUTTER_PX, size[1] + 2 * GUTTER_PX)
    sheet = Image.new("RGBA", size, (*PAPER, 0 if transparent else 255))
    pen = ImageDraw.Draw(sheet)
    margin = 0 if transparent else GUTTER_PX
    palette = _palette(labels)
    for number in range(len(images)):
        left = margin + number % columns * (cell_w + GUTTER_PX)
        top = margin + number // columns * (cell_h + caption_px + GUTTER_PX)
        names = labels[number] if labels is not None else ()
        cell = _enlarged(images[number], factor)
        marks = [(name, palette[name]) for name in names]
        if masks is not None:
            cell = _tinted(cell, np.asarray(masks[number], dtype=np.bool_), marks, factor)
        if boxes is not None:
            _draw_boxes(cell, np.asarray(boxes[number], dtype=np.float64), marks, factor)
        sheet.paste(cell, (left, top))
        if captions is not None:
            fitted(captions[number], letter_px, cell_w).draw(pen, left, top + cell_h + 3, (*INK, 255))
    return np.asarray(sheet if transparent else sheet.convert("RGB"))


def _check(images: UInt8, columns: int, lists: dict[str, Sequence[object] | None]) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or len(images) == 0:
        raise DataError(
            f"images: expected uint8 of shape (n, h, w, 1) or (n, h, w, 3) with n >= 1, got {images.dtype} of shape "
            f"{tuple(images.shape)}; tensors become so by (x * 255).round().byte().permute(0, 2, 3, 1).numpy()"
        )
    if columns < 1:
        raise DataError(f"columns: expected an integer >= 1, got {columns}; 8 suits most screens")
    for name, values in lists.items():
        if values is not None and len(values) != len(images):
            raise DataError(
                f"{name}: expected one entry an image, {len(images)}, got {len(values)}; pass None for none"
            )


def _palette(labels: Sequence[Sequence[str]] | None) -> dict[str, Colour]:
    names = sorted({name for row in labels for name in row}) if labels is not None else []
    return {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}


def _enlarged(image: UInt8, factor: int) -> Image.Image:
    colour = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    return Image.fromarray(np.ascontiguousarray(colour.repeat(factor, axis=0).repeat(factor, axis=1)))


def _tinted(cell: Image.Image, masks: npt.NDArray[np.bool_], marks: Sequence[Mark], factor: int) -> Image.Image:
    """The cell with each mask tinted and its rim drawn one pixel wide."""
    pixels = np.asarray(cell, dtype=np.float64)
    for mask, (_, colour) in zip(masks.reshape(-1, *masks.shape[-2:]), chain(marks, repeat(_PLAIN)), strict=False):
        large = mask.repeat(factor, axis=0).repeat(factor, axis=1)
        padded = np.pad(large, 1)
        inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        pixels[large] = 0.58 * pixels[large] + 0.42 * np.asarray(colour, dtype=np.float64)
        pixels[large & ~inner] = colour
    return Image.fromarray(pixels.round().astype(np.uint8))


def _draw_boxes(
    cell: Image.Image,
    boxes: npt.NDArray[np.float64],
    marks: Sequence[Mark],
    factor: int,
) -> None:
    pen = ImageDraw.Draw(cell, "RGBA")
    letter_px = int(np.clip(cell.width / 16, 10, 15))
    for box, (name, colour) in zip(boxes.reshape(-1, 4), chain(marks, repeat(_PLAIN)), strict=False):
        x0, y0, x1, y1 = (float(value) for value in box * factor)
        x1, y1 = max(x0, x1 - 1), max(y0, y1 - 1)  # half-open: the last pixel inside
        pen.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=HALO, width=1)
        pen.rectangle((x0, y0, x1, y1), outline=(*colour, 255), width=1 if cell.width < 200 else 2)
        if name:
            line = fitted(name, letter_px, cell.width)
            wide, high = line.width_px + 6, line_px(letter_px) + 2
            left = min(max(0.0, x0), max(0.0, cell.width - wide))
            top = y0 - high if y0 - high >= 0 else max(0.0, min(y0, cell.height - high))
            pen.rectangle((left, top, left + wide, top + high), fill=(*colour, 235))
            line.draw(pen, left + 3, top, (0, 0, 0, 255))
