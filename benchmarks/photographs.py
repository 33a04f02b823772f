"""Speed on photographs: `python benchmarks/photographs.py [--rounds N]`.

compose: forward and backward at 300x300, batch 16, over bare `grid_sample` forward and backward on the same tensors:
the same premultiplied RGBA patches, the same poses, a gradient for the pose alone. The bar is 2.5.

Contestants take turns in every round, so that a busy machine is busy for both. CPU seconds are this process's own.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional

from terse.compositing import compose, support_points
from terse.compositing.warp import canvas_window, grid_of
from terse.poses import AffinePoses
from terse.poses.maps import AffineMap

_BATCH, _SIDE = 16, 300
_BAR = 2.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    for threads in (1, 2):
        torch.set_num_threads(threads)
        print(f"{threads} thread{'s' * (threads > 1)}, {rounds} rounds, torch {torch.__version__}")
        for name, scale in (("scale 0.1 to 1.2, as trained", (0.1, 1.2)), ("scale 1.2, the largest", (1.2, 1.2))):
            _report(name, _race(_contestants(scale), rounds))


def _contestants(scale: tuple[float, float]) -> dict[str, Callable[[], None]]:
    generator = torch.Generator().manual_seed(0)
    colour, background = (torch.rand(_BATCH, 3, _SIDE, _SIDE, generator=generator) for _ in range(2))
    alpha = _figures()
    poses = AffinePoses((-90.0, 90.0), (-1.0, 1.0), (-0.2, 0.2), scale, stretch=(0.8, 1.25), min_visible=0.3)
    canvas = (_SIDE, _SIDE)
    matrix = poses.matrix(poses.random(_BATCH, generator), support_points(alpha), canvas).requires_grad_()
    rgba = torch.cat([colour * alpha, alpha], dim=1)
    where = AffineMap(matrix.detach())
    grid = grid_of(where, canvas, canvas_window(canvas, 0), colour).requires_grad_()
    slope = torch.randn(_BATCH, 4, _SIDE, _SIDE, generator=generator)

    def bare() -> None:
        torch.autograd.grad(functional.grid_sample(rgba, grid, align_corners=False), grid, slope)

    def edged() -> None:
        drawn = compose(background, colour, alpha, matrix, binarise=True, blur_sigma_px=1.0)
        torch.autograd.grad(drawn.images, matrix, slope[:, :3])

    def plain() -> None:
        torch.autograd.grad(compose(background, colour, alpha, matrix).images, matrix, slope[:, :3])

    return {"grid_sample": bare, "compose": edged, "compose without edges": plain}


def _figures() -> torch.Tensor:
    """Standing figures: a head, a body and two legs, seven tenths of the patch high."""
    along = (2 * torch.arange(_SIDE) + 1) / _SIDE - 1
    x, y = along, along[:, None]
    head = (x / 0.1) ** 2 + ((y + 0.58) / 0.12) ** 2 < 1
    body = (x.abs() < 0.2) & ((y + 0.15).abs() < 0.32)
    legs = ((x.abs() - 0.12).abs() < 0.06) & ((y - 0.4).abs() < 0.3)
    return (head | body | legs).float().expand(_BATCH, 1, -1, -1).contiguous()


def _race(contestants: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Wall and CPU seconds of every round, after one to warm up."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for _ in range(rounds + 1):
        for name, step in contestants.items():
            wall, cpu = time.perf_counter(), time.process_time()
            step()
            taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: times[1:] for name, times in taken.items()}


def _report(title: str, taken: dict[str, list[tuple[float, float]]]) -> None:
    print(f"  {title}")
    reference = taken["grid_sample"]
    for name, times in taken.items():
        ratios = [[own[i] / base[i] for own, base in zip(times, reference, strict=True)] for i in (0, 1)]
        (low, wall, high), (_, cpu, _) = (statistics.quantiles(values, n=4) for values in ratios)
        milliseconds = 1000 * statistics.median(seconds for seconds, _ in times)
        verdict = "" if name != "compose" else f"  bar {_BAR}: {'met' if wall <= _BAR else 'missed'}"
        print(
            f"    {name:22} {milliseconds:7.1f} ms   over grid_sample {wall:5.2f} (quartiles {low:.2f} to {high:.2f}), "
            f"in CPU seconds {cpu:5.2f}{verdict}"
        )


if __name__ == "__main__":
    main()
