"""Copies of a photograph are known whatever they are called; other photographs are not taken for them."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from terse.check.findings import Code, Found, Part, Show
from terse.check.pictures import hidden_objects, picture_prints, repeated, same_pictures, shared
from terse.check.thumbnails import gallery_of
from terse.sources.annotations import Annotations
from terse.sources.folder import read_folder


def photograph(seed):
    """Soft blotches, as of a real picture out of focus."""
    rng = np.random.default_rng(seed)
    blotches = rng.uniform(0, 255, (9, 12, 3)).astype(np.float32)
    return Image.fromarray(
        np.clip(cv2.resize(blotches, (240, 180), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)
    )


def test_copies_are_found_and_other_pictures_are_not(tmp_path):
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
    for seed in range(12):
        photograph(seed).save(tmp_path / f"one/{seed:02}.png")
    copies = {"a.jpg": 3, "b.jpg": 7, "c.jpg": 99}
    for (name, seed), size in zip(copies.items(), ((120, 90), (480, 360), (240, 180)), strict=True):
        photograph(seed).resize(size, Image.Resampling.LANCZOS).save(tmp_path / "other" / name, quality=60)
    one, other = read_folder(tmp_path / "one"), read_folder(tmp_path / "other")
    assert same_pictures(picture_prints(one), picture_prints(other, workers=2)) == [(3, 0), (7, 1)]


def test_blank_pages_match_nothing(tmp_path):
    for i in range(3):
        Image.new("RGB", (60, 40), (i, i, i)).save(tmp_path / f"{i}.png")
    prints = picture_prints(read_folder(tmp_path))
    assert prints.shape == (3, 64)
    assert same_pictures(prints, prints) == []
    assert same_pictures(prints[:0], prints) == []


def images(count, *, name="train", first=0):
    """So many images of this name without objects; no file is there."""
    none = np.zeros(0, dtype=np.int64)
    no = np.zeros(0, dtype=np.bool_)
    return Annotations(
        name=name,
        root=Path("/none"),
        paths=tuple(f"{first + i:05}.png" for i in range(count)),
        sizes_px=np.full((count, 2), 64),
        licences=("",) * count,
        classes=(),
        image_index=none,
        labels=none,
        boxes_px=np.zeros((0, 4)),
        crowd=no,
        ignore=no,
        masks=(),
        object_names=(),
    )


def still(annotations, seed=0):
    """Prints of a camera that nothing moves before: all the same picture."""
    print_ = np.random.default_rng(seed).integers(0, 256, 64, dtype=np.uint8).tobytes()
    return dict.fromkeys(annotations.files, print_)


def test_the_files_of_a_part_are_listed_a_fixed_number_of_times(monkeypatch):
    built = []
    files = Annotations.files.fget
    monkeypatch.setattr(Annotations, "files", property(lambda self: built.append(self.name) or files(self)))

    def lists(count):
        built.clear()
        parts = {name: Part(name, images(count)) for name in ("train", "val", "test")}
        assert [one.code for one in shared(parts, {})] == [Code.NOTHING_LEFT, Code.IMAGES_IN_VAL_AND_TEST]
        return len(built)

    assert lists(40) == lists(4)


def test_frames_of_a_still_camera_are_one_line_each():
    frames = images(30)
    (twice,) = repeated(Part("data", frames), still(frames))
    assert list(twice.examples) == [f"00000.png = {i:05}.png" for i in range(1, 30)]
    assert twice.leave_out == {"data": [f"train:{i:05}.png" for i in range(1, 30)]}
    assert len(twice.shows) == 29


def test_a_picture_is_told_beside_the_first_that_it_is_like():
    """b is like a, c like b alone: both are left out, as like an earlier one."""
    prints = np.random.default_rng(0).integers(0, 256, (2, 64), dtype=np.uint8)
    like = [np.unpackbits(prints[0]) for _ in range(3)]
    like[1][:60] ^= 1
    like[2][:120] ^= 1
    known = [*(np.packbits(bits).tobytes() for bits in like), prints[1].tobytes()]
    four = images(4)
    (twice,) = repeated(Part("data", four), dict(zip(four.files, known, strict=True)))
    assert list(twice.examples) == ["00000.png = 00001.png", "00001.png = 00002.png"]


def test_a_still_camera_on_both_sides_is_a_line_for_each_picture_that_trains():
    parts = {
        "foregrounds": Part("foregrounds", images(0)),
        "train": Part("train", images(40)),
        "val": Part("val", images(30, name="val", first=100)),
        "test": Part("test", images(60, name="test", first=35)),  # five of them are train's own files
    }
    prints = {file: print_ for part in parts.values() for file, print_ in still(part.annotations).items()}
    copies = next(one for one in shared(parts, prints) if one.code is Code.PICTURES_ON_BOTH_SIDES)
    assert list(copies.examples) == [f"{i:05}.png = 00100.png (val)" for i in range(40)]
    assert copies.leave_out == {"train": [f"train:{i:05}.png" for i in range(40)]}
    del parts["val"]
    copies = next(one for one in shared(parts, prints) if one.code is Code.PICTURES_ON_BOTH_SIDES)
    assert [line.partition(" = ")[2] for line in copies.examples] == [
        *["00035.png (test)"] * 35,
        "00036.png (test)",  # the first one of another file
        *["00035.png (test)"] * 4,
    ]


def test_a_background_is_told_beside_the_first_labelled_picture_that_it_is_like():
    backgrounds, labelled = images(30, name="backgrounds", first=100), with_ball(images(20), 7)
    parts = {"backgrounds": Part("backgrounds", backgrounds), "train": Part("train", labelled)}
    prints = {**still(backgrounds), **still(labelled)}
    (hidden,) = hidden_objects(parts, ("ball",), prints)
    assert list(hidden.examples) == [f"{i:05}.png" for i in range(100, 130)]
    assert {show.image for show in hidden.shows} == {7}  # the one that holds a ball


def with_ball(annotations, image):
    """With one ball, in this image."""
    no = np.zeros(1, dtype=np.bool_)
    return replace(
        annotations,
        classes=("ball",),
        image_index=np.array([image]),
        labels=np.zeros(1, dtype=np.int64),
        boxes_px=np.array([[1.0, 1, 5, 5]]),
        crowd=no,
        ignore=no,
        masks=(None,),
        object_names=("1",),
    )


def test_the_names_of_a_part_are_listed_once_for_all_thumbnails(monkeypatch):
    built = []
    keys = Annotations.image_keys.fget
    monkeypatch.setattr(Annotations, "image_keys", property(lambda self: built.append(self.name) or keys(self)))
    frames = images(20)
    shows = [Show(frames, i, beside=(frames, 0)) for i in range(20)]
    assert len(list(gallery_of([Found(code=Code.PICTURES_TWICE, where="data", shows=shows)]).items)) == 20
    assert built == ["train"]
