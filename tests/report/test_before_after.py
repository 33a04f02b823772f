"""`page/before-after.png`: pairs of cells, boxes coloured by verdict."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from terse.cli.report import build_report
from terse.errors import RunError
from terse.pictures.gallery import BeforeAfter
from terse.pictures.page_folder import Shown, write_page
from terse.report.before_after import draw_before_after
from terse.tasks.answers import Answer, Box


def drawn_of(folder, pairs):
    write_page(folder, Shown(pairs=pairs))
    path = draw_before_after(folder)
    assert path == folder / "page" / "before-after.png"
    return np.asarray(Image.open(path))


def test_six_scenes_stand_in_pairs_two_a_row(tmp_path, drawn):
    picture = drawn_of(tmp_path, drawn.pairs(9))
    assert picture.shape[1] == 4 * (240 + 8) + 8
    assert 3 * 240 < picture.shape[0] < 3 * 290


def test_a_box_is_where_it_was_in_an_image_that_was_made_smaller(tmp_path):
    """A grey image, 640 by 320, and one found box: its colour runs along the box, scaled by one half."""
    image = np.full((320, 640, 3), 128, np.uint8)
    pair = BeforeAfter(
        image, Answer("0 of 1 found"), Answer("1 of 1 found", [Box((100, 60, 300, 260), "x", 0.9, "correct")])
    )
    picture = drawn_of(tmp_path, [pair]).astype(int)
    before, after = picture[8 : 8 + 160, 8 : 8 + 320], picture[8 : 8 + 160, 8 + 328 : 8 + 648]
    assert np.abs(before - 128).max() <= 6
    coloured = np.abs(after - 128).max(axis=2) > 60
    rows, columns = np.flatnonzero(coloured.any(1)), np.flatnonzero(coloured.any(0))
    assert abs(columns[0] - 50) <= 2
    assert abs(columns[-1] - 149) <= 2
    assert abs(rows[-1] - 129) <= 2


def test_digits_are_enlarged_four_pairs_a_row(tmp_path, drawn):
    rng = np.random.default_rng(0)
    pairs = [
        BeforeAfter(drawn.digit(rng)[0], Answer("3, p 0.61, wrong"), Answer("2, p 0.88, right")) for _ in range(20)
    ]
    picture = drawn_of(tmp_path, pairs)
    assert picture.shape[1] == 8 * (120 + 8) + 8
    assert picture.shape[0] < 3 * 160


def test_without_answers_there_is_no_picture(tmp_path):
    write_page(tmp_path, Shown())
    assert draw_before_after(tmp_path) is None
    assert not (tmp_path / "page" / "before-after.png").exists()


def test_a_picture_that_cannot_be_written_is_one_sentence(tmp_path, drawn):
    write_page(tmp_path, Shown(pairs=drawn.pairs(1)))
    (tmp_path / "page" / "before-after.png").mkdir()
    with pytest.raises(RunError) as raised:
        draw_before_after(tmp_path)
    assert str(raised.value) == f"{tmp_path / 'page' / 'before-after.png'}: expected to write it, got: Is a directory"


def test_report_draws_it_again(tmp_path, drawn):
    run = tmp_path / "run"
    shutil.copytree(Path(__file__).parent / "golden_run", run)
    write_page(run, Shown(pairs=drawn.pairs(2)))
    assert build_report(run) == run / "report.html"
    assert (run / "page" / "before-after.png").is_file()


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_page_that_is_not_finished_leaves_its_room(stop, tmp_path, drawn, monkeypatch):
    def stopped(*_):
        raise stop

    write_page(tmp_path, Shown(pairs=drawn.pairs(1)))
    before = sorted(path.name for path in tmp_path.rglob("*"))
    monkeypatch.setattr("terse.pictures.page_folder._write_gallery", stopped)
    with pytest.raises((RunError, KeyboardInterrupt)):
        write_page(tmp_path, Shown(pairs=drawn.pairs(2)))
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
