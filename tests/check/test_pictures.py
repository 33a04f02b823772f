"""Copies of a photograph are known whatever they are called; other photographs are not taken for them."""

import cv2
import numpy as np
from PIL import Image

from terse.check.pictures import picture_prints, same_pictures
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
