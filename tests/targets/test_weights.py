import pytest
import torch

from terse.errors import DataError
from terse.targets.classifier.target import MNISTClassifier, MNISTClassifierDeep
from terse.targets.weights import load_weights


def test_weights_of_another_model_are_named(tmp_path):
    path = tmp_path / "w.pth"
    torch.save(MNISTClassifierDeep().state_dict(), path)
    with pytest.raises(DataError) as caught:
        load_weights(MNISTClassifier(), path)
    assert str(caught.value) == (
        f"{path}: expected the weights of MNISTClassifier, got another model's "
        "(24 unknown, such as features.1.weight, features.1.bias, features.1.running_mean; "
        "5 of another shape, such as features.0.weight, features.0.bias, features.3.weight)"
    )


def test_weights_with_code_in_them_do_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'owned')!r}, 'w')",))

    path = tmp_path / "w.pth"
    torch.save({"a": Evil()}, path)
    with pytest.raises(DataError, match=r"expected weights as tensors only, got a file that cannot be read so"):
        load_weights(MNISTClassifier(), path)
    assert not (tmp_path / "owned").exists()
