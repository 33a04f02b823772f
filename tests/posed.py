"""A cut-out, a scene and a renderer for pose families, and how far both ways of drawing agree."""

import numpy as np
import torch

from drawn import ellipse, noise
from terse.compositing import support_points
from terse.compositing.raster import Sprite, draw, reach_px
from terse.compositing.raster_stages import finish
from terse.compositing.render import Renderer
from terse.poses import PoseFamily
from terse.recipe_parts import EdgeConfig
from terse.types import Backgrounds, Foregrounds, Truth, ViewSphere

SIZE_PX = (200, 260)


def cut_out(seed: int, side: int = 96) -> tuple[Foregrounds, np.ndarray]:
    """A foreground, and the same as bytes."""
    alpha = (ellipse(side, 0.7, 0.5) > 0.5).float()
    colour = torch.nn.functional.interpolate(noise(seed, 1, 3, 8, 8), (side, side), mode="bicubic").clamp(0, 1)
    rgba = torch.cat([colour, alpha], dim=1).mul(255).round()
    pixels = np.ascontiguousarray(rgba[0].byte().permute(1, 2, 0).numpy())
    one = torch.zeros(1, dtype=torch.int64)
    return Foregrounds(rgba[:, :3] / 255, alpha, one, support_points(alpha), views=(sphere(pixels),)), pixels


def sphere(front: np.ndarray) -> ViewSphere:
    """Views of a thing that gets narrower and greener to the side, and bluer from above; the front is as given."""
    side = len(front)
    x = np.abs((2 * np.arange(side) + 1) / side - 1)
    tiles = np.repeat(np.repeat(front[None, None], 3, axis=0), 8, axis=1).copy()
    for row in range(3):
        for column in range(8):
            turned = min(column, 8 - column)
            tile = tiles[row, column]
            tile[..., 3] *= (x < 1 - 0.15 * turned).astype(np.uint8)
            tile[..., 1] = np.clip(tile[..., 1].astype(int) + 25 * turned, 0, 255)
            tile[..., 2] = np.clip(tile[..., 2].astype(int) + 40 * (row - 1), 0, 255)
    return ViewSphere(tiles, (-30.0, 30.0))


class Shapes:
    keys, labels, classes = ("a",), np.zeros(1, np.int64), ("thing",)

    def __len__(self) -> int:
        return 1

    def fetch(self, indices: np.ndarray) -> Foregrounds:
        cut = cut_out(0)[0]
        rows = torch.zeros(len(indices), dtype=torch.int64)
        return cut.take(rows.numpy())


class Scenes:
    keys = ("b",)

    def __len__(self) -> int:
        return 1

    def fetch(self, indices: np.ndarray) -> Backgrounds:
        return Backgrounds(noise(1, 1, 3, 150, 200).expand(len(indices), -1, -1, -1), Truth.empty(len(indices)))


def renderer(family: PoseFamily, edges: EdgeConfig | None = None) -> Renderer:
    return Renderer(Shapes(), Scenes(), family, edges)


def apart(chain: PoseFamily, seed: int, *, bgr: bool = False) -> tuple[float, float]:
    """Mean difference over the pasted region in 1/255, and the masks' IoU, of torch's and the raster path's picture."""
    edges, generator = EdgeConfig(), torch.Generator().manual_seed(seed)
    canvas = torch.nn.functional.interpolate(noise(9, 1, 3, 9, 9), SIZE_PX, mode="bicubic").clamp(0, 1)
    below = canvas.mul(255).round().div(255)
    pose = chain.random(1, generator).double().numpy().round(5)
    cut, rgba = cut_out(seed)
    images, layer = renderer(chain, edges).paste(below, cut, torch.from_numpy(pose).float(), torch.tensor([seed]))
    order = slice(None, None, -1 if bgr else 1)
    drawn = np.ascontiguousarray(below[0].mul(255).round().byte().permute(1, 2, 0).numpy()[..., order])
    assert cut.views is not None
    sprite = Sprite.of(np.ascontiguousarray(np.dstack([rgba[..., :3][..., order], rgba[..., 3]])), cut.views[0])
    (raster,) = chain.raster(pose, cut.hull.numpy(), [SIZE_PX], [seed])
    region = draw(drawn, sprite, raster, edges=edges, bgr=bgr)
    if chain.image is not None:
        image_pose = chain.image.random(1, generator)
        images = chain.image.finish(images, image_pose, torch.tensor([seed]))
        finish(drawn, chain.image, image_pose[0].double().numpy(), seed, bgr=bgr)
    x0, y0, x1, y1 = (round(edge) for edge in reach_px(sprite, raster, SIZE_PX))
    part = slice(max(y0, 0), min(y1, SIZE_PX[0])), slice(max(x0, 0), min(x1, SIZE_PX[1]))
    torch_bytes = images[0].mul(255).permute(1, 2, 0).numpy()
    mask = np.zeros(SIZE_PX, bool)
    mask[region.window] = region.mask > 0
    other = layer.alpha[0, 0].numpy() > 0.5
    assert other.any()
    difference = np.abs(torch_bytes[part] - drawn[..., order].astype(float)[part]).mean()
    return float(difference), float((mask & other).sum() / (mask | other).sum())
