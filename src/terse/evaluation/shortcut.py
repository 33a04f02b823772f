"""Could a model cheat? A small probe learns to find pasted objects by their rims and noise alone.

The probe sees the image without its local mean, through a window of 23 pixels: halos, hard edges, resampling and
noise that stops, but not what the object is. What it can find, a target can learn instead of the object.
Artefact patches (paper 3.1) are there to prevent that: with them the question is whether an object's rim can be
told from a patch's.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from terse.discriminator import auc_of_scores
from terse.errors import DataError, ShapeError
from terse.results import Shortcut

__all__ = ["ProbedComposites", "shortcut_auc", "shortcut_audit"]

_CROP_PX = 48
_BATCH = 16
_RIM_PX = 4
_APART_PX = 3  # a plain pixel is at least so far from every paste
_LOCAL_PX = 7
_CHANNELS = 12
_DILATIONS = (1, 2, 4)
_MARGIN_PX = _LOCAL_PX // 2 + sum(_DILATIONS) + 1  # from a crop's border to the first pixel that is scored
_MIN_PX = 2 * _MARGIN_PX + 8
_HELD_OUT = 0.4
_SCORED = 6  # batches of crops


@dataclass(frozen=True, slots=True)
class ProbedComposites:
    """Composites and where their objects were pasted.

    Attributes:
        images: in [0, 1].
        masks: the union of each image's pasted objects.
        decoys: the union of each image's artefact patches, None where there are none.
        groups: images of one group never stand on both sides of the split; by default each is its own. Give the
            foreground's number, or the probe may know a cut-out again.

    Source: ours.
    """

    images: Float[Tensor, "b c h w"]
    masks: Bool[Tensor, "_ _ _"]
    decoys: Bool[Tensor, "_ _ _"] | None = None
    groups: Int64[Tensor, " _"] | None = None


def shortcut_audit(
    sets: Mapping[str, ProbedComposites],
    *,
    threshold: float = 0.8,
    steps: int = 100,
    seed: int = 0,
    warn_of: Collection[str] | None = None,
) -> Shortcut:
    """One probe a set: for instance each blend, with artefact patches and without.

    Args:
        sets: composites by the name of their condition.
        threshold: an AUC above it is warned of.
        steps: of each probe.
        seed: of each probe.
        warn_of: names of the sets that a high AUC is warned of; all by default.

    Raises:
        DataError: a set that is too small to hold images out, or without a rim.

    Source: ours.
    """
    found = {name: shortcut_auc(pasted, steps=steps, seed=seed) for name, pasted in sets.items()}
    warnings = [
        f"{name}: a probe that sees only edges and noise finds pasted objects with an AUC of {auc:.2f}, above "
        f"{threshold:g}; a model can learn the paste instead of the object: add artefact patches or mix the blends"
        for name, auc in found.items()
        if auc > threshold and (warn_of is None or name in warn_of)
    ]
    return Shortcut(auc=found, threshold=threshold, warnings=warnings)


def shortcut_auc(pasted: ProbedComposites, *, steps: int = 100, seed: int = 0) -> float:
    """How well a probe tells the rims of pasted objects, on images held out: 0.5 is not at all.

    Told from plain background, or, where there are decoys, from the rims of these.

    Raises:
        ShapeError: images, masks, decoys or groups that do not fit each other.
        DataError: too few images to hold some out, or a side without a rim.

    Source: ours.
    """
    _check(pasted)
    sides = _split(pasted, seed)
    sites = _Sites.of(pasted)
    generator = torch.Generator().manual_seed(seed)
    probe = _probe(pasted.images.shape[1], seed)
    optimizer = torch.optim.Adam(probe.parameters(), lr=5e-3)
    with torch.enable_grad():
        for _ in range(steps):
            crops = _crops(sites, sides[0], generator)
            loss = _loss(probe(crops.images)[:, 0], crops)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    probe.eval()
    inside, outside = [], []
    with torch.no_grad():
        for _ in range(_SCORED):
            crops = _crops(sites, sides[1], generator)
            score = probe(crops.images)[:, 0]
            inside.append(score[crops.rim])
            outside.append(score[crops.plain if crops.decoy is None else crops.decoy])
    return auc_of_scores(torch.cat(inside), torch.cat(outside))


@dataclass(frozen=True, slots=True)
class _Sites:
    """Images, or crops of them, and which pixels are what."""

    images: Float[Tensor, "b c h w"]
    rim: Bool[Tensor, "b rim_h rim_w"]
    plain: Bool[Tensor, "b rim_h rim_w"]
    decoy: Bool[Tensor, "b rim_h rim_w"] | None

    @staticmethod
    def of(pasted: ProbedComposites) -> "_Sites":
        masks = pasted.masks
        decoys = None if pasted.decoys is None else pasted.decoys & ~masks
        every = masks if decoys is None else masks | decoys
        rim_of_decoys = None if decoys is None else _rim(decoys)
        return _Sites(pasted.images, _rim(masks), ~_grown(every, _APART_PX), rim_of_decoys)


def _probe(channels: int, seed: int) -> nn.Sequential:
    """Four convolutions with a window of 17 px; drawing the weights leaves the global generator as it was.

    Without padding: a padded probe knows where in the crop it is, and rims lie in the middle of theirs.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for dilation in _DILATIONS:
            layers += [
                nn.Conv2d(channels, _CHANNELS, 3, dilation=dilation, bias=False),
                nn.BatchNorm2d(_CHANNELS),
                nn.ReLU(inplace=True),
            ]
            channels = _CHANNELS
        return nn.Sequential(*layers, nn.Conv2d(_CHANNELS, 1, 3))


def _loss(score: Float[Tensor, "b h w"], crops: _Sites) -> Float[Tensor, ""]:
    """Cross-entropy with rims, and what is no rim, equally heavy; decoys are half of the latter."""
    others = [crops.plain] if crops.decoy is None else [crops.plain, crops.decoy]
    of_rim = _mean(functional.softplus(-score), crops.rim)
    of_others = torch.stack([_mean(functional.softplus(score), where) for where in others]).mean()
    return of_rim + of_others


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).sum() / where.sum().clamp(min=1)


def _crops(sites: _Sites, rows: Int64[Tensor, " k"], generator: torch.Generator) -> _Sites:
    """Crops around pixels of rims, every second one around a decoy's or any pixel."""
    chosen = rows[torch.randint(len(rows), (_BATCH,), generator=generator)].tolist()
    height, width = sites.rim.shape[1:]
    side_y, side_x = min(_CROP_PX, height), min(_CROP_PX, width)
    windows = []
    for turn, i in enumerate(chosen):
        if turn % 2 == 0:
            wanted = sites.rim[i]
        else:
            wanted = torch.ones_like(sites.rim[i]) if sites.decoy is None else sites.decoy[i]
        y, x = _pixel(wanted, generator)
        top, left = min(max(y - side_y // 2, 0), height - side_y), min(max(x - side_x // 2, 0), width - side_x)
        windows.append((i, slice(top, top + side_y), slice(left, left + side_x)))

    def cut(maps: Tensor) -> Tensor:
        inner = slice(_MARGIN_PX, -_MARGIN_PX)
        return torch.stack([maps[i, down, across] for i, down, across in windows])[:, inner, inner]

    seen = torch.stack([sites.images[i, :, down, across] for i, down, across in windows])
    decoy = None if sites.decoy is None else cut(sites.decoy)
    return _Sites(_without_local_mean(seen), cut(sites.rim), cut(sites.plain), decoy)


def _pixel(wanted: Bool[Tensor, "h w"], generator: torch.Generator) -> tuple[int, int]:
    """One of the wanted pixels, or any where none is."""
    where = torch.nonzero(wanted.flatten()).flatten()
    if not len(where):
        where = torch.arange(wanted.numel())
    flat = int(where[torch.randint(len(where), (1,), generator=generator)])
    return divmod(flat, wanted.shape[1])


def _without_local_mean(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c inner_h inner_w"]:
    edge = _LOCAL_PX // 2
    return (images[..., edge:-edge, edge:-edge] - functional.avg_pool2d(images, _LOCAL_PX, stride=1)) * 8


def _rim(masks: Bool[Tensor, "b h w"]) -> Bool[Tensor, "b h w"]:
    """The outermost pixels of each mask; the canvas's own border is no rim."""
    return masks & _grown(~masks, _RIM_PX)


def _grown(masks: Bool[Tensor, "b h w"], by_px: int) -> Bool[Tensor, "b h w"]:
    return functional.max_pool2d(masks[:, None].float(), 2 * by_px + 1, stride=1, padding=by_px)[:, 0] > 0


def _split(pasted: ProbedComposites, seed: int) -> tuple[Int64[Tensor, " train"], Int64[Tensor, " test"]]:
    count = len(pasted.images)
    groups = torch.arange(count) if pasted.groups is None else pasted.groups
    names = torch.unique(groups)
    if len(names) < 4:
        raise DataError(
            f"images: expected composites of at least 4 groups, to hold some out, got {len(names)}; give more images"
        )
    order = names[torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))]
    held_out = torch.isin(groups, order[: max(2, round(_HELD_OUT * len(names)))])
    sides = torch.nonzero(~held_out).flatten(), torch.nonzero(held_out).flatten()
    for rows in sides:
        for name, maps in (("masks", pasted.masks), ("decoys", pasted.decoys)):
            if maps is not None and not maps[rows].any():
                raise DataError(f"{name}: expected some pixels on both sides of the split, got none; give more images")
    return sides


def _check(pasted: ProbedComposites) -> None:
    count, _, height, width = pasted.images.shape
    if min(height, width) < _MIN_PX:
        raise ShapeError(f"images: expected sides of at least {_MIN_PX} px, got {height}x{width}; give larger ones")
    for name, maps in (("masks", pasted.masks), ("decoys", pasted.decoys)):
        if maps is not None and maps.shape != (count, height, width):
            raise ShapeError(f"{name}: expected the shape {(count, height, width)}, got {tuple(maps.shape)}")
    if pasted.groups is not None and pasted.groups.shape != (count,):
        raise ShapeError(f"groups: expected one number an image, {count}, got the shape {tuple(pasted.groups.shape)}")
