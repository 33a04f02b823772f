"""Draws by seed, name and position."""

import numpy as np
import pytest

from terse.draws import derive, integers, normal, seeds_of, uniform

SEEDS = seeds_of(0, 1, "harvest", 2, count=4000)


def test_the_numbers_never_change():
    """The same on any CPU; a set or a run that names its seed depends on them."""
    seeds = seeds_of(7, 1, "harvest", 3, count=2)
    assert seeds.tolist() == [3523689188473059971, 9678099788879059135]
    assert uniform(seeds, "pose", 2).tolist() == [
        [0.16719011595520483, 0.2559446654384838],
        [0.13450664718364913, 0.46056858307138726],
    ]
    assert normal(seeds, "noise", 1)[:, 0].tolist() == [0.618052, -0.067132]


def test_an_images_numbers_do_not_depend_on_the_batch():
    few = np.array([17, 3999, 0])
    for draw in (uniform, normal):
        assert np.array_equal(draw(SEEDS[few], "x", 3), draw(SEEDS, "x", 3)[few])
    assert np.array_equal(integers(SEEDS[few], "x", 9), integers(SEEDS, "x", 9)[few])
    parts = np.array([1, 2, 1])
    assert derive(SEEDS[few], parts).tolist() == [
        int(derive(SEEDS, part)[row]) for row, part in zip(few, parts, strict=True)
    ]
    assert np.array_equal(
        uniform(SEEDS, "x", 5)[:, :2], uniform(SEEDS, "x", 2)
    )  # more numbers change none of the first


def test_every_part_of_the_path_counts():
    paths = [(0, 1, "a", 2), (1, 0, "a", 2), (0, 1, "b", 2), (0, 1, "a", 3), (0, 2, "a", 1)]
    every = np.concatenate([seeds_of(*path, count=1000) for path in paths])
    assert len(np.unique(every)) == len(every)


@pytest.mark.parametrize("name", ["pose", "background"])
def test_uniform_numbers_are_spread_and_independent(name):
    unit = uniform(SEEDS, name, 6)
    assert unit.min() >= 0
    assert unit.max() < 1
    counts = np.stack([np.histogram(column, bins=20, range=(0, 1))[0] for column in unit.T])
    assert (((counts - 200) ** 2 / 200).sum(axis=1) < 50).all()  # chi squared, 19 degrees of freedom
    apart = np.corrcoef(unit.T)
    assert np.abs(apart - np.eye(6)).max() < 0.07
    assert abs(np.corrcoef(unit[:-1, 0], unit[1:, 0])[0, 1]) < 0.07  # neighbours
    assert abs(np.corrcoef(unit[:, 0], uniform(SEEDS, "other", 1)[:, 0])[0, 1]) < 0.07


def test_integers_and_normals():
    found = integers(SEEDS, "n", 7, low=4)
    assert np.bincount(found).tolist()[:4] == [0, 0, 0, 0]
    assert sorted(set(found.tolist())) == [4, 5, 6]
    below = np.arange(1, len(SEEDS) + 1)
    assert (integers(SEEDS, "n", below) < below).all()
    drawn = normal(SEEDS, "z", 2)
    assert drawn.mean() == pytest.approx(0, abs=0.04)
    assert drawn.std() == pytest.approx(1, abs=0.03)
    assert np.corrcoef(drawn.T)[0, 1] == pytest.approx(0, abs=0.06)
