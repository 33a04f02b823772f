"""The index: what is kept together when images or objects are taken out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terse.sources.annotations import Annotations, Skeleton


def index(counts, name="set", seed=0):
    """So many objects in each image, each named after itself and its image."""
    owner = np.repeat(np.arange(len(counts)), counts)
    total = len(owner)
    rng = np.random.default_rng(seed)
    from pathlib import Path

    return Annotations(
        name=name,
        root=Path("/data"),
        paths=tuple(f"{i}.jpg" for i in range(len(counts))),
        sizes_px=np.full((len(counts), 2), 10) + np.arange(len(counts))[:, None],
        licences=tuple(f"licence {i}" for i in range(len(counts))),
        classes=("a", "b", "c"),
        image_index=owner.astype(np.int64),
        labels=rng.integers(0, 3, total),
        boxes_px=np.repeat(owner[:, None], 4, axis=1).astype(np.float64),
        crowd=rng.random(total) < 0.3,
        ignore=rng.random(total) < 0.3,
        masks=(None,) * total,
        object_names=tuple(f"{i}#{k}" for k, i in enumerate(owner)),
    )


def consistent(notes):
    """Every object still sits in the image it was made for."""
    for owner, name, box in zip(notes.image_index, notes.object_names, notes.boxes_px, strict=True):
        image = name.split("#")[0]
        assert notes.paths[owner] == f"{image}.jpg"
        assert box[0] == int(image)
    for path, size, licence in zip(notes.paths, notes.sizes_px, notes.licences, strict=True):
        assert (path, licence) == (f"{size[0] - 10}.jpg", f"licence {size[0] - 10}")
    assert (np.diff(notes.image_index) >= 0).all()
    assert [len(notes.objects_of(i)) for i in range(len(notes))] == np.bincount(
        notes.image_index, minlength=len(notes)
    ).tolist()


counts = st.lists(st.integers(0, 4), min_size=1, max_size=8)


@given(counts, st.data())
def test_taking_out_images_and_objects_keeps_the_rest_together(sizes, data):
    notes = index(sizes)
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=len(notes), max_size=len(notes))))
    some = notes.keep_images(keep)
    consistent(some)
    assert len(some) == keep.sum()
    assert len(some.labels) == sum(n for n, kept in zip(sizes, keep, strict=True) if kept)
    chosen = np.arange(len(notes.labels)) % 2 == 0
    fewer = notes.keep_objects(chosen)
    consistent(fewer)
    assert fewer.object_names == notes.object_names[::2]
    consistent(fewer.keep_images(keep))


@given(counts, st.floats(0.01, 0.99), st.integers(0, 5))
def test_a_split_parts_the_images_and_is_the_same_again(sizes, fraction, seed):
    notes = index(sizes)
    held, rest = notes.split(fraction, seed)
    consistent(held)
    consistent(rest)
    assert sorted(held.paths + rest.paths) == sorted(notes.paths)
    assert len(held) == min(max(round(fraction * len(notes)), 1), len(notes))
    assert notes.split(fraction, seed)[0].paths == held.paths


def test_other_seeds_hold_out_other_images():
    notes = index([1] * 50)
    assert len({notes.split(0.3, seed)[0].paths for seed in range(5)}) == 5


def test_images_shared_with_another_index_are_taken_out():
    notes = index([1, 2, 0, 3])
    held, _ = notes.split(0.5, 0)
    rest = notes.without_images_of(held)
    consistent(rest)
    assert not set(rest.files) & set(held.files)
    assert len(rest) == 2
    assert len(notes.without_images_of()) == 4


def test_classes_are_renumbered_and_others_dropped():
    notes = index([3, 3])
    made = notes.with_classes(["c", "x", "a"])
    consistent(made)
    names = {0: "c", 2: "a"}
    expected = [notes.classes[label] for label in notes.labels if notes.classes[label] != "b"]
    assert [names[label] for label in made.labels.tolist()] == expected
    assert len(notes.with_classes([]).labels) == 0
    same = notes.with_classes(notes.classes)
    assert np.array_equal(same.labels, notes.labels)


def test_images_that_hold_a_class_are_taken_out():
    notes = index([2, 1, 0, 3], seed=1)
    made = notes.without_images_with(["b"])
    consistent(made)
    assert "b" not in {made.classes[label] for label in made.labels}
    held = {notes.paths[i] for i, label in zip(notes.image_index, notes.labels, strict=True) if label == 1}
    assert held
    assert set(made.paths) == set(notes.paths) - held


@pytest.mark.parametrize("empty", [[0], [0, 0]])
def test_an_index_without_objects_works(empty):
    notes = index(empty)
    assert notes.masked.shape == (0,)
    assert notes.object_keys == ()
    consistent(notes.keep_images(np.ones(len(notes), dtype=np.bool_)))


@pytest.mark.parametrize(
    "names",
    [
        ("left_eye", "right_eye", "nose"),
        ("LEFT_EYE", "RIGHT_EYE", "NOSE"),
        ("Left Eye", "Right Eye", "Nose"),
        ("L_Eye", "R_Eye", "Nose"),
        ("eye.l", "eye.r", "lip"),
        ("LEye", "REye", "Nose"),
        ("lsho", "rsho", "ring"),
    ],
)
def test_points_of_two_sides_are_each_others_mirror_however_sides_are_named(names):
    assert Skeleton(3, names).mirrored() == (1, 0, 2)
