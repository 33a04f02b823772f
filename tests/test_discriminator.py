"""The discriminator against the dump of A.2, its losses by hand, its AUC against counting."""

import math

import pytest
import torch
from torch import nn

from terse.discriminator import Discriminator, auc_of_scores, discriminator_loss, realism_loss
from terse.errors import ShapeError


def test_every_layer_is_the_dumps() -> None:
    (network,) = Discriminator().networks
    lines = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            lines.append((layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding))
        elif isinstance(layer, nn.InstanceNorm2d):
            lines.append((layer.num_features, layer.eps, layer.affine, layer.track_running_stats))
        elif isinstance(layer, nn.LeakyReLU):
            lines.append(layer.negative_slope)
    four, two, one = (4, 4), (2, 2), (1, 1)
    assert lines == [
        (3, 64, four, two, two), 0.2,
        (64, 128, four, two, two), (128, 1e-5, False, False), 0.2,
        (128, 256, four, two, two), (256, 1e-5, False, False), 0.2,
        (256, 512, four, one, two), (512, 1e-5, False, False), 0.2,
        (512, 1, four, one, two),
    ]  # fmt: skip
    widths = [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1)]
    assert sum(p.numel() for p in network.parameters()) == sum((16 * a + 1) * b for a, b in widths)


def test_sizes_run_151_76_39_40_41() -> None:
    model = Discriminator().to("meta")
    x = torch.empty(2, 3, 300, 300, device="meta")
    sizes = []
    for block in model.networks[0]:
        x = block(x)
        sizes.append(x.shape[-1])
    assert sizes == [151, 76, 39, 40, 41]
    assert model(torch.empty(2, 3, 300, 300, device="meta")).shape == (2, 41 * 41)


def test_scales_add_networks_on_halved_images() -> None:
    torch.manual_seed(0)
    model = Discriminator(scales=2)
    images = torch.rand(2, 3, 96, 96)
    first, second = model.networks
    halved = nn.functional.avg_pool2d(2 * images - 1, 3, 2, 1, count_include_pad=False)
    expected = torch.cat([first(2 * images - 1).flatten(1), second(halved).flatten(1)], dim=1)
    assert torch.equal(model(images), expected)


def test_width_and_input_size_shrink_the_work() -> None:
    torch.manual_seed(0)
    model = Discriminator(width=8, input_px=96)
    channels = [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert channels == [8, 16, 32, 64, 1]
    images = torch.rand(2, 3, 160, 160)
    shrunk = nn.functional.interpolate(images, (96, 96), mode="bilinear", antialias=True)
    assert torch.equal(model(images), model(shrunk))
    assert model(images[..., :64, :64]).shape == (2, 11 * 11)  # smaller ones stay


def test_one_scale_never_halves() -> None:
    model = Discriminator()
    model.halve = None  # type: ignore[assignment]
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 11 * 11)


@pytest.mark.parametrize("sigma", [0.02, math.sqrt(0.02)])
def test_first_weights_have_the_sigma(sigma: float) -> None:
    torch.manual_seed(0)
    for layer in Discriminator(weight_sigma=sigma).modules():
        if isinstance(layer, nn.Conv2d):
            assert abs(layer.weight.std().item() / sigma - 1) < 0.05
            assert layer.bias is not None
            assert not layer.bias.any()


def test_losses_by_hand() -> None:
    real, fake = torch.tensor([[0.0, 2.0]]), torch.tensor([[-1.0, 0.0], [3.0, 3.0]])

    def log_d(x: float) -> float:
        return math.log(1 / (1 + math.exp(-x)))

    def log_not_d(x: float) -> float:
        return math.log(1 - 1 / (1 + math.exp(-x)))

    expected = -(log_d(0) + log_d(2)) / 2 - (log_not_d(-1) + log_not_d(0) + 2 * log_not_d(3)) / 4
    assert discriminator_loss(real, fake).item() == pytest.approx(expected, rel=1e-6)
    per_image = [(log_not_d(-1) + log_not_d(0)) / 2, log_not_d(3)]
    assert realism_loss(fake, "saturating").tolist() == pytest.approx(per_image, rel=1e-5)
    per_image = [-(log_d(-1) + log_d(0)) / 2, -log_d(3)]
    assert realism_loss(fake, "non_saturating").tolist() == pytest.approx(per_image, rel=1e-5)


def test_losses_stay_finite_where_the_verdict_is_certain() -> None:
    certain = torch.tensor([[1000.0]])
    assert discriminator_loss(-certain, certain).item() == 2000
    assert realism_loss(certain, "saturating").item() == -1000


def test_the_saturating_form_has_no_slope_where_the_composite_is_found_out() -> None:
    found_out = torch.tensor([[-20.0]], requires_grad=True)
    (flat,) = torch.autograd.grad(realism_loss(found_out, "saturating").sum(), found_out)
    (steep,) = torch.autograd.grad(realism_loss(found_out, "non_saturating").sum(), found_out)
    assert abs(flat.item()) < 1e-8
    assert steep.item() == pytest.approx(-1)


@pytest.mark.parametrize("form", ["saturating", "non_saturating"])
def test_losses_pass_gradcheck(form: str) -> None:
    logits = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: realism_loss(x, form), (logits,))  # type: ignore[arg-type]
    assert torch.autograd.gradcheck(discriminator_loss, (logits, logits.detach().flip(0).requires_grad_()))


def test_training_tells_bright_from_dark() -> None:
    torch.manual_seed(0)
    model = Discriminator()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(1)
    for _ in range(8):
        noise = torch.rand(2, 4, 3, 32, 32, generator=generator)
        loss = discriminator_loss(model(noise[0] * 0.5 + 0.5), model(noise[1] * 0.5))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        real = model(torch.rand(8, 3, 32, 32, generator=generator) * 0.5 + 0.5).mean(dim=1)
        fake = model(torch.rand(8, 3, 32, 32, generator=generator) * 0.5).mean(dim=1)
    assert auc_of_scores(real, fake) == 1.0


def test_auc_counts_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randint(0, 6, (40,), generator=generator) + 1, torch.randint(0, 6, (30,), generator=generator)
    wins = (real[:, None] > fake).double() + 0.5 * (real[:, None] == fake).double()
    assert auc_of_scores(real.float(), fake.float()) == pytest.approx(wins.mean().item(), abs=1e-12)
    assert auc_of_scores(real.float(), real.float()) == 0.5


def test_misuse_is_told_in_one_sentence() -> None:
    with pytest.raises(ShapeError) as small:
        Discriminator(scales=2)(torch.rand(1, 3, 40, 300))
    assert str(small.value) == (
        "images: expected RGB of shape (batch, 3, height, width), at least 48 px a side, got (1, 3, 40, 300)"
    )
    with pytest.raises(ShapeError) as none:
        auc_of_scores(torch.zeros(0), torch.zeros(3))
    assert str(none.value) == "scores: expected at least one of each kind, got 0 real and 3 fake"
