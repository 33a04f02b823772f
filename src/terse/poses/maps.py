"""Where each point of a canvas samples a foreground: what the geometric families are made of.

A map takes canvas to patch, so that a foreground is resampled once however many maps are composed. Coordinates are
in [-1, 1] between the outer pixel edges; between families the canvas is measured by its shorter side, which is 2.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from terse.poses.hull import hull_of

__all__ = ["AffineMap", "CanvasMap", "SamplingMap", "rim_of", "support_points"]

_STEP = 1e-4
_SMALLEST = 1e-9
_BETWEEN = 2
_FRESH_SLOPES = 3
# Not Self: beartype, which checks shapes in tests, reads it in decorated classes alone.
_Map = TypeVar("_Map", bound="SamplingMap")
_Pair = tuple[Tensor, Tensor]
_Slopes = tuple[Tensor, Tensor, Tensor, Tensor]


class SamplingMap(ABC):
    """A batch of maps, differentiable in their parameters. A new kind defines `at`, and `inverse` where it knows one.

    Args:
        parameters: tensors whose first dimension is the batch.

    Attributes:
        straight: whether straight lines stay straight.
        newton_steps: enough for the inverse.

    Source: ours.
    """

    straight = False
    newton_steps = 20

    def __init__(self, *parameters: Tensor) -> None:
        self.parameters = parameters

    def __len__(self) -> int:
        return len(self.parameters[0])

    @abstractmethod
    def at(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Where the points (x, y) sample the patch; their first dimension is the batch.

        Only elementwise arithmetic: a matrix product may round differently for another batch size, and a placement
        must render the same alone and in a batch.
        """

    def inverse(self, points: Float[Tensor, "b n 2"]) -> Float[Tensor, "b n 2"]:
        """Where points of the patch come to lie on the canvas: Newton's method, started at the points themselves.

        After a few steps it keeps its slopes. The last step, with slopes of its own, alone carries the gradient, which
        is exact by the implicit function theorem.
        """
        place, wanted = points.detach(), points.detach()
        with torch.no_grad():
            for step in range(self.newton_steps):
                if step < _FRESH_SLOPES:
                    here, slopes = self._tangent(place)
                else:
                    here = self.at(*place.unbind(-1))
                place = _newton(place, here, wanted, slopes)
            _, slopes = self._tangent(place)
        return _newton(place, self.at(*place.unbind(-1)), points, slopes)

    def take(self: _Map, rows: slice | Tensor) -> _Map:  # noqa: PYI019
        """The maps of some rows of the batch."""
        return type(self)(*(parameter[rows] for parameter in self.parameters))

    def detach(self: _Map) -> _Map:  # noqa: PYI019
        """The same maps without gradient."""
        return type(self)(*(parameter.detach() for parameter in self.parameters))

    def double(self: _Map) -> _Map:  # noqa: PYI019
        """The same maps in double precision."""
        return type(self)(*(parameter.double() for parameter in self.parameters))

    def _tangent(self, place: Tensor) -> tuple[_Pair, _Slopes]:
        """Where each point samples the patch, and the inverse of the Jacobian there: all from one call."""
        x, y = place.unbind(-1)
        places = torch.cat([x, x + _STEP, x - _STEP, x, x], dim=1), torch.cat([y, y, y, y + _STEP, y - _STEP], dim=1)
        (here_u, *u), (here_v, *v) = (torch.split(part, x.shape[1], dim=1) for part in self.at(*places))
        a, b, c, d = ((part[k] - part[k + 1]) / (2 * _STEP) for part in (u, v) for k in (0, 2))
        determinant = a * d - b * c
        return (here_u, here_v), (d / determinant, -b / determinant, -c / determinant, a / determinant)


def _newton(place: Tensor, here: _Pair, wanted: Tensor, slopes: _Slopes) -> Tensor:
    """One step towards where the points come to lie on the wanted ones."""
    x, y = place.unbind(-1)
    off_u, off_v = here[0] - wanted[..., 0], here[1] - wanted[..., 1]
    a, b, c, d = slopes
    return torch.stack([x - (a * off_u + b * off_v), y - (c * off_u + d * off_v)], dim=-1)


class AffineMap(SamplingMap):
    """Affine maps, each a 2 x 3 matrix that takes canvas to patch.

    Source: Jaderberg et al. 2015, Eq. 1.
    """

    straight = True

    def __init__(self, matrix: Float[Tensor, "b 2 3"]) -> None:
        super().__init__(matrix)
        self.matrix = matrix

    def at(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Where the points (x, y) sample the patch."""
        spread = (-1, *[1] * (max(x.ndim, y.ndim) - 1))
        (a, b, c), (d, e, f) = (row.unbind(-1) for row in self.matrix.unbind(1))
        u = (a.view(spread) * x + c.view(spread)) + b.view(spread) * y
        v = (d.view(spread) * x + f.view(spread)) + e.view(spread) * y
        return u, v

    def inverse(self, points: Float[Tensor, "b n 2"]) -> Float[Tensor, "b n 2"]:
        """Where points of the patch come to lie on the canvas."""
        (a, b, c), (d, e, f) = (row.unbind(-1) for row in self.matrix.unbind(1))
        u, v = points[..., 0] - c[:, None], points[..., 1] - f[:, None]
        determinant = (a * e - b * d)[:, None]
        x = (e[:, None] * u - b[:, None] * v) / determinant
        y = (a[:, None] * v - d[:, None] * u) / determinant
        return torch.stack([x, y], dim=-1)

    def shrink(self) -> Float[Tensor, " b"]:
        """Area of patch for one of canvas: the determinant's size."""
        flat = self.matrix
        return (flat[:, 0, 0] * flat[:, 1, 1] - flat[:, 0, 1] * flat[:, 1, 0]).abs()

    def after(self, outer: "AffineMap") -> "AffineMap":
        """This map of what the outer one gives, as one matrix."""
        u, v = self.at(outer.matrix[:, 0], outer.matrix[:, 1])
        shift = torch.stack([self.matrix[:, 0, 2], self.matrix[:, 1, 2]], dim=1)
        product = torch.stack([u, v], dim=1)
        # `at` adds this map's own shift to every column; it belongs to the last alone.
        return AffineMap(torch.cat([product[..., :2] - shift[..., None], product[..., 2:]], dim=2))

    def onto(self, half: Float[Tensor, "b 2"]) -> "AffineMap":
        """From [-1, 1] of canvases whose half width and height over half their shorter side are given."""
        return AffineMap(self.matrix * torch.cat([half, torch.ones_like(half[:, :1])], dim=1)[:, None])

    def into(self, scale: tuple[float, float], move: tuple[float, float]) -> "AffineMap":
        """The same maps into patch coordinates scaled and then moved along x and y."""
        matrix = self.matrix * self.matrix.new_tensor([[scale[0]], [scale[1]]])
        return AffineMap(matrix + matrix.new_tensor([[0, 0, move[0]], [0, 0, move[1]]]))

    def rows(self) -> list[np.ndarray]:
        """What the raster path takes: the matrices."""
        return list(self.matrix.detach().cpu().numpy())


class CanvasMap(SamplingMap):
    """A chain of maps, from [-1, 1] of a canvas of any shape to [-1, 1] of the patch, or of a part of it.

    Args:
        steps: in the order in which they act on the foreground; sampling goes through them from the last to the first.
        half: half the canvas's width and height over half its shorter side, for each row.
        hull: outermost points of each mask, in order around it: they tell how much a map shrinks.
        before_last: the hull, with points between, as all steps but the last leave it.
        window: scale and then move of the patch's coordinates along x and y.

    Source: ours.
    """

    def __init__(
        self,
        steps: Sequence[SamplingMap],
        half: Float[Tensor, "b 2"],
        hull: Float[Tensor, "b points 2"],
        before_last: Float[Tensor, "b outline 2"],
        window: tuple[float, float, float, float] = (1.0, 1.0, 0.0, 0.0),
    ) -> None:
        super().__init__(half, hull)
        self.straight = all(step.straight for step in steps)
        self.steps, self.half, self.hull, self.before_last = tuple(steps), half, hull, before_last
        self.window = window
        self._shrink: Tensor | None = None

    def at(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Where the points (x, y) sample the patch."""
        spread = (-1, *[1] * (max(x.ndim, y.ndim) - 1))
        x, y = x * self.half[:, 0].view(spread), y * self.half[:, 1].view(spread)
        x, y = x + torch.zeros_like(y), y + torch.zeros_like(x)
        for step in reversed(self.steps):
            x, y = step.at(x, y)
        scale_x, scale_y, move_x, move_y = self.window
        return x * scale_x + move_x, y * scale_y + move_y

    def inverse(self, points: Float[Tensor, "b n 2"]) -> Float[Tensor, "b n 2"]:
        """Where points of the patch come to lie on the canvas."""
        scale_x, scale_y, move_x, move_y = self.window
        return self._inverse((points - points.new_tensor([move_x, move_y])) / points.new_tensor([scale_x, scale_y]))

    def _inverse(self, points: Tensor) -> Tensor:
        for step in self.steps:
            points = step.inverse(points)
        return points / self.half[:, None]

    def outline(self) -> Float[Tensor, "b m 2"]:
        """Points on the canvas that hold the mask: most of their way was gone when the map was made."""
        last = self.steps[-1]
        return last.inverse(rim_of(self.before_last, straight=last.straight)) / self.half[:, None]

    def shrink(self) -> Float[Tensor, " b"]:
        """Area of patch for one of canvas, the mean over the mask's hull."""
        if self._shrink is None:  # compositing asks three times
            with torch.no_grad():
                seen, own = _area(self._inverse(self.hull)), _area(self.hull)
                self._shrink = torch.where(own > _SMALLEST, own / seen.clamp(min=_SMALLEST), torch.ones_like(own))
        return self._shrink

    def into(self, scale: tuple[float, float], move: tuple[float, float]) -> "CanvasMap":
        """The same maps into patch coordinates scaled and then moved along x and y; `shrink` stays the whole's."""
        old_x, old_y, move_x, move_y = self.window
        window = (
            old_x * scale[0],
            old_y * scale[1],
            move_x * scale[0] + move[0],
            move_y * scale[1] + move[1],
        )
        moved = CanvasMap(self.steps, self.half, self.hull, self.before_last, window)
        moved._shrink = self._shrink
        return moved

    def take(self, rows: slice | Tensor) -> "CanvasMap":
        """The maps of some rows of the batch."""
        steps, outline = [step.take(rows) for step in self.steps], self.before_last[rows]
        return CanvasMap(steps, self.half[rows], self.hull[rows], outline, self.window)

    def detach(self) -> "CanvasMap":
        """The same maps without gradient."""
        steps, outline = [step.detach() for step in self.steps], self.before_last.detach()
        return CanvasMap(steps, self.half, self.hull.detach(), outline, self.window)

    def double(self) -> "CanvasMap":
        """The same maps in double precision."""
        steps, outline = [step.double() for step in self.steps], self.before_last.double()
        return CanvasMap(steps, self.half.double(), self.hull.double(), outline, self.window)

    def rows(self) -> list["CanvasMap"]:
        """What the raster path takes: a map for each foreground."""
        whole = self.detach().double()
        return [whole.take(slice(row, row + 1)) for row in range(len(whole))]


def rim_of(hull: Float[Tensor, "b n 2"], *, straight: bool) -> Float[Tensor, "b m 2"]:
    """The points that hold an outline under maps: its corners, and where lines bend points between them too.

    Source: ours.
    """
    if straight:
        return hull
    shares = torch.arange(_BETWEEN, device=hull.device, dtype=hull.dtype)[:, None, None] / _BETWEEN
    between = hull + (hull.roll(-1, 1) - hull) * shares[:, None]
    return between.transpose(0, 1).flatten(1, 2)


def support_points(alpha: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n points 2"]:
    """`hull_of` for masks in torch.

    Source: ours.
    """
    return torch.from_numpy(hull_of((alpha[:, 0] > 0).cpu().numpy())).to(alpha.device)


def _area(polygon: Float[Tensor, "b n 2"]) -> Float[Tensor, " b"]:
    """By the shoelace formula."""
    x, y = polygon.unbind(-1)
    return ((x * y.roll(-1, 1) - x.roll(-1, 1) * y).sum(dim=1) / 2).abs()
