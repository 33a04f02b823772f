"""Views of 3-D models: which one is drawn, and what its gradient says."""

from dataclasses import replace

import numpy as np
import torch

from posed import cut_out
from terse.poses.view import ViewConfig
from terse.types import ViewSphere

VIEWS = ViewConfig().build()


def drawn(azimuth: float, elevation: float, roll: float = 0.0) -> torch.Tensor:
    cut, _ = cut_out(2)
    pose = torch.tensor([[azimuth, elevation, roll]])
    seen = VIEWS.prepare(cut, pose, torch.zeros(1, dtype=torch.int64))
    return torch.cat([seen.images, seen.alpha], dim=1)[0]


def tile(row: int, column: int) -> torch.Tensor:
    cut, _ = cut_out(2)
    assert cut.views is not None
    assert cut.views[0] is not None
    return torch.from_numpy(cut.views[0].tiles[row, column]).permute(2, 0, 1) / 255


def test_the_nearest_view_is_drawn() -> None:
    assert torch.equal(drawn(0, 0), tile(1, 0))
    assert torch.equal(drawn(50, 0), tile(1, 1))
    assert torch.equal(drawn(90, 20), tile(2, 2))
    assert torch.equal(drawn(-45, -30), tile(0, 7))
    assert torch.equal(drawn(-180, 0), drawn(180, 0))
    assert torch.equal(drawn(0, 80), tile(2, 0))  # above the highest ring


def test_the_gradient_is_that_of_the_neighbours_blended() -> None:
    tiles = np.full((3, 4, 6, 6, 4), 255, np.uint8)
    tiles[..., 0] = np.array([10, 60, 160, 20])[None, :, None, None]  # red by azimuth
    tiles[..., 1] = np.array([0, 50, 200])[:, None, None, None]  # green by elevation
    cut, _ = cut_out(0, 16)
    cut = replace(cut, views=(ViewSphere(tiles, (-30.0, 30.0)),))
    pose = torch.tensor([[100.0, 10.0, 0.0]], requires_grad=True)
    seen = VIEWS.prepare(cut, pose, torch.zeros(1, dtype=torch.int64)).images[0]
    assert (seen[0] * 255).round().unique().tolist() == [60]
    (of_red,) = torch.autograd.grad(seen[0].mean(), pose, retain_graph=True)
    (of_green,) = torch.autograd.grad(seen[1].mean(), pose)
    torch.testing.assert_close(of_red[0] * 255, torch.tensor([(160 - 60) / 90, 0.0, 0.0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(of_green[0] * 255, torch.tensor([0.0, (200 - 50) / 30, 0.0]), atol=1e-4, rtol=0)


def test_what_has_no_other_side_stays() -> None:
    cut, _ = cut_out(2)
    pose, seeds = torch.tensor([[90.0, 30.0, 0.0]]), torch.zeros(1, dtype=torch.int64)
    for views in (None, (None,)):
        seen = VIEWS.prepare(replace(cut, views=views), pose, seeds)
        assert torch.equal(seen.images, cut.images)
        assert torch.equal(seen.alpha, cut.alpha)


def test_a_full_turn_wraps() -> None:
    assert VIEWS.wraps == (0,)
    raw = torch.tensor([[1.99, 0.0, 0.0], [2.01, 0.0, 0.0]])
    angle = VIEWS.from_raw(raw)[:, 0]
    assert angle[0] > 179 > -179 > angle[1]
