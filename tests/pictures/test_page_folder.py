"""The folder of a page: what was written is read again, and a damaged file is named."""

import numpy as np
import pytest

from terse.errors import RunError
from terse.pictures.page_folder import Shown, read_page, write_page
from terse.pictures.sheets import Sheet


@pytest.fixture
def run(tmp_path):
    image = np.arange(48 * 48 * 3, dtype=np.uint8).reshape(48, 48, 3)
    write_page(tmp_path, Shown(sheets=[Sheet("group", "heading", image, "alt")]))
    return tmp_path


@pytest.mark.parametrize("left", [b"", b"hello", b"RIFF\x04\0\0\0WAVE"])
def test_a_damaged_picture_is_named(run, left):
    (file,) = (run / "page").glob("sheet-*.webp")
    file.write_bytes(left)
    with pytest.raises(RunError) as caught:
        read_page(run)
    assert str(caught.value) == (
        f"{file}: expected a picture of the page, got a damaged file; make it with: terse report {run} --compute"
    )


def test_a_torn_picture_is_named(run):
    assert read_page(run).sheets[0].heading == "heading"
    (file,) = (run / "page").glob("sheet-*.webp")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(RunError, match="got a damaged file"):
        read_page(run)
