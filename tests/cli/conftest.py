"""What tests of commands share."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def paste_data(tmp_path_factory):
    """One cut-out and three backgrounds, as overrides of `paste`."""
    root = tmp_path_factory.mktemp("paste")
    random = np.random.default_rng(0)
    (root / "cuts" / "disc").mkdir(parents=True)
    (root / "back").mkdir()
    alpha = np.full((60, 60), 255, np.uint8)
    alpha[:8] = 0
    cut = np.dstack([random.integers(0, 255, (60, 60, 3)).astype(np.uint8), alpha])
    Image.fromarray(cut).save(root / "cuts" / "disc" / "0.png")
    for k in range(3):
        Image.fromarray(random.integers(0, 255, (240, 320, 3)).astype(np.uint8)).save(root / "back" / f"{k}.png")
    return [f"foregrounds.cutouts={root / 'cuts'}", f"backgrounds.images={root / 'back'}"]
