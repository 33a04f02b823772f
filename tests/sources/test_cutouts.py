"""Cut-outs: RGBA images, and photographs with a mask file in the layout of Cut, Paste and Learn."""

import numpy as np
import pytest
from PIL import Image

from terse.errors import DataError
from terse.sources.cutouts import CutoutsConfig, read_cutouts
from terse.sources.guess import source_settings
from terse.sources.masks import draw_mask
from terse.sources.photo_foregrounds import PhotoForegrounds


def rgba(path, alpha):
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = np.full((*alpha.shape, 3), (10, 200, 30), dtype=np.uint8)
    Image.fromarray(np.dstack([colours, alpha])).save(path)


def blob(value=255):
    alpha = np.zeros((30, 40), dtype=np.uint8)
    alpha[5:25, 10:20] = value
    return alpha


def skipped(annotations):
    return [str(item) for item in annotations.skipped]


def test_an_rgba_image_is_cut_out_by_its_alpha(tmp_path):
    rgba(tmp_path / "cup/b.png", blob())
    rgba(tmp_path / "box/sub/a.png", blob(200))
    notes = CutoutsConfig(cutouts=tmp_path).build()
    assert notes.classes == ("box", "cup")
    assert notes.paths == ("box/sub/a.png", "cup/b.png")
    assert notes.boxes_px.tolist() == [[10, 5, 20, 25]] * 2
    assert np.array_equal(draw_mask(notes.masks[0], notes.root, (40, 30)), blob(200))
    cut = PhotoForegrounds(notes, patch_px=40).fetch(np.array([0, 1]))
    assert cut.labels.tolist() == [0, 1]
    # Not squashed: a cut-out has no scene around it.
    assert (cut.alpha[:, 0] > 0).any(dim=1).sum(dim=1).tolist() == [20, 20]
    assert cut.alpha.amax(dim=(1, 2, 3)).tolist() == pytest.approx([200 / 255, 1.0])


def test_soft_edges_stay_soft(tmp_path):
    alpha = blob()
    alpha[5:25, 10] = 100
    rgba(tmp_path / "cup/a.png", alpha)
    patch = PhotoForegrounds(read_cutouts(tmp_path), patch_px=20).fetch(np.array([0])).alpha[0, 0]
    assert sorted(set((patch * 255).round().int().flatten().tolist())) == [0, 100, 255]


@pytest.mark.parametrize("name", ["cup/NP1.pbm", "cup/NP1.png", "cup/NP1_mask.png"])
def test_a_photograph_is_cut_out_by_the_mask_file_beside_it(tmp_path, save, name):
    save(tmp_path / "cup/NP1.jpg")
    inside = blob() > 0
    # PBM masks of this layout are black on the object, and Pillow reads black as 0.
    drawn = ~inside if name.endswith("pbm") else inside
    Image.fromarray(drawn).save(tmp_path / name)
    notes = read_cutouts(tmp_path)
    assert notes.paths == ("cup/NP1.jpg",)
    assert notes.boxes_px.tolist() == [[10, 5, 20, 25]]
    assert np.array_equal(draw_mask(notes.masks[0], notes.root, (40, 30)) > 0, inside)
    other = read_cutouts(tmp_path, "light" if name.endswith("pbm") else "dark")
    assert np.array_equal(draw_mask(other.masks[0], notes.root, (40, 30)) > 0, ~inside)


def test_what_cannot_be_cut_out_is_left_out_and_named(tmp_path, save):
    rgba(tmp_path / "cup/good.png", blob())
    rgba(tmp_path / "cup/empty.png", blob(0))
    save(tmp_path / "cup/plain.jpg")
    save(tmp_path / "cup/small.jpg")
    Image.fromarray(blob()[:, 1:]).save(tmp_path / "cup/small.png")
    (tmp_path / "cup/torn.png").write_bytes(b"\x89PNG")
    Image.fromarray(blob()).save(tmp_path / "cup/alone.pbm.txt", "PNG")
    notes = read_cutouts(tmp_path)
    assert notes.paths == ("cup/good.png",)
    assert sorted(skipped(notes)) == [
        "cup/empty.png: expected a mask with an object in it, got an empty one; it is left out",
        (
            "cup/plain.jpg: expected an alpha channel that cuts the object out, got mode RGB; "
            "save it as an RGBA PNG, or put a mask file beside it"
        ),
        "cup/small.png: expected a mask of its image's size 40x30, got 39x30; export it again",
        (
            "cup/torn.png: expected an image file, got bytes that no decoder knows (UnidentifiedImageError); "
            "restore it or leave it out"
        ),
    ]


def test_a_folder_without_classes_is_refused(tmp_path, save):
    save(tmp_path / "a.png")
    with pytest.raises(DataError) as error:
        read_cutouts(tmp_path)
    assert str(error.value) == (
        f"cutouts: expected a folder for each class, got none in {tmp_path}; move the images into one"
    )


def test_a_link_out_is_followed_and_said(tmp_path):
    rgba(tmp_path / "store.png", blob())
    (tmp_path / "set/cup").mkdir(parents=True)
    (tmp_path / "set/cup/a.png").symlink_to(tmp_path / "store.png")
    notes = read_cutouts(tmp_path / "set")
    assert notes.paths == ("cup/a.png",)
    assert [remark.text for remark in notes.remarks] == [
        f"1 of 1 images are links that lead out of {tmp_path / 'set'}; they are followed"
    ]


def test_a_folder_without_a_usable_cut_out_is_no_class_and_that_is_said(tmp_path, save):
    rgba(tmp_path / "cup/a.png", blob())
    (tmp_path / "plate").mkdir()
    (tmp_path / "__MACOSX/cup").mkdir(parents=True)
    (tmp_path / "__MACOSX/cup/._a.png").write_bytes(b"resource")
    save(tmp_path / "spoon/plain.jpg")
    notes = read_cutouts(tmp_path)
    assert notes.classes == ("cup",)
    assert [remark.text for remark in notes.remarks] == [
        f"{tmp_path.name}: folders without a usable cut-out are no classes: __MACOSX, plate, spoon"
    ]


def test_photographs_and_masks_in_folders_of_their_own_are_paired(tmp_path, save):
    for name in "ab":
        save(tmp_path / f"cup/images/{name}.jpg")
        (tmp_path / "cup/masks").mkdir(exist_ok=True)
        Image.fromarray(blob()).save(tmp_path / f"cup/masks/{name}.png")
    notes = read_cutouts(tmp_path)
    assert (notes.classes, notes.paths) == (("cup",), ("cup/images/a.jpg", "cup/images/b.jpg"))
    assert notes.boxes_px.tolist() == [[10, 5, 20, 25]] * 2


def test_folders_of_folders_alone_name_the_inner_classes(tmp_path):
    for name in ("cup", "plate"):
        rgba(tmp_path / f"food/{name}/a.png", blob())
    assert read_cutouts(tmp_path).classes == ("cup", "plate")
    rgba(tmp_path / "food/b.png", blob())
    assert read_cutouts(tmp_path).classes == ("food",)


def test_a_palette_may_cut_out(tmp_path):
    inside = (blob() > 0).astype(np.uint8)
    image = Image.fromarray(inside)
    image.putpalette([0, 0, 0, 200, 40, 30])
    (tmp_path / "cup").mkdir()
    image.save(tmp_path / "cup/a.png", transparency=0)
    assert source_settings(tmp_path) == {"cutouts": str(tmp_path)}
    assert read_cutouts(tmp_path).boxes_px.tolist() == [[10, 5, 20, 25]]


@pytest.mark.parametrize("name", ["cup/A_MASK.png", "cup/a_mask.PNG", "cup/Masks/a.png", "cup/A_mask.pbm"])
def test_a_mask_is_found_whatever_the_case_of_its_name(tmp_path, save, name):
    save(tmp_path / "cup/a.JPG")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    drawn = blob() > 0
    Image.fromarray(~drawn if name.endswith("pbm") else drawn).save(tmp_path / name)
    notes = read_cutouts(tmp_path)
    assert (notes.paths, notes.boxes_px.tolist()) == (("cup/a.JPG",), [[10, 5, 20, 25]])


def test_cut_outs_whose_names_differ_in_case_alone_are_two(tmp_path):
    rgba(tmp_path / "cup/a.png", blob())
    rgba(tmp_path / "cup/A.png", blob())
    assert read_cutouts(tmp_path).paths == ("cup/A.png", "cup/a.png")


def test_what_is_named_a_mask_is_the_mask_of_three_files(tmp_path, save):
    save(tmp_path / "cup/a.jpg")
    Image.fromarray(np.full((30, 40), 255, dtype=np.uint8)).save(tmp_path / "cup/a.png")
    Image.fromarray(blob()).save(tmp_path / "cup/a_mask.png")
    assert [mask.path for mask in read_cutouts(tmp_path).masks] == ["cup/a_mask.png"]


@pytest.mark.parametrize("dark", [False, True])
def test_a_mask_of_grey_levels_is_cut_at_half(tmp_path, save, dark):
    """What a segmenter's soft answer or a JPEG leaves around the object is not the object's."""
    save(tmp_path / "cup/a.jpg")
    soft = blob(250)
    soft[soft == 0] = 4
    soft[5:25, 20] = 100
    Image.fromarray(255 - soft if dark else soft).save(tmp_path / "cup/a_mask.png")
    notes = read_cutouts(tmp_path, "dark" if dark else "auto")
    assert notes.boxes_px.tolist() == [[10, 5, 20, 25]]
    assert draw_mask(notes.masks[0], notes.root, (40, 30)).sum() == 200 * 255


def test_a_mask_of_small_numbers_is_all_but_0(tmp_path, save):
    save(tmp_path / "cup/a.jpg")
    parts = blob(1)
    parts[5:10, 10:20] = 2
    Image.fromarray(parts).save(tmp_path / "cup/a_mask.png")
    assert read_cutouts(tmp_path).boxes_px.tolist() == [[10, 5, 20, 25]]


def test_photographs_and_masks_without_a_class_are_refused(tmp_path, save):
    (tmp_path / "images").mkdir()
    save(tmp_path / "images/a.jpg")
    rgba(tmp_path / "Masks/a.png", blob())
    with pytest.raises(DataError) as error:
        read_cutouts(tmp_path)
    assert str(error.value) == (
        f"cutouts: expected a folder for each class, got Masks and images in {tmp_path}; move both into a folder with the "
        "class's name"
    )


def test_a_class_may_be_called_images(tmp_path):
    rgba(tmp_path / "images/a.png", blob())
    rgba(tmp_path / "cup/images/a.png", blob())
    assert read_cutouts(tmp_path).count_classes() == {"cup": 1, "images": 1}


def test_hidden_folders_are_passed_over_and_links_to_folders_followed(tmp_path):
    rgba(tmp_path / "set/cup/a.png", blob())
    rgba(tmp_path / "set/cup/.thumbnails/a.png", blob())
    rgba(tmp_path / "store/b.png", blob())
    (tmp_path / "set/cup/day").symlink_to(tmp_path / "store")
    assert read_cutouts(tmp_path / "set").paths == ("cup/a.png", "cup/day/b.png")
