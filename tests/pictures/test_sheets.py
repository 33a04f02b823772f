import numpy as np
import pytest

from terse.errors import DataError
from terse.pictures.sheets import COLOURS, GUTTER_PX, PAPER, contact_sheet


def test_small_images_are_enlarged_by_a_whole_factor_with_square_pixels(drawn):
    rng = np.random.default_rng(0)
    images = np.stack([drawn.digit(rng)[0] for _ in range(5)])
    sheet = contact_sheet(images, 3)
    assert sheet.shape == (2 * (120 + GUTTER_PX) + GUTTER_PX, 3 * (120 + GUTTER_PX) + GUTTER_PX, 3)
    cell = sheet[GUTTER_PX : GUTTER_PX + 120, GUTTER_PX : GUTTER_PX + 120]
    assert np.array_equal(cell[::3, ::3, :1], images[0])
    assert np.array_equal(cell[::3, ::3], cell[2::3, 2::3])
    assert np.array_equal(sheet[0, 0], PAPER)


def test_large_images_keep_their_size(drawn):
    image = drawn.scene(np.random.default_rng(0))[0]
    sheet = contact_sheet(image[None], 4)
    assert np.array_equal(sheet[GUTTER_PX:-GUTTER_PX, GUTTER_PX:-GUTTER_PX], image)


def test_gutters_can_be_clear():
    sheet = contact_sheet(np.zeros((2, 150, 150, 3), np.uint8), 2, transparent=True)
    assert sheet.shape == (150, 300 + GUTTER_PX, 4)
    assert set(np.unique(sheet[:, 150 : 150 + GUTTER_PX, 3])) == {0}
    assert set(np.unique(sheet[:, :150, 3])) == {255}


def test_a_box_is_drawn_on_the_pixels_that_it_holds():
    images = np.zeros((1, 40, 40, 1), np.uint8)
    sheet = contact_sheet(images, 1, boxes=[[[10, 20, 15, 30]]])
    coloured = np.argwhere((sheet == COLOURS[0]).all(axis=2)) - GUTTER_PX
    assert coloured.min(axis=0).tolist() == [60, 30]
    assert coloured.max(axis=0).tolist() == [89, 44]


def test_a_mask_tints_its_pixels_and_no_others():
    images = np.full((1, 40, 40, 1), 100, np.uint8)
    mask = np.zeros((40, 40), np.bool_)
    mask[5:15, 5:15] = True
    sheet = contact_sheet(images, 1, masks=[mask[None]])[GUTTER_PX:-GUTTER_PX, GUTTER_PX:-GUTTER_PX]
    changed = (sheet != 100).any(axis=2)
    assert np.array_equal(changed, mask.repeat(3, 0).repeat(3, 1))


def test_two_labels_have_two_colours_and_one_label_has_one():
    images = np.zeros((2, 40, 40, 1), np.uint8)
    boxes = [[[4, 20, 30, 36]], [[4, 20, 30, 36]]]
    both = contact_sheet(images, 2, boxes, [["cat"], ["dog"]])
    same = contact_sheet(images, 2, boxes, [["cat"], ["cat"]])

    def has(sheet, colour):
        return bool((sheet == colour).all(axis=2).any())

    assert (has(both, COLOURS[0]), has(both, COLOURS[1])) == (True, True)
    assert (has(same, COLOURS[0]), has(same, COLOURS[1])) == (True, False)


def test_a_long_caption_is_cut_within_its_cell():
    images = np.zeros((2, 120, 120, 3), np.uint8)
    sheet = contact_sheet(images, 2, captions=["w" * 90, ""])
    caption = sheet[GUTTER_PX + 120 :]
    assert (caption[:, : GUTTER_PX + 120] != 255).any()
    assert (caption[:, GUTTER_PX + 121 :] == 255).all()


def test_an_image_without_objects_among_others_is_drawn():
    images = np.zeros((2, 40, 40, 3), np.uint8)
    sheet = contact_sheet(images, 2, [[], [[1, 1, 5, 5]]], [[], ["a"]], [np.zeros((0, 40, 40)), np.zeros((1, 40, 40))])
    assert sheet.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"images": np.zeros((2, 3, 8, 8), np.uint8)},
            (
                "images: expected uint8 of shape (n, h, w, 1) or (n, h, w, 3) with n >= 1, got uint8 of shape "
                "(2, 3, 8, 8); tensors become so by (x * 255).round().byte().permute(0, 2, 3, 1).numpy()"
            ),
        ),
        ({"columns": 0}, "columns: expected an integer >= 1, got 0; 8 suits most screens"),
        ({"captions": ["one"]}, "captions: expected one entry an image, 2, got 1; pass None for none"),
    ],
)
def test_bad_input_is_refused_in_words(change, message):
    arguments = {"images": np.zeros((2, 8, 8, 3), np.uint8), "columns": 2, **change}
    with pytest.raises(DataError) as error:
        contact_sheet(**arguments)
    assert str(error.value) == message
