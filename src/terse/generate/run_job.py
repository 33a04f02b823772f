"""The work of a job: its shards are made, and joined to a set."""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from terse.errors import DataError, TerseError
from terse.generate.manifest import assemble_common, write_manifest
from terse.generate.place import Place
from terse.generate.plan import Shard
from terse.generate.real import VAL
from terse.generate.settling import Settling
from terse.generate.shard import Job, made_folder, part_folder
from terse.progress import Observer, heard_by
from terse.workers import Executor

__all__ = ["run_job"]


def run_job(
    job: Job, place: Place, shards: Sequence[Shard], executor: Executor, observer: Observer | None
) -> dict[str, Any]:
    """Make the shards that are missing, join the parts of all, and write the manifest; the set's summary.

    Raises:
        DataError: no placement met the limits, so that there is not one image; the place is as empty as it was.
        TerseError: what a worker or the executor refuses.
    """
    began = time.monotonic()
    done = {shard.number: _done(job, place, shard) for shard in shards}
    fresh, images = 0, sum(tally["images"] for tally in done.values() if tally)
    total = job.count + sum(len(shard.rows) for shard in shards)
    barren = [number for number, tally in done.items() if tally is not None and _is_barren(tally)]
    # Where a shard accepts nothing, no later one is begun; those under way are ended well.
    missing = (shard for shard in shards if done[shard.number] is None)
    left = (shard for shard in missing if shard.split or not barren or shard.number < min(barren))
    work = place.work(job, apart=getattr(executor, "apart", False))
    making = contextlib.closing(executor.map(work, left))
    with _cleared_where_nothing_began(place), Settling(place) as settling, making as results:
        for shard, made in results:
            tally = place.take(shard.number, made)
            settling.add(made_folder(job.out, shard.number), part_folder(job.out, shard.number))
            done[shard.number] = tally
            fresh, images = fresh + tally["images"], images + tally["images"]
            barren += [shard.number] if _is_barren(tally) else []
            heard_by(observer).advance("images", images, total)
    kept = [shard for shard in shards if shard.split or not barren or shard.number <= min(barren)]
    tallies = [known for shard in kept if not shard.split and (known := done[shard.number])]
    summary = _summary(job, tallies)
    if not summary["images"]:
        place.clear()  # it was empty when it became this set's
        raise DataError(_nothing(tallies[-1]))
    numbers = {shard.number for shard in kept}
    _discard(job, place, [shard for shard in shards if shard.number not in numbers])
    parts = [part_folder(job.out, shard.number) for shard in kept]
    for split in ("train", VAL) if VAL in job.real else ("train",):
        own = [part for part, shard in zip(parts, kept, strict=True) if (shard.split == VAL) == (split == VAL)]
        job.exporter.assemble(job.out / job.folder(split), own, job.info(split))
    subfolders = [job.folder(shard.split) + job.exporter.image_folder for shard in kept]
    assemble_common(job.out, parts, subfolders)
    limits = asdict(job.limits) if job.players is not None else None
    write_manifest(job.out, job.about, limits, job.drawing.material.describe(), summary)
    place.finish()
    seconds = time.monotonic() - began
    rate = fresh / seconds if seconds else 0.0
    return {
        "out": place.name,
        **summary,
        "seconds": round(seconds, 3),
        "images_per_second": round(rate, 1) or round(rate, 4),  # 0 says that nothing was made
    }


@contextlib.contextmanager
def _cleared_where_nothing_began(place: Place) -> Iterator[None]:
    """Work that ends before the first file, as where no cluster answers, leaves the place as empty as it was."""
    try:
        yield
    except TerseError:
        if place.untouched():
            place.take_back()
        raise


def _discard(job: Job, place: Place, shards: Sequence[Shard]) -> None:
    """Files of shards that are not part of the set after all."""
    if not shards:
        return
    by_image = bool(job.exporter.image_folder)
    first = shards[0].first_image if by_image else shards[0].number
    last = job.count if by_image else shards[-1].number + 1  # real images have later numbers
    place.discard(lambda path: path.parent != place.folder and path.stem.isdigit() and first <= int(path.stem) < last)


def _done(job: Job, place: Place, shard: Shard) -> dict[str, Any] | None:
    """The tally of a shard that was made before; None where it is not whole, or its images are gone since."""
    part = part_folder(job.out, shard.number)
    try:
        tally: dict[str, Any] = json.loads((part / "done.json").read_text("utf-8"))
        names = [line.split("  ", 1)[1] for line in (part / "SHA256SUMS").read_text("utf-8").splitlines()]
    except (OSError, ValueError, IndexError):
        return None
    files = job.exporter.holding(shard.number, names)
    return tally if all(place.has(job.folder(shard.split) + file) for file in files) else None


def _is_barren(tally: dict[str, Any]) -> bool:
    return bool(tally["refused"]) and not tally["images"]


def _summary(job: Job, tallies: Sequence[dict[str, Any]]) -> dict[str, Any]:
    per_class: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for tally in tallies:
        per_class.update(tally["per_class"])
        refused.update(tally["refused"])
    skipped = [f"{number} of {job.count} images: {reason}" for reason, number in sorted(refused.items())]
    hidden = sum(tally["hidden"] for tally in tallies)
    skipped += [f"{hidden} pasted objects: hidden wholly, they have no label"] if hidden else []
    of_real = (text for drawing in job.real.values() for text in drawing.material.backgrounds.skipped)
    return {
        "images": sum(tally["images"] for tally in tallies),
        "objects": sum(tally["objects"] for tally in tallies),
        "per_class": {name: per_class[name] for name in job.drawing.material.classes if per_class[name]},
        "skipped": list(dict.fromkeys([*skipped, *_of_keypoints(job), *job.drawing.material.skipped, *of_real])),
        **(
            {"real": {name: len(drawing.material.backgrounds) for name, drawing in job.real.items()}}
            if job.real
            else {}
        ),
    }


def _of_keypoints(job: Job) -> list[str]:
    """What the set does not say of its objects' keypoints."""
    skeleton, unlike = job.skeleton()
    if skeleton is not None and job.drawing.material.foregrounds.skeleton is None:
        return ["keypoints of pasted objects: the foregrounds' source has none, only other objects have them"]
    return [unlike] if unlike else []


def _nothing(tally: dict[str, Any]) -> str:
    """Why there is not one image."""
    reason = next(iter(tally["refused"]))
    if tally["hardness"] is None:
        return f"limits: expected placements that meet them, got {reason}; loosen the limit or the poses' ranges"
    least, median, most = tally["hardness"]
    return (
        f"hardness: expected composites inside the window, got {reason}; those that were looked at have "
        f"{least:.3f} to {most:.3f}, half of them below {median:.3f}"
    )
