import io

import numpy as np
import pytest
from PIL import Image

from terse.errors import DataError
from terse.pictures import crops as thumbs
from terse.tasks.answers import outline_of


def decoded(encoded):
    return np.asarray(Image.open(io.BytesIO(encoded)))


def test_a_small_image_is_kept_to_the_pixel(drawn):
    image, _, _ = drawn.digit(np.random.default_rng(0))
    again = decoded(thumbs.encode(image, 320))
    assert np.array_equal(again[:, :, 0], image[:, :, 0])


def test_a_large_image_keeps_its_proportions_and_its_look():
    image = np.zeros((150, 300, 3), np.uint8)
    image[:, 150:] = 200
    small = decoded(thumbs.encode(image, 100))
    assert small.shape == (50, 100, 3)
    assert abs(int(small[25, 90, 0]) - 200) <= 4
    assert int(small[25, 10, 0]) <= 4


def test_the_side_is_the_largest_that_fits_the_budget(drawn):
    rng = np.random.default_rng(0)
    samples = [drawn.scene(rng, 320)[0] for _ in range(4)]
    side = thumbs.choose_side(samples, 1000, 4_000_000)
    larger = thumbs.SIDES_PX[thumbs.SIDES_PX.index(side) - 1]

    def total(side_px):
        return 1000 * sum(len(thumbs.encode(s, side_px)) for s in samples) / len(samples) * 4 / 3

    assert thumbs.SIDES_PX[-1] < side < thumbs.SIDES_PX[0]
    assert total(side) <= 4_000_000 < total(larger)


def test_no_images_need_no_side():
    assert thumbs.choose_side([], 0, 1) == thumbs.SIDES_PX[0]


def polygon_area(path):
    area = 0.0
    for part in path.split("M")[1:]:
        points = [tuple(map(float, p.split())) for p in part.rstrip("Z").split("L")]
        xs, ys = np.array(points).T
        # Holes run the other way round, so that the signed areas add up to what the even-odd rule fills.
        area += 0.5 * float(np.dot(xs, np.roll(ys, -1)) - np.dot(ys, np.roll(xs, -1)))
    return abs(area)


@pytest.mark.parametrize("size", [40, 300])
def test_an_outline_holds_the_mask_and_leaves_its_hole_out(size):
    rows, columns = np.mgrid[:size, :size]
    radius = np.hypot(rows - size / 2, columns - size / 2)
    mask = (radius < size * 0.4) & (radius > size * 0.2)
    path = outline_of(mask)
    assert path.count("M") == 2
    assert polygon_area(path) == pytest.approx(mask.sum(), rel=0.06)


def test_an_empty_mask_has_no_outline():
    assert outline_of(np.zeros((30, 30), np.bool_)) == ""


def test_floats_are_refused_in_words():
    with pytest.raises(DataError) as error:
        thumbs.encode(np.zeros((4, 4, 3)), 100)
    assert str(error.value) == (
        "image: expected uint8 of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), got float64 of shape (4, 4, 3); "
        "round [0, 1] floats with (x * 255).round().astype(numpy.uint8)"
    )


def test_channels_first_are_refused_in_words():
    with pytest.raises(DataError) as error:
        thumbs.encode(np.zeros((3, 8, 8), np.uint8), 100)
    assert str(error.value) == (
        "image: expected 1, 3 or 4 channels last, got shape (3, 8, 8); move them with transpose(1, 2, 0)"
    )
