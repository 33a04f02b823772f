"""The photographs' network against the dump of A.2, and what the dump leaves open."""

import pytest
import torch
from torch import Tensor, nn

from terse.errors import RecipeError, ShapeError
from terse.synthesis.learned.photographs import PhotoSynthesizer

_SMALL = {"backbone": "mobilenet_v3_small", "input_px": 128, "branch_channels": 16}


def _small(**settings: object) -> PhotoSynthesizer:
    torch.manual_seed(0)
    return PhotoSynthesizer(**{**_SMALL, **settings})  # type: ignore[arg-type]


def _images(seed: int, count: int = 4, size: int = 128) -> Tensor:
    """Images that differ in what pooling keeps: a few large patches of colour."""
    patches = torch.rand(count, 3, 3, 3, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(patches, (size, size), mode="nearest")


def _settled(**settings: object) -> PhotoSynthesizer:
    """In eval mode, with BatchNorm statistics of images: without any, depth shrinks all input to nothing."""
    net = _small(**settings).train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.momentum = None
    for step in range(2):
        net(_images(step, 8), _images(100 + step, 8))
    return net.eval()


def _line(layer: nn.Module) -> str:
    """A layer as the dump writes it."""
    match layer:
        case nn.Conv2d():
            padding = f" pdng{layer.padding[0]}" if layer.padding[0] else ""
            return (
                f"C2d {layer.in_channels}>{layer.out_channels} ksz{layer.kernel_size[0]} st{layer.stride[0]}{padding}"
            )
        case nn.BatchNorm2d() | nn.BatchNorm1d():
            return f"BN {layer.num_features} {layer.eps:g} {layer.momentum:g}"
        case nn.MaxPool2d():
            return f"Pool {layer.kernel_size} {layer.stride}"
        case nn.Linear():
            return f"Linear {layer.in_features}>{layer.out_features} {layer.bias is not None}"
    return type(layer).__name__


def _lines(part: nn.Module) -> list[str]:
    return [_line(layer) for layer in part.modules() if not isinstance(layer, nn.Sequential)]


def _block(inputs: int, outputs: int) -> list[str]:
    return [f"C2d {inputs}>{outputs} ksz3 st1 pdng1", f"BN {outputs} 1e-05 0.1", "ReLU"]


_BACKBONE = [
    *_block(3, 64), *_block(64, 64), "Pool 2 2",
    *_block(64, 128), *_block(128, 128), "Pool 2 2",
    *_block(128, 256), *_block(256, 256), *_block(256, 256), "Pool 2 2",
    *_block(256, 512), *_block(512, 512), *_block(512, 512), "Pool 2 2",
]  # fmt: skip
_BRANCH = [
    "C2d 512>256 ksz3 st1", "BN 256 1e-05 0.1", "ReLU",
    "C2d 256>256 ksz3 st1", "BN 256 1e-05 0.1", "ReLU",
    "C2d 256>20 ksz3 st1",
]  # fmt: skip
_REGRESSOR = [
    "Linear 64>128 True", "ReLU", "BN 128 1e-05 0.1",
    "Linear 128>128 True", "ReLU", "BN 128 1e-05 0.1",
    "Linear 128>6 True",
]  # fmt: skip


def test_every_layer_is_the_dumps() -> None:
    net = PhotoSynthesizer()
    assert _lines(net.backbone) == _BACKBONE
    assert _lines(net.foreground_branch) == _lines(net.background_branch) == _BRANCH
    assert [*_lines(net.mix), *_lines(net.features)] == [
        "C2d 40>64 ksz5 st1 pdng2", "ReLU", "BN 64 1e-05 0.1",
        "C2d 64>64 ksz5 st1 pdng2", "ReLU", "BN 64 1e-05 0.1",
    ]  # fmt: skip
    assert _lines(net.regressor) == _REGRESSOR


def test_every_parameter_is_counted() -> None:
    net = PhotoSynthesizer()
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in net.named_children()}
    widths = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256)]
    widths += [(256, 512), (512, 512), (512, 512)]
    branch = (512 * 9 + 1) * 256 + 2 * 256 + (256 * 9 + 1) * 256 + 2 * 256 + (256 * 9 + 1) * 20
    assert count == {
        "backbone": sum((a * 9 + 1) * b + 2 * b for a, b in widths),
        "foreground_branch": branch,
        "background_branch": branch,
        "mix": (40 * 25 + 1) * 64,
        "features": 2 * 64 + (64 * 25 + 1) * 64 + 2 * 64,
        "regressor": 65 * 128 + 2 * 128 + 129 * 128 + 2 * 128 + 129 * 6,
    }


def test_sizes_run_from_300_over_18_to_12() -> None:
    net = PhotoSynthesizer().to("meta")
    images = torch.empty(2, 3, 300, 300, device="meta")
    seen = net.low_level(images)
    assert seen.shape == (2, 512, 18, 18)
    assert net.foreground_branch(seen).shape == net.background_branch(seen).shape == (2, 20, 12, 12)
    assert net.features_of_foregrounds(images).shape == net.features_of_backgrounds(images).shape == (2, 64, 12, 12)
    assert net(images, images).shape == (2, 6)


def test_the_split_convolution_is_the_dumps_layer() -> None:
    net = _settled()
    foregrounds, backgrounds = _images(1), _images(2)
    joined = torch.cat(
        [net.foreground_branch(net.low_level(foregrounds)), net.background_branch(net.low_level(backgrounds))], dim=1
    )
    whole = net.regressor(net.features(net.mix(joined)).mean(dim=(2, 3)))
    split = net.head(net.features_of_foregrounds(foregrounds), net.features_of_backgrounds(backgrounds))
    torch.testing.assert_close(split, whole, rtol=1e-4, atol=1e-6)
    swapped = net.head(net.features_of_foregrounds(backgrounds), net.features_of_backgrounds(foregrounds))
    assert not torch.allclose(swapped, whole, rtol=1e-4, atol=1e-6)


def test_features_kept_per_image_give_the_poses_of_pairs() -> None:
    net = _settled()
    foregrounds, backgrounds = _images(1, 3), _images(2, 2)
    fg, bg = net.features_of_foregrounds(foregrounds), net.features_of_backgrounds(backgrounds)
    pairs = [(f, b) for f in range(3) for b in range(2)]
    kept = torch.cat([net.head(fg[f : f + 1], bg[b : b + 1]) for f, b in pairs])
    whole = net(torch.stack([foregrounds[f] for f, _ in pairs]), torch.stack([backgrounds[b] for _, b in pairs]))
    torch.testing.assert_close(kept, whole, rtol=1e-3, atol=1e-5)
    assert kept.std(dim=0).min() > 1e-2


def test_gradients_reach_both_branches_and_the_backbone() -> None:
    net = _small()
    net(_images(1), _images(2)).square().sum().backward()
    for part in (net.foreground_branch, net.background_branch, net.mix, net.backbone):
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in part.parameters())


def test_a_frozen_backbone_keeps_weights_and_statistics() -> None:
    net = _small(train_backbone=False).train()
    before = {key: tensor.clone() for key, tensor in net.backbone.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=0.1)
    net(_images(1), _images(2)).square().sum().backward()
    optimizer.step()
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.backbone.state_dict().items())
    assert not net.low_level(_images(1)).requires_grad
    torch.testing.assert_close(
        net.eval()(_images(1), _images(2)), net.pose_of(net.low_level(_images(1)), net.low_level(_images(2)))
    )


def test_a_trained_backbone_moves_its_statistics() -> None:
    net = _small()
    before = {key: tensor.clone() for key, tensor in net.backbone.named_buffers()}
    net(_images(1), _images(2))
    assert any(not torch.equal(tensor, before[key]) for key, tensor in net.backbone.named_buffers())


def test_xavier_with_gain_04_bounds_the_weights() -> None:
    net = _small(branch_channels=64)
    for layer in (net.mix, net.regressor[0], net.foreground_branch[3]):
        inputs, outputs = layer.weight[0].numel(), len(layer.weight) * layer.weight[0, 0].numel()
        bound = 0.4 * (6 / (inputs + outputs)) ** 0.5
        assert 0.95 * bound < layer.weight.abs().max() <= bound
        assert not layer.bias.any()


def test_dropout_is_off_unless_asked_for() -> None:
    assert not any(isinstance(m, nn.Dropout | nn.Dropout2d) for m in _small().modules())
    net = _small(dropout=0.5)
    assert [type(m).__name__ for m in net.modules() if isinstance(m, nn.Dropout | nn.Dropout2d)] == (
        ["Dropout2d"] * 6 + ["Dropout"] * 2
    )
    first, second = net(_images(1), _images(2)), net(_images(1), _images(2))
    assert not torch.equal(first, second)


def test_noise_moves_the_pose() -> None:
    net = _small(noise_size=3)
    assert net.regressor[0].in_features == 67
    noise = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    poses = net(_images(1), _images(2), noise)
    assert not torch.allclose(poses, net(_images(1), _images(2), -noise))


def test_images_of_another_size_are_resized() -> None:
    net = _settled()
    assert net(_images(1, size=160), _images(2, size=100)).shape == (4, 6)
    flat = torch.full((2, 3, 300, 300), 0.5)
    torch.testing.assert_close(net.low_level(flat), net.low_level(flat[..., :128, :128]), rtol=1e-4, atol=1e-5)


def test_caffes_backbones_see_inputs_58_times_as_large() -> None:
    seen = {}
    for scale in ("torch", "caffe"):
        network = PhotoSynthesizer(backbone="mobilenet_v3_small", input_px=128, backbone_input=scale)
        network.backbone.register_forward_pre_hook(lambda _, args, scale=scale: seen.update({scale: args[0]}))
        network.low_level(torch.tensor([0.2, 0.8])[:, None, None, None].expand(2, 3, 128, 128))
    spread = {scale: float((x[1] - x[0]).mean()) for scale, x in seen.items()}
    assert spread["caffe"] == pytest.approx(0.6 * 255, rel=1e-4)
    assert spread["caffe"] / spread["torch"] == pytest.approx(57, abs=1)


def test_misuse_is_told_in_one_sentence() -> None:
    with pytest.raises(RecipeError) as small:
        PhotoSynthesizer(input_px=100)
    assert str(small.value) == (
        "synthesis.input_px: expected an integer >= 128, got 100; "
        "a sixteenth of it passes three 3x3 convolutions without padding, 300 is the paper's, null takes the canvas"
    )
    net = _small(noise_size=3)
    with pytest.raises(ShapeError) as grey:
        net(_images(1)[:, :1], _images(2)[:, :1])
    assert str(grey.value) == "images: expected RGB of shape (batch, 3, height, width), got (8, 1, 128, 128)"
    with pytest.raises(ShapeError) as missing:
        net(_images(1), _images(2))
    assert str(missing.value) == "noise: expected the shape (4, 3), got none; noise_size is 3"
    with pytest.raises(ShapeError) as unwanted:
        _small()(_images(1), _images(2), torch.zeros(4, 2))
    assert str(unwanted.value) == "noise: expected none, got (4, 2); noise_size is 0"
