import gzip
import struct

import numpy as np
import pytest

from terse.errors import DataError
from terse.sources.digits.banks import read_digits, read_idx


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (6, 28, 28)), np.array([3, 1, 4, 1, 5, 9])
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    return tmp_path, images, labels


def test_plain_and_gzipped_files_are_read(folder):
    root, images, labels = folder
    read, names = read_digits(root, "train")
    assert np.array_equal(read, images)
    assert np.array_equal(names, labels)


def test_torchvisions_folders_are_found(folder):
    root, images, _ = folder
    raw = root / "tv" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in list(root.glob("train-*")):
        file.rename(raw / file.name)
    assert np.array_equal(read_digits(root / "tv", "train")[0], images)


def refusal(path):
    with pytest.raises(DataError) as caught:
        read_idx(path)
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_missing_file(tmp_path):
    assert refusal(tmp_path / "x.gz") == (
        "expected an idx file, got none; point data.root at a folder with MNIST's four files"
    )


def test_a_truncated_file(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(idx(np.zeros((3, 28, 28)))[:-5])
    assert refusal(path) == (
        "expected 2,352 bytes for the shape (3, 28, 28), got 2,347; the file is truncated or not the right one"
    )
    path.write_bytes(idx(np.zeros((3, 28, 28)))[:9])
    assert refusal(path) == "expected a header of 16 bytes, got a file of 9; it is truncated"
    packed = tmp_path / "x.gz"
    packed.write_bytes(gzip.compress(idx(np.zeros((3, 28, 28))))[:-9])
    assert refusal(packed) == (
        "expected a whole idx file, got one that cannot be read "
        "(Compressed file ended before the end-of-stream marker was reached)"
    )


def test_another_file(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"\x89PNG....")
    assert refusal(path) == "expected an idx file of unsigned bytes, got one that starts with '89504e47'"


def test_a_header_that_promises_the_moon_allocates_nothing(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**16, 2**16))
    assert refusal(path).startswith("expected 9,223,372,036,854,775,808 bytes")


def test_labels_of_another_length(folder):
    root, _, _ = folder
    path = root / "train-labels-idx1-ubyte"
    path.write_bytes(idx(np.zeros(5)))
    with pytest.raises(DataError) as caught:
        read_digits(root, "train")
    assert str(caught.value) == f"{path}: expected 6 labels, one an image, got the shape (5,)"
    path.write_bytes(idx(np.full(6, 17)))
    with pytest.raises(DataError) as caught:
        read_digits(root, "train")
    assert str(caught.value) == f"{path}: expected labels 0 to 9, got 17"
