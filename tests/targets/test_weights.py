import argparse

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from terse.errors import DataError
from terse.targets.classifier.target import MNISTClassifier, MNISTClassifierDeep
from terse.targets.weights import load_weights, read_weights


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


@pytest.mark.parametrize(
    ("held", "got"),
    [
        ({}, "an empty one"),
        ({"model": {}}, "an empty one"),
        (None, "NoneType"),
        ({"epoch": 3, "ema": {}}, "other things as well, such as 'epoch', 'ema'; save the state_dict alone"),
    ],
)
def test_a_file_without_weights_says_what_it_holds(tmp_path, held, got):
    path = tmp_path / "w.pth"
    torch.save(held, path)
    with pytest.raises(DataError) as caught:
        read_weights(path)
    assert str(caught.value) == f"{path}: expected a state_dict of tensors by name, got {got}"


def test_a_checkpoint_with_its_arguments_names_them(tmp_path):
    path = tmp_path / "w.pth"
    torch.save({"model": {"a": torch.zeros(1)}, "args": argparse.Namespace(lr=1)}, path)
    with pytest.raises(DataError) as caught:
        read_weights(path)
    assert str(caught.value) == (
        f"{path}: expected weights as tensors only, got a file that cannot be read so (it holds what only code could make, "
        "argparse.Namespace; save the state_dict alone, as torch.save(model.state_dict(), FILE))"
    )


@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_names_of_wrapped_modules_are_read(tmp_path, wrapper):
    path, one = tmp_path / "w.pth", nn.Linear(2, 1)
    torch.save({"model_state_dict": {f"{wrapper}{name}": value for name, value in one.state_dict().items()}}, path)
    other = nn.Linear(2, 1)
    load_weights(other, path)
    assert torch.equal(other.weight, one.weight)


@pytest.mark.parametrize("prefix", ["model.", "net.encoder."])
def test_a_prefix_that_all_names_share_is_left_out_where_they_fit_without_it(tmp_path, caplog, prefix):
    path, one = tmp_path / "lightning.ckpt", nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 1))
    weights = {f"{prefix}{name}": value for name, value in one.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": weights, "optimizer_states": []}, path)
    other = nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 1))
    with caplog.at_level("INFO"):
        load_weights(other, path)
    assert torch.equal(other[1].weight, one[1].weight)
    assert caplog.messages == [f"lightning.ckpt: the names are read without {prefix!r}, which all of them begin with"]


def test_names_that_fit_with_their_prefix_keep_it(tmp_path, caplog):
    path, one = tmp_path / "w.pth", nn.ModuleDict({"model": nn.Linear(2, 1)})
    torch.save(one.state_dict(), path)
    with caplog.at_level("INFO"):
        load_weights(one, path)
    assert not caplog.messages


def test_names_that_fit_neither_way_are_told_as_they_stand(tmp_path):
    path = tmp_path / "w.pth"
    torch.save({"model.weight": torch.zeros(1, 2), "model.gone": torch.zeros(1)}, path)
    with pytest.raises(DataError) as caught:
        load_weights(nn.Linear(2, 1, bias=False), path)
    assert str(caught.value) == (
        f"{path}: expected the weights of Linear, got another model's "
        "(1 missing, such as weight; 2 unknown, such as model.weight, model.gone)"
    )


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")
@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (torch.eye(2).to_sparse(), "sparse_coo"),
        (torch.eye(2, dtype=torch.complex64), "complex64"),
        (torch.eye(2, device="meta"), "without values"),
    ],
)
def test_tensors_that_are_no_weights_are_named(tmp_path, tensor, kind):
    path = tmp_path / "w.pth"
    torch.save({"weight": tensor}, path)
    with pytest.raises(DataError) as caught:
        load_weights(nn.Linear(2, 2, bias=False), path)
    assert str(caught.value) == (
        f"{path}: expected dense tensors of real numbers, got others as well, such as 'weight' ({kind}); "
        "save them as dense ones"
    )


def test_a_module_whose_own_names_look_wrapped_is_loaded(tmp_path):
    path, one = tmp_path / "w.pth", nn.DataParallel(nn.Linear(2, 1))
    torch.save(one.state_dict(), path)
    load_weights(one, path)


def test_safetensors_are_known_in_capitals_too(tmp_path):
    path = tmp_path / "W.SAFETENSORS"
    save_file({"a": torch.ones(2)}, path)
    assert read_weights(path)["a"].tolist() == [1, 1]
