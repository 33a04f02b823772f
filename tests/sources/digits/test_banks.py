import gzip
import random

import numpy as np
import pytest
import torch
from scipy.io import savemat

from terse.compositing import compose
from terse.draws import seeds_of
from terse.errors import DataError, RecipeError
from terse.proof.arms import Arm, arm_recipe
from terse.recipe import load_recipe
from terse.sources.digits.banks import (
    AFFNIST_RANGES,
    DigitForegrounds,
    affnist_like,
    read_affnist,
    read_affnist_batches,
    read_idx,
)
from terse.sources.digits.config import DigitsConfig
from terse.sources.run_data import run_data
from terse.synthesis.materials import materials_of


@pytest.fixture(scope="module")
def digits():
    return DigitsConfig(train=200, val=50, test=80).build()


def test_package_digits_are_split_apart(digits):
    assert (len(digits.foregrounds), len(digits.train), len(digits.val), len(digits.test)) == (200, 200, 50, 80)
    assert digits.classes == tuple("0123456789")
    assert set(digits.foregrounds.labels.tolist()) == set(range(10))


def test_ink_is_the_alpha_and_white_the_colour(digits):
    cut = digits.foregrounds.fetch(np.array([3]))
    real, truth = digits.train.fetch(np.array([3]))
    assert torch.equal(cut.alpha, real)
    assert torch.equal(cut.images, torch.ones(1, 1, 1, 1))
    assert truth.labels.tolist() == [digits.foregrounds.labels[3]]
    assert real[:, :, :6].sum() == real[:, :, -6:].sum() == 0  # 28x28 in the middle of 40x40
    identity = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])
    drawn = compose(torch.zeros(1, 1, 40, 40), cut.images, cut.alpha, identity)
    assert torch.allclose(drawn.images, real, atol=1e-6)


@pytest.mark.parametrize("official", [False, True])
def test_more_digits_than_there_are(tmp_path, official):
    affnist = _batch(tmp_path / "test.mat", 3) if official else None
    with pytest.raises(RecipeError) as caught:  # else the last 500 would be in train and in val
        DigitsConfig(train=6000, val=1000, affnist=affnist).build()
    assert str(caught.value).startswith("data.train + data.val: expected at most 6,500 digits, got 7,000; ")


def test_so_many_of_an_official_batch_are_tested_on(tmp_path):
    batch = _batch(tmp_path / "test.mat", 30)
    assert len(DigitsConfig(train=20, val=5, test=12, affnist=batch).build().test) == 12
    assert len(DigitsConfig(train=20, val=5, affnist=batch).build().test) == 30
    _batch(tmp_path / "2.mat", 30)
    assert len(DigitsConfig(train=20, val=5, affnist=tmp_path).build().test) == 60


def _batch(path, count):
    images = np.zeros((1600, count), dtype=np.uint8)
    savemat(path, {"affNISTdata": {"image": images, "label_int": np.zeros((1, count), dtype=np.uint8)}})
    return path


def test_all_ink_stays_inside_under_affnists_poses():
    """Digits drawn to their very edge, 2,000 poses: the pasted ink never touches the canvas border's outside."""
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    image[0, 4:24, 6:22] = 255
    digits = DigitForegrounds(image, np.array([0]), "drawn")
    cut = digits.fetch(np.zeros(2000, dtype=np.int64))
    poses = AFFNIST_RANGES.random(2000, torch.Generator().manual_seed(0))
    matrix = AFFNIST_RANGES.matrix(poses, cut.hull, (40, 40))
    # The same poses on a canvas twice as wide around the first: what falls outside 40x40 would show there.
    wide = torch.zeros(2000, 1, 80, 80)
    outer = matrix.clone()
    outer[:, :, :2] *= 2
    drawn = compose(wide, cut.images, cut.alpha, outer).images
    inside = drawn[:, :, 20:60, 20:60].sum((1, 2, 3))
    assert torch.allclose(inside, drawn.sum((1, 2, 3)))
    touched = (drawn[:, 0, 20:60, 20:60] > 0).float().sum(0)
    assert (touched[:, 0] > 0).any()  # yet the play is used up to the border
    assert (touched[0] > 0).any()


def test_the_regenerated_set_is_the_same_every_time(digits):
    first, second = (affnist_like(digits.foregrounds, seed=7) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, affnist_like(digits.foregrounds, seed=8))


def test_the_official_batches_are_read_upright(tmp_path):
    images = np.zeros((3, 40, 40), dtype=np.uint8)
    images[1, 5, 30] = 200  # row 5, column 30
    content = {"image": images.reshape(3, 1600).T, "label_int": np.array([[4, 0, 9]])}
    savemat(tmp_path / "test.mat", {"affNISTdata": content})
    read, labels = read_affnist(tmp_path / "test.mat")
    assert np.array_equal(read, images)
    assert labels.tolist() == [4, 0, 9]
    recipe = load_recipe("quickstart", [f"data.affnist={tmp_path / 'test.mat'}", "data.train=20", "data.val=5"])
    test = recipe.data.build().test
    assert len(test) == 3
    assert test.fetch(np.array([1]))[0][0, 0, 5, 30] == pytest.approx(200 / 255)


def test_what_is_no_affnist_batch_is_refused(tmp_path):
    path = tmp_path / "x.mat"
    path.write_bytes(b"no matlab")
    with pytest.raises(DataError, match=r"x.mat: expected a MATLAB 5 file, got another"):
        read_affnist(path)
    with pytest.raises(DataError) as caught:
        read_affnist(tmp_path / "none.mat")
    assert str(caught.value) == f"{tmp_path / 'none.mat'}: expected an affNIST batch, got no such file"


@pytest.mark.parametrize("compressed", [False, True])
def test_no_damaged_batch_ends_the_process(tmp_path, compressed):
    """scipy's reader ended the process by a segmentation fault at one file in 2,500."""
    path = tmp_path / "a.mat"
    images = np.random.default_rng(0).integers(0, 256, (1600, 3), dtype=np.uint8)
    content = {"image": images, "label_int": np.array([[4, 0, 9]], dtype=np.uint8), "human": "hand"}
    savemat(path, {"other": np.ones(3), "affNISTdata": content}, do_compression=compressed)
    assert np.array_equal(read_affnist(path)[0], images.T.reshape(-1, 40, 40))
    whole, draw, refused = path.read_bytes(), random.Random(1), 0
    for number in range(300):
        data = bytearray(whole)
        for _ in range(1 + number % 4):
            data[draw.randrange(len(data) if number % 2 else 600)] = draw.randrange(256)
        path.write_bytes(data[: draw.randrange(len(data))] if number % 5 == 0 else data)
        try:
            read_affnist(path)
        except DataError:
            refused += 1
    assert refused > 60


def test_a_small_gzip_file_that_unpacks_to_gigabytes_is_refused(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(bytes(100 << 20)))
    with pytest.raises(DataError, match=r"expected at most 64 MB when unpacked, got more from"):
        read_idx(path)


def test_official_training_images_are_pasted_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 40, 40), dtype=np.uint8)
    for number, rows in (("10", slice(4, 6)), ("2", slice(0, 4))):  # in the order of the numbers, not of the names
        content = {"image": images[rows].reshape(-1, 1600).T, "label_int": np.arange(6)[None, rows]}
        savemat(tmp_path / f"{number}.mat", {"affNISTdata": content})
    arm = "affnist:synthesis.kind=random:poses={rotation_deg: [0, 0], shear: [0, 0], scale: [1, 1]}"
    settings = ["data.train=5", "data.val=5", "data.test=5"]
    recipe = arm_recipe(load_recipe("quickstart", settings), Arm.parse(f"{arm}:data.affnist_train={tmp_path}"), 0)
    data = run_data(recipe)
    assert data.foregrounds.labels.tolist() == [0, 1, 2, 3, 4]  # as many as `train`
    assert len(data.train) == 5
    materials = materials_of(recipe, data, data.train)
    arm = recipe.synthesis.build(materials)
    placements = arm.propose(arm.requests(seeds_of("t", count=8)))
    drawn = materials.render(placements).images[:, 0]
    wanted = torch.from_numpy(images[placements.foreground]).float() / 255
    torch.testing.assert_close(drawn, wanted, atol=1 / 255, rtol=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as caught:
        read_affnist_batches(tmp_path / "empty", 5)
    assert str(caught.value) == (
        f"{tmp_path / 'empty'}: expected affNIST's batches, 1.mat and so on, got a folder without any"
    )
