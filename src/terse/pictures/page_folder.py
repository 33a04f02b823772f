"""`page/`: what the page of a run or a proof shows and only the players can make, kept in files for the report.

`page.json` holds the figures and the captions, `gallery.parquet` the gallery, `*.webp` the sheets and the images of the
answers. The folder is written under another name and renamed, so that it is whole wherever it is.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from terse.errors import RunError
from terse.folders import sync_folder, sync_written
from terse.page_figures import ShownFigures
from terse.pictures.again import computing
from terse.pictures.crops import Thumbnail, made
from terse.pictures.gallery import BeforeAfter, Gallery, GalleryItem, packed_gallery, packed_pairs
from terse.pictures.sheets import Sheet, packed_sheets
from terse.results import FORMAT, Record, read_record
from terse.tasks.answers import Answer, Box

__all__ = ["FOLDER", "Shown", "has_page", "read_page", "write_page"]

FOLDER = "page"
_RECORD, _GALLERY = "page.json", "gallery.parquet"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page shows beside the figures of the result; the note says how the images of the pairs were chosen."""

    figures: ShownFigures = field(default_factory=ShownFigures)
    gallery: Gallery = field(default_factory=Gallery)
    sheets: Sequence[Sheet] = ()
    pairs: Sequence[BeforeAfter] = ()
    pairs_note: str = ""


class _Picture(Record):
    """A file of the folder, and the size of the image that it was made from."""

    file: str
    size_px: tuple[int, int]

    def load(self, page: Path) -> Thumbnail:
        """Read the picture.

        Raises:
            RunError: it is gone, cannot be read or is no whole WebP.
        """
        try:
            encoded = (page / self.file).read_bytes()
        except OSError as error:
            raise RunError(f"{page / self.file}: expected a picture of the page, got: {error.strerror}") from None
        if encoded[:4] + encoded[8:12] != b"RIFFWEBP" or int.from_bytes(encoded[4:8], "little") != len(encoded) - 8:
            raise RunError(
                f"{page / self.file}: expected a picture of the page, got a damaged file; make it with: "
                f"{computing(page.parent)}"
            )
        return Thumbnail(encoded, self.size_px)


class _Sheet(_Picture):
    group: str
    heading: str
    alt: str
    caption: str = ""

    def texts(self) -> dict[str, str]:
        """All but the picture."""
        return self.model_dump(exclude={"file", "size_px"})


class _Pair(_Picture):
    name: str
    before: Answer
    after: Answer


class _PageRecord(Record):
    """`page.json`."""

    format: int = FORMAT
    figures: ShownFigures
    gallery_note: str = ""
    sheets: list[_Sheet]
    pairs: list[_Pair]
    pairs_note: str = ""


def has_page(folder: Path) -> bool:
    """Whether the folder of a run or a proof holds a whole `page/`."""
    return (folder / FOLDER / _RECORD).is_file()


def write_page(folder: Path, shown: Shown) -> None:
    """Write `page/` into the folder of a run or a proof; a kill leaves it whole or missing.

    Raises:
        RunError: no room, or no permission.
    """
    page, temporary = folder / FOLDER, folder / f"{FOLDER}.tmp"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        record = _PageRecord(
            format=FORMAT,
            figures=shown.figures,
            gallery_note=shown.gallery.note,
            sheets=[
                _Sheet.model_validate(_saved(temporary / f"sheet-{number:03d}.webp", sheet))
                for number, sheet in enumerate(packed_sheets(shown.sheets))
            ],
            pairs=[
                _Pair.model_validate(_saved(temporary / f"answer-{number:03d}.webp", pair))
                for number, pair in enumerate(packed_pairs(shown.pairs))
            ],
            pairs_note=shown.pairs_note,
        )
        _write_gallery(temporary / _GALLERY, shown.gallery)
        text = json.dumps(record.to_json(), ensure_ascii=False, indent=1)
        (temporary / _RECORD).write_text(text + "\n", "utf-8")
        sync_written(temporary)
        shutil.rmtree(page, ignore_errors=True)
        temporary.replace(page)
        sync_folder(folder)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)  # a full disk has its room back
        if isinstance(error, OSError):
            raise RunError(f"{page}: expected room to write it, got: {error.strerror or error}") from None
        raise


def read_page(folder: Path) -> Shown:
    """What `write_page` wrote.

    Raises:
        RunError: none, one of another format, or one that cannot be read.
    """
    page = folder / FOLDER
    if not has_page(folder):
        raise RunError(
            f"{folder}: expected {FOLDER}/, which holds the pictures, got none; make it with: {computing(folder)}"
        )
    record = read_record(page / _RECORD, _PageRecord, "what a page shows")
    return Shown(
        record.figures,
        replace(_read_gallery(page / _GALLERY), note=record.gallery_note),
        [Sheet(image=one.load(page), **one.texts()) for one in record.sheets],
        [BeforeAfter(one.load(page), one.before, one.after, one.name) for one in record.pairs],
        record.pairs_note,
    )


def _write_gallery(path: Path, gallery: Gallery) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [_row(item) for item in packed_gallery(gallery)] if len(gallery.items) else []
    schema = pa.schema(
        {
            "thumbnail": pa.binary(),
            "width": pa.int32(),
            "height": pa.int32(),
            "class": pa.string(),
            "boxes": pa.list_(pa.list_(pa.float64(), 4)),
            "labels": pa.list_(pa.string()),
            "masks": pa.list_(pa.string()),
            "cycle": pa.int64(),
            "hardness": pa.float64(),
            "arm": pa.string(),
            "record": pa.string(),
        }
    )
    with path.open("wb") as stream:
        pq.write_table(pa.Table.from_pylist(rows, schema), stream, compression="zstd")


def _row(item: GalleryItem) -> dict[str, Any]:
    width, height = made(item.image).size_px
    return {
        "thumbnail": made(item.image).encoded,
        "width": width,
        "height": height,
        "class": item.class_name,
        "boxes": [list(box.xyxy_px) for box in item.boxes],
        "labels": [box.label for box in item.boxes],
        "masks": list(item.masks),
        "cycle": item.cycle,
        "hardness": item.hardness,
        "arm": item.arm,
        "record": json.dumps(item.record, ensure_ascii=False),
    }


def _read_gallery(path: Path) -> Gallery:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as stream, pq.ParquetFile(stream) as file:
            rows = file.read().to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"{path}: expected a gallery in Parquet, got a file that cannot be read ({error})") from None
    return Gallery([_item(row) for row in rows])


def _item(row: dict[str, Any]) -> GalleryItem:
    return GalleryItem(
        image=Thumbnail(row["thumbnail"], (row["width"], row["height"])),
        class_name=row["class"],
        boxes=[
            Box((box[0], box[1], box[2], box[3]), label) for box, label in zip(row["boxes"], row["labels"], strict=True)
        ],
        masks=row["masks"],
        cycle=row["cycle"],
        hardness=row["hardness"],
        arm=row["arm"],
        record=json.loads(row["record"]),
    )


def _saved(path: Path, item: Sheet | BeforeAfter) -> dict[str, Any]:
    """Write the item's picture; the result holds the other fields, with the file and its size."""
    path.write_bytes(made(item.image).encoded)
    others = {part.name: getattr(item, part.name) for part in fields(item) if part.name != "image"}
    return {"file": path.name, "size_px": made(item.image).size_px, **others}
