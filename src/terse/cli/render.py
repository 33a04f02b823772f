"""`terse render`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

__all__ = ["render"]


def render(
    placements: Path,
    *,
    out: Path,
    data_format: Annotated[str | None, Parameter(name="--format")] = None,
    workers: int | None = None,
    executor: str = "local",
    resume: bool = False,
    side: int | None = None,
    image: Literal["jpeg", "png", "webp"] | None = None,
    quality: int | None = None,
    masks: Literal["auto", "rle", "polygon", "box"] | None = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Draw placements again: edited, in another format, or at another resolution.

    Args:
        placements: The placements.parquet that `terse generate` wrote, an edited copy, or a shard of a run's pool.
        out: A new or empty folder.
        data_format: coco, voc, yolo, webdataset, or an exporter of an installed package; as before by default.
        workers: Processes; all cores by default.
        executor: What maps the shards: local, or an executor of an installed package.
        resume: Go on with a set that was cut short.
        side: Shorter side of the images in pixels.
        image: File format of the images.
        quality: Of JPEG and WebP, 1 to 100.
        masks: rle (exact), polygon or box.
        as_json: Print the result as one JSON object.
    """
    from terse.cli.generate import summary
    from terse.cli.progress import counting
    from terse.generate import render as draw
    from terse.workers import usable_cores

    changes = {"format": data_format, "side_px": side, "image": image, "quality": quality, "masks": masks}
    with counting() as observer:
        result = draw(
            placements,
            out,
            workers=usable_cores() if workers is None else workers,
            executor=executor,
            resume=resume,
            observer=observer,
            **{name: value for name, value in changes.items() if value is not None},
        )
    print(json.dumps(result, ensure_ascii=False) if as_json else summary(result))
    return 0
