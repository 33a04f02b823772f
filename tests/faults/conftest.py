"""What the faults are tried on."""

import pytest

from drawn_sets import draw_world, labelled_backgrounds


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A recipe of generate's: cut-outs of two classes on labelled backgrounds."""
    return labelled_backgrounds(draw_world(tmp_path_factory.mktemp("world")))
