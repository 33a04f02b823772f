"""WebDataset: tar shards of an image and a JSON each, read as a stream."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from terse.export.coco import annotation_of
from terse.export.sample import ExportConfig, Sample, SetInfo
from terse.registry import register

__all__ = ["WebDatasetExporter"]

_FOLDER = "shards"


@register("exporter", "webdataset")
class WebDatasetExporter(ExportConfig):
    """`shards/000000.tar` and so on.

    The JSON holds the image's fields and its objects as COCO annotations, with `category` by name.

    Times and owners in the tar headers are zero, so that a shard made again has the same bytes.
    """

    kind: Literal["webdataset"] = "webdataset"
    shard_images: ClassVar[int] = 512
    val_folder: ClassVar[str] = "val/"
    image_folder: ClassVar[str] = ""  # images are members of the shards

    def shard(self, out: Path, part: Path, info: SetInfo, number: int) -> _TarWriter:
        """A writer of one tar."""
        return _TarWriter(out, info, number)

    def holding(self, number: int, names: Sequence[str]) -> Sequence[str]:
        """The shard's tar."""
        return [f"{_FOLDER}/{number:06d}.tar"]

    def assemble(self, out: Path, parts: Sequence[Path], info: SetInfo) -> None:
        """Write the class names."""
        text = json.dumps(list(info.classes), ensure_ascii=False)
        (out / "classes.json").write_text(text + "\n", "utf-8")


class _TarWriter:
    def __init__(self, out: Path, info: SetInfo, number: int) -> None:
        self._info = info
        folder = out / _FOLDER
        folder.mkdir(exist_ok=True)
        self._path = folder / f"{number:06d}.tar"
        temporary = self._path.with_suffix(".tmp")
        self._file = tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - closed in close()

    def add(self, sample: Sample) -> None:
        """Two members of one stem."""
        stem = Path(self._info.name(sample.number)).stem
        width, height = sample.size_px
        objects = [
            {
                **annotation_of(item, sample.number, sample.size_px, self._info),
                "category": self._info.classes[item.label],
            }
            for item in sample.objects
        ]
        about = {
            "width": width,
            "height": height,
            "background": sample.background,
            "license": sample.licence,
            "blend": sample.blend,
            **sample.extra,
            "objects": objects,
        }
        self._member(stem + self._info.suffix, sample.data)
        self._member(f"{stem}.json", json.dumps(about, ensure_ascii=False).encode())

    def close(self, *, whole: bool = True) -> None:
        """A whole tar gets its name."""
        temporary = self._path.with_suffix(".tmp")
        try:
            self._file.close()
            if whole:
                temporary.replace(self._path)
        finally:
            temporary.unlink(missing_ok=True)  # of a shard that is not whole

    def _member(self, name: str, data: bytes) -> None:
        header = tarfile.TarInfo(name)
        header.size = len(data)
        self._file.addfile(header, io.BytesIO(data))
