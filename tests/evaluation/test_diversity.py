"""Pooled features of a model that looks at images anyway."""

import numpy as np
import pytest
import torch
from torch import nn

from terse.evaluation.diversity import feature_diversity, pooled_features


class Model(nn.Module):
    """Two convolutions, and a wide head that sees two scales."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Conv2d(4, 6, 3)
        self.head = nn.Conv2d(6, 50, 1)

    def forward(self, images):
        deep = self.second(self.first(images))
        return self.head(deep), self.head(deep[..., ::2, ::2])


def test_the_widest_convolution_that_saw_each_image_once():
    torch.manual_seed(0)
    model, images = Model(), torch.rand(5, 3, 12, 12)
    with torch.no_grad(), pooled_features(model) as features:
        model(images[:3])
        model(images[3:])
    wanted = model.second(model.first(images)).mean(dim=(2, 3)).detach().numpy()
    assert np.allclose(features.of(5), wanted, atol=1e-6)
    assert features.of(4) is None
    assert features.of(0) is None


def test_the_model_is_left_as_it_was():
    model = Model()
    with pooled_features(model):
        pass
    with torch.no_grad(), pooled_features(model) as features:
        pass
    model(torch.rand(1, 3, 12, 12))
    assert features.of(1) is None
    assert not any(part._forward_hooks for part in model.modules())


def test_a_model_without_convolutions_has_no_features():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with torch.no_grad(), pooled_features(model) as features:
        model(torch.rand(4, 3, 2, 2))
    assert features.of(4) is None


def test_alike_images_lie_closer():
    torch.manual_seed(0)
    model, images = Model(), torch.rand(8, 3, 12, 12)
    found = []
    for shown in (images, images.mean(dim=0) + 0.1 * (images - images.mean(dim=0))):
        with torch.no_grad(), pooled_features(model) as features:
            model(shown)
        found.append(feature_diversity(features.of(8)).distance)
    assert found[1] < 0.2 * found[0]


def test_diversity_by_hand() -> None:
    square = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0], [3.0, 4.0]])
    diversity = feature_diversity(square + 1e4)
    assert diversity.distance == pytest.approx((3 + 4 + 5) / 3)
    assert diversity.nearest == pytest.approx(3.0)
    assert feature_diversity(square[:1]).to_json() == {"distance": 0.0, "nearest": 0.0}


def test_diversity_of_many_is_that_of_a_sample() -> None:
    features = np.random.default_rng(0).normal(size=(3000, 4))
    few, many = feature_diversity(features[:1500]), feature_diversity(features)
    assert many.distance == pytest.approx(few.distance, rel=0.05)
    assert feature_diversity(np.repeat(features[:1], 10, axis=0)).distance == 0.0
