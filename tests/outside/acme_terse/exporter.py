"""An exporter: a text file with one object on each line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from terse.export.sample import ExportConfig, Sample, SetInfo
from terse.registry import register


@register("exporter", "acme_lines")
class LinesConfig(ExportConfig):
    """`objects.txt`: image, class, box."""

    kind: Literal["acme_lines"] = "acme_lines"

    def build(self) -> Any:
        return LinesExporter()


class LinesExporter:
    shard_images = 2
    val_folder = "val/"
    image_folder = "pictures/"

    def shard(self, out: Path, part: Path, info: SetInfo, number: int) -> "Writer":
        return Writer(out / self.image_folder, part / "objects.txt", info)

    def assemble(self, out: Path, parts: Sequence[Path], info: SetInfo) -> None:
        (out / "objects.txt").write_text("".join((part / "objects.txt").read_text("utf-8") for part in parts), "utf-8")


class Writer:
    def __init__(self, images: Path, lines: Path, info: SetInfo) -> None:
        images.mkdir(exist_ok=True)
        self.images, self.info, self.file = images, info, lines.open("w", encoding="utf-8")

    def add(self, sample: Sample) -> None:
        name = self.info.name(sample.number)
        (self.images / name).write_bytes(sample.data)
        for item in sample.objects:
            box = " ".join(f"{value:g}" for value in item.box_px)
            self.file.write(f"{name} {self.info.classes[item.label]} {box}\n")

    def close(self, *, whole: bool = True) -> None:
        self.file.close()
