"""One shard: placements, then pixels, then the mark that it is whole. Made again, it has the same bytes."""

import hashlib
import json
import shutil
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from terse.errors import DataError, RunError
from terse.export.sample import Exporter, Sample, SetInfo
from terse.generate.draw import Drawing, draw_samples
from terse.generate.plan import Shard
from terse.generate.propose import Proposals, in_each_blend, propose
from terse.generate.real import VAL, real_placements
from terse.generate.trained import LoadPlayers
from terse.placements import Placements, Role
from terse.placements_table import from_table, to_table
from terse.process import arrow_without_pandas
from terse.progress import Observer
from terse.requests import Limits
from terse.sources.annotations import Skeleton, common_skeleton

__all__ = ["PARTS", "Job", "Worker", "made_folder", "part_folder", "start_worker"]

PARTS = ".parts"


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker is given once."""

    drawing: Drawing
    exporter: Exporter
    out: Path
    count: int
    about: Mapping[str, Any]
    players: LoadPlayers | None = None  # None draws rows of a table
    limits: Limits = field(default_factory=Limits)
    real: Mapping[str, Drawing] = field(default_factory=dict)  # of each split of real images
    where: str = "placements"  # the file of the rows

    def drawing_of(self, shard: Shard) -> Drawing:
        """What the shard's images are drawn with."""
        return self.real[shard.split] if shard.split else self.drawing

    def info(self, split: str) -> SetInfo:
        """What an exporter is told of the whole set, or of its val."""
        settings, val = self.drawing.settings, VAL in self.real
        name = VAL if split == VAL else "train"
        return SetInfo(self.drawing.material.classes, settings.suffix, settings.masks, name, val, self.skeleton()[0])

    def folders(self) -> Iterator[tuple[str, Path]]:
        """What every machine must have, each with the name of what it holds."""
        yield "set", self.out
        for drawing in (self.drawing, *self.real.values()):
            for bank in (drawing.material.foregrounds, drawing.material.backgrounds):
                if bank.folder is not None:
                    yield "source", bank.folder

    def skeleton(self) -> tuple[Skeleton | None, str]:
        """The keypoints of the set's objects, and a sentence where the sources have different ones."""
        material, real = self.drawing.material, (one.material.backgrounds for one in self.real.values())
        return common_skeleton(bank.skeleton for bank in (material.foregrounds, material.backgrounds, *real))

    def folder(self, split: str) -> str:
        """Where the split stands in the set, with its slash."""
        return self.exporter.val_folder if split == VAL else ""


@dataclass(slots=True)
class _Tally:
    images: int = 0
    objects: int = 0
    per_class: dict[str, int] = field(default_factory=dict)
    seen: int = 0  # pasted objects with a label, ignored ones too
    hidden: int = 0  # pasted objects of which nothing is seen
    refused: dict[str, int] = field(default_factory=dict)
    hardness: tuple[float, float, float] | None = None  # least, median, most of the candidates looked at
    sums: list[str] = field(default_factory=list)


def part_folder(out: Path, number: int) -> Path:
    """Where a whole shard's part is."""
    return out / PARTS / f"{number:06d}"


def made_folder(out: Path, number: int) -> Path:
    """Where a shard's part is until it is on the disk: the caller of the executor makes it whole."""
    return part_folder(out, number).with_suffix(".made")


def start_worker(job: Job, observer: Observer) -> Callable[[Shard], dict[str, Any]]:
    """What every worker of the executor calls once."""
    arrow_without_pandas()
    return Worker(job).make


class Worker:
    """Makes shards; lives in a process of its own, or in the caller's."""

    def __init__(self, job: Job) -> None:
        self._job = job
        for what, folder in job.folders():
            if not folder.exists():
                raise DataError(
                    f"{folder}: expected the {what}'s folder on every machine that works, got none on "
                    f"{socket.gethostname()}; share it between the machines under this path, or give a URL"
                )
        self._players = job.players() if job.players is not None else None
        if self._players is not None:
            self._players.proposer.limits = job.limits

    def make(self, shard: Shard) -> dict[str, Any]:
        """Make the shard, or raise and leave nothing that looks made.

        Raises:
            RunError: the disk is full, or the folder cannot be written.
            DataError: a source cannot be read.
        """
        job, part = self._job, part_folder(self._job.out, shard.number).with_suffix(".tmp")
        try:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            images, proposals = self._plan(shard)
            drawing = job.drawing_of(shard)
            placed = images.take(np.zeros(0, dtype=np.int64)) if shard.split else images  # real ones have no placement
            table = to_table(placed, drawing.poses, drawing.material, job.about)
            with (part / "placements.parquet").open("wb") as stream:  # pyarrow takes some paths for URLs
                pq.write_table(table, stream, compression="zstd")
            tally = self._draw(shard, part, images)
            tally.hidden = int((images.role == Role.OBJECT).sum()) - tally.seen
            tally.refused = self._images_refused(proposals)
            if proposals.hardness:
                least, median, most = np.quantile(proposals.hardness, (0, 0.5, 1)).tolist()
                tally.hardness = least, median, most
            (part / "SHA256SUMS").write_text("".join(tally.sums), "utf-8")
            names = ("images", "objects", "per_class", "hidden", "refused", "hardness")
            done = {name: getattr(tally, name) for name in names}
            (part / "done.json").write_text(json.dumps(done, ensure_ascii=False), "utf-8")
            made = made_folder(job.out, shard.number)
            shutil.rmtree(made, ignore_errors=True)
            part.rename(made)
        except OSError as error:
            reason = error.strerror or str(error)
            raise RunError(
                f"{job.out}: expected room to write shard {shard.number}, got: {reason}; then `resume`"
            ) from None
        return done

    def _plan(self, shard: Shard) -> tuple[Placements, Proposals]:
        drawing, limits = self._job.drawing_of(shard), self._job.limits
        if shard.split:
            images = real_placements(drawing, shard)
            return images, Proposals(images)
        if self._players is None:
            images = from_table(shard.table, drawing.poses, drawing.material, self._job.where)
            canvases = zip(images.background.tolist(), images.size_px.tolist(), strict=True)
            sizes_px = [drawing.asked_px((w, h)) if w > 0 else drawing.canvas_px(b) for b, (w, h) in canvases]
            return replace(images, size_px=np.array(sizes_px)), Proposals(images)
        proposals = propose(drawing, self._players, shard.first_scene, shard.labels)
        if not limits.all_blends:
            return proposals.accepted, proposals
        every = in_each_blend(proposals.accepted, limits.blends)
        return every.take(np.flatnonzero(every.number < self._job.count)), proposals

    def _images_refused(self, proposals: Proposals) -> dict[str, int]:
        """How many images there are not, by the reason: a scene that is drawn in each blend is as many."""
        copies, count = self._job.limits.copies, self._job.count
        lost: Counter[str] = Counter()
        for scene, why in proposals.refused.items():
            lost[why] += min(copies, count - scene * copies)
        return dict(sorted(lost.items()))

    def _draw(self, shard: Shard, part: Path, images: Placements) -> _Tally:
        job, tally, info = self._job, _Tally(), self._job.info(shard.split)
        folder = job.out / job.folder(shard.split)
        folder.mkdir(exist_ok=True)
        writer = job.exporter.shard(folder, part, info, shard.number)
        try:
            for sample in draw_samples(job.drawing_of(shard), images):
                writer.add(replace(sample, extra={"real": True}) if shard.split else sample)
                _count(sample, tally, info)
        except BaseException:
            writer.close(whole=False)
            raise
        writer.close()
        return tally


def _count(sample: Sample, tally: _Tally, info: SetInfo) -> None:
    tally.images += 1
    tally.seen += sum(item.pasted for item in sample.objects)
    for item in sample.objects:
        if item.pasted and not item.ignore:
            name = info.classes[item.label]
            tally.objects += 1
            tally.per_class[name] = tally.per_class.get(name, 0) + 1
    tally.sums.append(f"{hashlib.sha256(sample.data).hexdigest()}  {info.name(sample.number)}\n")
