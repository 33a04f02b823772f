"""Files are found by names of other machines and layouts, and never outside the folder."""

import pytest

from terse.errors import DataError
from terse.sources.finder import Finder, best_folder


@pytest.fixture
def root(tmp_path):
    for name in ("root/train/p0.JPG", "root/train/p1.png", "root/a.jpg", "root/b.jpg", "outside.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.jpg", "a.jpg"),
        ("train/p0.jpg", "train/p0.JPG"),
        ("Train/P1.PNG", "train/p1.png"),
        ("train\\p1.png", "train/p1.png"),
        ("train/p1", "train/p1.png"),
        ("/content/set/train/p1.png", "train/p1.png"),
        ("C:\\data\\set\\train\\p1.png", "train/p1.png"),
        ("none.jpg", "none.jpg"),
        ("train/p2.png", "train/p2.png"),
        ("sub/a.jpg", "sub/a.jpg"),
    ],
)
def test_a_file_is_found(root, name, found):
    assert Finder(root).find(name, "x") == found


def test_an_absolute_path_of_this_machine_is_found(root):
    assert Finder(root).find(str(root / "train/p1.png"), "x") == "train/p1.png"


def test_a_beginning_that_no_name_has_here_is_taken_off(root):
    names = ["images/a.jpg", "images/b.jpg", "images/c.jpg"]
    assert [Finder(root, names).find(name, "x") for name in names] == ["a.jpg", "b.jpg", "c.jpg"]
    names = ["train/p1.png", "val/a.jpg"]  # one is there: the other is missing, not somewhere else
    assert [Finder(root, names).find(name, "x") for name in names] == names


@pytest.mark.parametrize("name", ["../outside.jpg", "..\\outside.jpg", "/none/outside.jpg", "train/../../outside.jpg"])
def test_a_path_that_leaves_the_folder_is_refused(root, name):
    with pytest.raises(DataError, match=r"^x: expected a path inside "):
        Finder(root, [name]).find(name, "x")


def test_one_of_several_is_never_chosen(root):
    (root / "train/p0.Jpg").touch()
    with pytest.raises(DataError) as raised:
        Finder(root).find("train/p0.jpg", "f: images[0]")
    assert str(raised.value) == "f: images[0]: expected one file of that name, got p0.JPG and p0.Jpg; rename one"


def test_the_folder_that_holds_the_names_is_the_best(root):
    assert best_folder([root / "none", root, root / "train"], ["p0.jpg", "p1.png"]) == root / "train"
    assert best_folder([root], ["x.jpg"]) is None
