"""Read damaged files: is every one read, or refused in one of our sentences?

    python tools/fuzz.py READER --executions N [--seed S] [--seconds S] [--keep FOLDER]

READER is coco, coco_parts (each file read as a small one and as a large one: both say the same), voc, yolo, idx, mat,
recipe, placements, result, image, or all. A file of `tests/faults/corpus/READER` (or one that the reader's writer makes) is
damaged by a seeded draw: bits, bytes, numbers at the edges of their types, pieces cut, repeated and exchanged; JSON values
are replaced by others. What ends in anything but a `TerseError` is printed and, with `--keep`, written into the folder.
Each reader runs in a process of its own with 4 GB of memory, so that a crash of a library or a memory bomb is a finding
too. Prints one line of JSON a reader: executions, those read, those refused, findings, executions a second. The exit status
is 1 where there were findings.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import dataclasses
import hashlib
import importlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).resolve().parent.parent / "tests" / "faults" / "corpus"
MOST_BYTES, SLOW_SECONDS = 4 << 30, 5.0
READERS = ("coco", "coco_parts", "voc", "yolo", "idx", "mat", "recipe", "placements", "result", "image")
WORDS = (
    b"", b"0", b"-1", b"1e999", b"nan", b"-.inf", b"9" * 400, b"null", b"true", b"[]", b"{}", b'"\\ud800"', b"\xff\xfe", b"\x00", b"../..",
    b"!!int x", b"&a [*a]", b"~", b"<!ENTITY a 'b'>", b"&#0;", b"\xe9", b"18446744073709551616", b"1e308", b"[[[[[[[[", b"\r\n", b":",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 1e308, -1e308, 2**63, 2**70, 10**400, float("nan"), float("inf"), "", "x", "\ud800", "\0", "../../x", "x" * 300,
    [], {}, [None], [[]], {"a": None}, [1, 2], [1e308] * 4, {"counts": [0, 10**9], "size": [9, 9]}, "9" * 30,
)  # fmt: skip
EDGES = (b"\x00" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\x00\x00\x00", b"\x00\x00\x00\x80")

Read = Callable[[Path], object]


def main() -> None:
    """Fuzz the readers that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", choices=(*READERS, "all"))
    parser.add_argument("--executions", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    found = 0
    if given.reader == "all":  # once, instead of in the process of each reader
        for name in ("terse.run", "terse.report.run_page"):
            importlib.import_module(name)
    for reader in READERS if given.reader == "all" else (given.reader,):
        counts = fuzz(reader, given.executions, given.seed, given.seconds, given.keep)
        found += counts["findings"]
        print(json.dumps({"reader": reader, "seed": given.seed, **counts}), flush=True)
    sys.exit(bool(found))


def fuzz(
    reader: str, executions: int, seed: int = 0, seconds: float = float("inf"), keep: Path | None = None
) -> dict[str, Any]:
    """Counts of so many executions; a process that dies is replaced and its input a finding."""
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        counts, done, began = {"read": 0, "refused": 0, "findings": 0}, 0, time.monotonic()
        while done < executions and time.monotonic() - began < seconds:
            receive, send = multiprocessing.Pipe(duplex=False)
            left = seconds - (time.monotonic() - began)
            arguments = (reader, Path(folder), range(done, executions), seed, left, keep, send)
            process = multiprocessing.get_context("fork").Process(target=_work, args=arguments)
            process.start()
            send.close()
            ended = False
            while not ended:
                try:
                    kind, done = receive.recv()
                except EOFError:
                    break
                ended = kind == "end"
                if not ended:
                    counts[kind] += 1
            process.join()
            if not ended:
                done += 1
                counts["findings"] += 1
                _report(Path(folder) / "input", f"the process died: {process.exitcode}", keep, reader)
        took = time.monotonic() - began
    return {"executions": done, **counts, "a_second": round(done / took, 1)}


def _work(reader: str, folder: Path, numbers: range, seed: int, seconds: float, keep: Path | None, send: Any) -> None:
    """Executions in a process of its own."""
    from terse.errors import TerseError

    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
    world = folder / "world"
    shutil.rmtree(world, ignore_errors=True)
    world.mkdir()
    target, read = prepared(reader, world)
    seeds = corpus(reader, target)
    read(target)  # imports take seconds
    ended, number = time.monotonic() + seconds, numbers.start
    for number in numbers:
        if time.monotonic() > ended:
            break
        data = damaged(seeds, random.Random(f"{seed} {number}"))
        (folder / "input").write_bytes(data)
        target.write_bytes(data)
        began, kind = time.process_time(), "read"
        try:
            read(target)
        except TerseError:
            kind = "refused"
        except BaseException:
            kind = "findings"
            _report(folder / "input", traceback.format_exc(limit=-6), keep, reader)
        if kind != "findings" and time.process_time() - began > SLOW_SECONDS:
            kind = "findings"
            _report(folder / "input", f"{time.process_time() - began:.1f} s", keep, reader)
        send.send((kind, number))
    else:
        number = numbers.stop
    send.send(("end", number))


def _report(file: Path, text: str, keep: Path | None, reader: str) -> None:
    data = file.read_bytes()
    name = f"{reader}-{hashlib.sha256(data).hexdigest()[:12]}"
    print(f"{name}: {text}", file=sys.stderr, flush=True)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / name).write_bytes(data)


def corpus(reader: str, made: Path) -> list[bytes]:
    """The kept files, and the one that stands where the reader looks."""
    kept = sorted((CORPUS / reader).glob("*")) if (CORPUS / reader).is_dir() else []
    return [made.read_bytes(), *(path.read_bytes() for path in kept)]


def damaged(seeds: list[bytes], draw: random.Random) -> bytes:
    """One of the files, changed."""
    data = draw.choice(seeds)
    if data[:1] in b"{[" and draw.random() < 0.6:
        try:
            return json.dumps(_exchanged(json.loads(data), draw)).encode()
        except (ValueError, RecursionError):
            pass
    content = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        _damage(content, seeds, draw)
    return bytes(content)


def _damage(content: bytearray, seeds: list[bytes], draw: random.Random) -> None:
    at = draw.randrange(len(content) + 1)
    length = min(len(content) - at, draw.choice((1, 2, 4, 8, 64, 1024)))
    kind = draw.randrange(8)
    if kind == 0 and at < len(content):
        content[at] ^= 1 << draw.randrange(8)
    elif kind == 1:
        content[at : at + length] = draw.randbytes(length)
    elif kind == 2:
        content[at : at + length] = b""
    elif kind == 3:
        content[at:at] = content[at : at + length] * draw.choice((1, 2, 50))
    elif kind == 4:
        del content[at:]
    elif kind == 5:
        content[at : at + 4] = draw.choice(EDGES)
    elif kind == 6:
        end = at
        while end < len(content) and chr(content[end]).isalnum():
            end += 1
        content[at:end] = draw.choice(WORDS)
    else:
        other = draw.choice(seeds)
        start = draw.randrange(len(other) + 1)
        content[at : at + length] = other[start : start + length]


def _exchanged(value: Any, draw: random.Random) -> Any:
    """The value with one to three of its parts replaced, removed or repeated."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        places = list(_places(value))
        if not places:
            return copy.deepcopy(draw.choice(VALUES))
        holder, key = draw.choice(places)
        kind = draw.randrange(6)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, list):
            holder.append(holder[key])
        elif kind == 2:
            other, from_key = draw.choice(places)
            holder[key] = json.loads(json.dumps(other[from_key])) if from_key in _keys(other) else None
        elif kind == 3 and isinstance(holder, dict):
            holder[draw.choice(("id", "x", "", "\ud800", str(key) + "s"))] = holder.pop(key)
        else:
            holder[key] = copy.deepcopy(draw.choice(VALUES))  # else a later change would be one of VALUES
    return value


def _keys(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with every key of it."""
    open_ = [value]
    while open_:
        one = open_.pop()
        for key in list(_keys(one)) if isinstance(one, dict | list) else ():
            yield one, key
            open_.append(one[key])


def prepared(reader: str, world: Path) -> tuple[Path, Read]:
    """The file to damage, made beside all that the reader needs, and the reader."""
    made: tuple[Path, Read] = globals()[f"_{reader}"](world)
    return made


def _photo(path: Path, width: int = 64, height: int = 48) -> None:
    import numpy as np
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype("uint8")).save(path)


def _used(annotations: Any, *, masks: bool = True) -> None:
    """What a run asks of a source: cut-outs with their masks, and images with their truth."""
    import numpy as np

    from terse.sources.banks import PhotoImages
    from terse.sources.photo_foregrounds import PhotoForegrounds

    if masks:
        foregrounds = PhotoForegrounds(annotations, patch_px=24, every_class=False)
        foregrounds.fetch(np.arange(min(3, len(foregrounds))))
    images = PhotoImages(annotations, canvas_px=24)
    images.fetch(np.arange(min(2, len(images))))


def _coco(world: Path) -> tuple[Path, Read]:
    from terse.sources.coco import read_coco

    _photo(world / "images" / "0.jpg")
    _photo(world / "images" / "1.jpg")
    ring = [5, 5, 30, 5, 30, 30, 5, 30]
    whole = {"image_id": 1, "category_id": 7, "bbox": [5, 5, 25, 25], "area": 625.0, "iscrowd": 0}
    runs = {"size": [48, 64], "counts": [100, 20, 28, 20, 2904]}
    packed = {"size": [48, 64], "counts": "d0PO"}
    points = {"keypoints": [9, 9, 2, 12, 12, 1], "num_keypoints": 2}
    content = {
        "images": [{"id": k + 1, "file_name": f"{k}.jpg", "width": 64, "height": 48, "license": 1} for k in range(2)],
        "licenses": [{"id": 1, "name": "CC0", "url": ""}],
        "categories": [
            {"id": 7, "name": "cat", "keypoints": ["a", "b"], "skeleton": [[1, 2]]},
            {"id": 8, "name": "dog"},
        ],
        "annotations": [
            {"id": 1, **whole, "segmentation": [ring], **points},
            {"id": 2, **whole, "segmentation": runs, "iscrowd": 1},
            {"id": 3, **whole, "image_id": 2, "segmentation": packed, "category_id": 8},
        ],
    }
    (world / "c.json").write_text(json.dumps(content))
    return world / "c.json", lambda path: _used(read_coco(path, world / "images"))


def _plain(value: Any) -> Any:
    """Columns as lists, arrays too."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(value)
    return value.tolist() if hasattr(value, "tolist") else value


def _coco_parts(world: Path) -> tuple[Path, Read]:
    from terse.errors import DataError
    from terse.sources import coco, indexing, json_lists

    file, _ = _coco(world)
    content = json.loads(file.read_text())
    (whole, *_) = content["annotations"]
    plain = {key: value for key, value in whole.items() if "keypoints" not in key}
    content["annotations"] = [plain | {"id": k} for k in range(3)] + content["annotations"] + [plain | {"id": 9}] * 2
    file.write_text(json.dumps(content))

    def read(path: Path) -> str:
        try:
            annotations = coco.read_coco(path, world / "images")
        except DataError as error:
            return str(error)
        return repr({item.name: _plain(getattr(annotations, item.name)) for item in dataclasses.fields(annotations)})

    def both(path: Path) -> None:
        json_lists._LARGE, coco._FEW, indexing._ROWS = 1 << 30, 64, 50_000
        small = read(path)
        json_lists._LARGE, json_lists._CHUNK, coco._FEW, indexing._ROWS = 0, 50, 1, 2
        large = read(path)
        refused = not large.startswith("{") and not small.startswith("{")  # of two faults, either may be named
        if large != small and not refused and "got it twice" not in large:  # in a small file the last of a name counts
            raise AssertionError(f"small: {small[:2000]}\nlarge: {large[:2000]}")
        if not small.startswith("{"):
            raise DataError(small)

    return file, both


def _voc(world: Path) -> tuple[Path, Read]:
    from terse.sources.voc import read_voc

    _photo(world / "JPEGImages" / "0.jpg")
    page = world / "Annotations" / "0.xml"
    page.parent.mkdir()
    thing = (
        "<object><name>{}</name><pose>Left</pose><truncated>0</truncated><difficult>0</difficult><bndbox><xmin>5</xmin><ymin>6</ymin>"
        "<xmax>40</xmax><ymax>30</ymax></bndbox><part><name>head</name><bndbox><xmin>5</xmin><ymin>6</ymin><xmax>9</xmax><ymax>9</ymax>"
        "</bndbox></part></object>"
    )
    page.write_text(
        '<?xml version="1.0" encoding="utf-8"?><annotation><folder>v</folder><filename>0.jpg</filename><size><width>64</width>'
        f"<height>48</height><depth>3</depth></size><segmented>0</segmented>{thing.format('cat')}{thing.format('dog')}</annotation>"
    )
    return page, lambda _: _used(read_voc(world), masks=False)


def _yolo(world: Path) -> tuple[Path, Read]:
    from terse.sources.yolo import read_yolo

    _photo(world / "images" / "0.jpg")
    (world / "data.yaml").write_text("path: .\ntrain: images\nnames: [cat, dog]\n")
    labels = world / "labels" / "0.txt"
    labels.parent.mkdir()
    labels.write_text("0 .5 .5 .3 .4\n1 .2 .2 .4 .2 .4 .4 .2 .4\n0 0.5 0.5 0.2 0.2 0.9\n")
    settings = b"path: .\ntrain: images\n"
    is_settings = (b"path", b"names", b"train", b"nc:")

    def read(path: Path) -> object:
        data = path.read_bytes()
        (world / "data.yaml").write_bytes(
            data if any(word in data for word in is_settings) else settings + b"names: [cat, dog]\n"
        )
        return _used(read_yolo(world / "data.yaml"))

    return labels, read


def _idx(world: Path) -> tuple[Path, Read]:
    from terse.sources.digits.banks import read_idx

    made = world / "images-idx3-ubyte"
    made.write_bytes(b"\0\0\x08\x03" + (2).to_bytes(4, "big") + (28).to_bytes(4, "big") * 2 + bytes(range(196)) * 8)
    gz = world / "images-idx3-ubyte.gz"

    def read(path: Path) -> object:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            gz.write_bytes(data)
            return read_idx(gz)
        return read_idx(path)

    return made, read


def _mat(world: Path) -> tuple[Path, Read]:
    import numpy as np
    from scipy.io import savemat

    from terse.sources.digits.banks import read_affnist

    fields = {
        "image": np.arange(3200, dtype=np.uint8).reshape(1600, 2),
        "label_int": np.array([[3, 4]], dtype=np.uint8),
    }
    savemat(world / "1.mat", {"affNISTdata": fields}, do_compression=True)
    return world / "1.mat", read_affnist


def _recipe(world: Path) -> tuple[Path, Read]:
    from terse.recipe import dump_recipe, load_recipe

    made = world / "r.yaml"
    made.write_text(dump_recipe(load_recipe("quickstart")))
    return made, load_recipe


def _placements(world: Path) -> tuple[Path, Read]:
    import pyarrow.parquet as pq

    from terse.placements_table import from_table, read_table
    from terse.poses import build_poses
    from terse.recipe import load_recipe

    shutil.copy(CORPUS.parent.parent / "goldens" / "placements" / "placements.parquet", world / "p.parquet")
    table = pq.read_table(world / "p.parquet").slice(0, 12)
    pq.write_table(table, world / "p.parquet", compression="none")
    poses = build_poses(load_recipe("paste").poses)
    classes = dict(zip(table.column("foreground").to_pylist(), table.column("class").to_pylist(), strict=True))
    sources = _AnySources(sorted(key for key in classes if key), classes)
    return world / "p.parquet", lambda path: from_table(read_table(path)[0], poses, sources, path.name)


class _AnySources:
    """Numbers whatever is asked for."""

    def __init__(self, keys: list[str], classes: dict[str, str]) -> None:
        self.keys, self._classes = keys, classes
        self.foregrounds = self.backgrounds = self

    def class_of(self, index: int) -> str:
        return self._classes[self.keys[index]]

    def licence(self, index: int) -> str:
        return ""

    def sha256(self, index: int) -> str:
        return ""

    def index(self, key: str, sha256: str | None, where: str) -> int:
        return self.keys.index(key) if key in self.keys else 0


def _result(world: Path) -> tuple[Path, Read]:
    from terse.pictures.page_folder import Shown, write_page
    from terse.report.run_page import run_page

    golden = CORPUS.parent.parent / "report" / "golden_run"
    shutil.copytree(golden, world / "run")
    write_page(world / "run", Shown())
    return world / "run" / "result.json", lambda path: run_page(path.parent)


def _image(world: Path) -> tuple[Path, Read]:
    from terse.errors import DataError
    from terse.sources.decode import probe, read_alpha, read_rgb, read_values

    _photo(world / "0.jpg")

    def read(path: Path) -> object:
        size = probe(path, path.name)
        read_rgb(path, path.name, size)
        for other in (read_alpha, read_values):
            with contextlib.suppress(DataError):
                other(path, path.name)
        return size

    return world / "0.jpg", read


if __name__ == "__main__":
    main()
