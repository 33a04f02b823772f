"""Files as broken disks, other tools and attackers make them: one sentence and status 2, or read without harm; never a bug."""

import json
import random
import shutil
import struct
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from terse.cli.main import main

MANY = b"9" * 5000
BOMB = b"".join(
    b"%s: &%s [%s]\n" % (name, name, b", ".join([b"*" + before] * 9 if before else [b"x"] * 9))
    for before, name in zip((b"", *(bytes([k]) for k in b"abcdef")), (bytes([k]) for k in b"abcdefg"), strict=True)
)
RECIPES = {
    "latin": b"name: caf\xe9\nbase: quickstart\n",
    "utf16": "base: quickstart\n".encode("utf-16"),
    "tagged_integer": b"base: quickstart\nseed: !!int x\n",
    "digits": b"base: quickstart\nseed: " + MANY,
    "deep": b"base: quickstart\nname: " + b"[" * 800 + b"]" * 800,
    "date": b"base: quickstart\nseed: 2024-99-99\n",
    "surrogate": b'base: quickstart\nname: "\\ud800"\n',
    "aliases": BOMB + b"base: quickstart\nname: *g\n",
    "path": b"base: quickstart\nname: ../../up\n",
    "object": b"base: !!python/object:os.system x\n",
}
YOLO = {
    "latin": (b"path: .\ntrain: images\nnames: {0: caf\xe9}\n", 2),
    "tagged_integer": (b"path: .\ntrain: images\nnames: {0: !!int x}\n", 2),
    "deep": (b"path: .\ntrain: images\nnames: " + b"[" * 800, 2),
    "digits": (b"path: .\ntrain: images\nnc: " + MANY + b"\nnames: [a]\n", 2),
    "list": (b"path: .\ntrain: list.txt\nnames: [a]\n", 2),
}

MADE = ("generate", "paste", "foregrounds.cutouts=cuts", "backgrounds.images=back", "--count", "3", "--workers", "0")


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A folder to work in with a cut-out, a background and a YOLO set."""
    monkeypatch.chdir(tmp_path)
    random_pixels = np.random.default_rng(0)
    for folder in ("cuts/a", "back", "y/images", "y/labels"):
        (tmp_path / folder).mkdir(parents=True)
    alpha = np.pad(np.full((40, 40), 255), 5)
    cut = np.dstack([random_pixels.integers(0, 255, (50, 50, 3)), alpha]).astype(np.uint8)
    Image.fromarray(cut).save("cuts/a/0.png")
    photo = Image.fromarray(random_pixels.integers(0, 255, (120, 160, 3)).astype(np.uint8))
    photo.save("back/0.jpg")
    photo.save("y/images/0.jpg")
    (tmp_path / "y" / "labels" / "0.txt").write_text("0 .5 .5 .3 .3\n")
    (tmp_path / "y" / "list.txt").write_bytes(b"images/caf\xe9.jpg\n")
    return tmp_path


def status(capfd, *arguments):
    """The exit status, after a look that nothing was called a bug."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in arguments])
    err = capfd.readouterr().err
    assert "bug of ours" not in err, err
    assert "Traceback" not in err, err
    assert ended.value.code in (0, 2)
    return ended.value.code


@pytest.mark.parametrize("name", RECIPES)
def test_recipes(world, capfd, name):
    (world / "r.yaml").write_bytes(RECIPES[name])
    assert status(capfd, "check", "r.yaml") == 2


@pytest.mark.parametrize(
    "override",
    ["seed=" + "9" * 5000, "name=" + "[" * 3000, "data.root=~nosuchuser/x", "data.root=" + "x" * 300, "synthesis.optimizer.lr=.inf"],
)  # fmt: skip
def test_overrides(world, capfd, override):
    assert status(capfd, "check", "quickstart", override) == 2


@pytest.mark.parametrize("name", YOLO)
def test_yolo(world, capfd, name):
    content, expected = YOLO[name]
    (world / "y" / "data.yaml").write_bytes(content)
    assert status(capfd, "check", "y/data.yaml") == expected


@pytest.mark.parametrize("line", [b"0 .5 .5 .3 .3 \xe9\n", MANY + b" .5 .5 .3 .3\n", b"0 nan inf .3 .3\n"])
def test_yolo_labels(world, capfd, line):
    (world / "y" / "data.yaml").write_text("path: .\ntrain: images\nnames: [a]\n")
    (world / "y" / "labels" / "0.txt").write_bytes(line)
    status(capfd, "check", "y/data.yaml")


def coco(world, name="a", **changes):
    """A COCO file of one object, changed."""
    item = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40], "area": 1600, "iscrowd": 0}
    item["segmentation"] = [[10, 10, 50, 10, 50, 50, 10, 50]]
    content = {
        "images": [{"id": 1, "file_name": "0.jpg", "width": 160, "height": 120, "license": 1}],
        "licenses": [{"id": 1, "name": changes.pop("licence", "x")}],
        "categories": [{"id": 1, "name": name}],
        "annotations": [{**item, **changes}],
    }
    (world / "c.json").write_text(json.dumps(content))
    return world / "c.json"


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [120, 160], "counts": [0, 100_000_000]},
        {"size": [100_000, 100_000], "counts": [0, 10_000_000_000]},
        {"size": [120, 160], "counts": "\u00e9zzzz~~"},
        [[1e308] * 8],
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_masks(world, capfd, segmentation):
    status(capfd, "check", coco(world, segmentation=segmentation), "--images", "back")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"images": ' + "9" * 5000 + "}", "\udcff"])
def test_json(world, capfd, text):
    (world / "c.json").write_text(text, errors="surrogateescape")
    assert status(capfd, "check", "c.json", "--images", "back") == 2


def test_names_that_no_page_table_or_terminal_can_hold(world, capfd):
    for name in ("a\ud800", "a\u001b[31m\u0001"):
        made = coco(world, name, licence="x\ny\u001b[31m")
        assert status(capfd, "check", made, "--images", "back") == 0
        out = world / f"set-{len(name)}"
        fore = [f"foregrounds.coco={made}", "foregrounds.images=back", "backgrounds.images=back", "cleanup=false"]
        main_arguments = ["generate", "paste", *fore, "--count", "2", "--workers", "0", "--format", "voc", "--out", out]
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in main_arguments])
        assert ended.value.code == 0
        assert "\u001b" not in "".join(capfd.readouterr())
        for file in out.rglob("Annotations/*.xml"):
            ET.parse(file)


def test_an_xml_file_of_an_encoding_that_nobody_knows_is_left_out(world, capfd):
    (world / "v" / "Annotations").mkdir(parents=True)
    (world / "v" / "JPEGImages").mkdir()
    xml = (
        "<annotation><filename>{}.jpg</filename><size><width>160</width><height>120</height></size><object><name>a</name>"
        "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>50</xmax><ymax>50</ymax></bndbox></object></annotation>"
    )
    for k in range(3):
        shutil.copy("back/0.jpg", world / "v" / "JPEGImages" / f"{k}.jpg")
    broken = ('<?xml version="1.0" encoding="martian-8"?>' + xml.format(1), "<a>" * 50_000)
    for k, text in enumerate((xml.format(0), *broken)):
        (world / "v" / "Annotations" / f"{k}.xml").write_text(text)
    assert status(capfd, "check", "v") == 0


def test_digits_of_rank_200(world, capfd):
    (world / "mn").mkdir()
    one = struct.pack(">I", 1)
    (world / "mn" / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08" + bytes([200]) + one * 200)
    for name in ("train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (world / "mn" / name).write_bytes(b"\0\0\x08\1" + one + b"\0")
    assert status(capfd, "check", "quickstart", "data.root=mn") == 2


def test_a_jpeg_without_data(world, capfd):
    photo = (world / "back" / "0.jpg").read_bytes()
    size, scan = photo.index(b"\xff\xc0"), photo.index(b"\xff\xda")
    header = photo[: size + 5] + struct.pack(">HH", 8000, 8000) + photo[size + 9 : scan + 14]
    (world / "bad").mkdir()
    (world / "bad" / "0.jpg").write_bytes(header + b"\xff\xd9")
    assert status(capfd, "check", "bad") == 2


def test_placements_with_flipped_bits(world, capfd):
    assert status(capfd, *MADE, "--out", "set", "--no-page") == 0
    whole, bits = (world / "set" / "placements.parquet").read_bytes(), random.Random(0)
    for number in range(25):
        data = bytearray(whole)
        for _ in range(1 + number % 4):
            data[bits.randrange(len(data))] ^= 1 << bits.randrange(8)
        (world / "flipped.parquet").write_bytes(data)
        shutil.rmtree(world / "again", ignore_errors=True)
        status(capfd, "render", "flipped.parquet", "--out", "again", "--workers", "0")


def test_a_disk_that_is_full_or_may_not_be_written_is_no_bug(world, capfd, monkeypatch):
    import errno

    import terse.generate.run_job as module

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device", "set/annotations.json")

    monkeypatch.setattr(module, "assemble_common", full)
    assert status(capfd, *MADE, "--out", "set") == 2
