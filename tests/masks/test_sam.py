"""The way through a SAM-family model: one built from a small configuration, for no weights are to be had here."""

import sys

import numpy as np
import pytest

from drawn_boxes import blob, box_of, picture
from terse.errors import DataError, MissingExtra
from terse.masks.sam import Sam


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    transformers = pytest.importorskip("transformers", reason="the extra transformers is not installed")
    vision = transformers.SamVisionConfig(
        hidden_size=16, output_channels=8, num_hidden_layers=2, num_attention_heads=2, image_size=64, patch_size=8,
        global_attn_indexes=[1], window_size=4, mlp_dim=32, num_pos_feats=4,
    )  # fmt: skip
    prompt = transformers.SamPromptEncoderConfig(hidden_size=8, image_size=64, patch_size=8, mask_input_channels=4)
    decoder = transformers.SamMaskDecoderConfig(
        hidden_size=8, mlp_dim=16, num_hidden_layers=1, num_attention_heads=2, iou_head_hidden_dim=8
    )
    config = transformers.SamConfig(
        vision_config=vision.to_dict(), prompt_encoder_config=prompt.to_dict(), mask_decoder_config=decoder.to_dict()
    )
    import torch

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("sam")
    transformers.SamModel(config).save_pretrained(folder)
    size = {"longest_edge": 64}
    images = transformers.SamImageProcessor(
        size=size, pad_size={"height": 64, "width": 64}, mask_size=size, mask_pad_size={"height": 64, "width": 64}
    )
    transformers.SamProcessor(images).save_pretrained(folder)
    return folder


def test_a_model_gives_a_mask_of_the_images_size_for_each_box_the_same_at_every_call(tiny):
    masks = [blob((35, 40), (20, 25)), blob((90, 50), (18, 22))]
    engine = Sam(tiny)
    engine.check()
    boxes = [box_of(mask) for mask in masks] * 20  # more than one pass of the decoder
    cut = engine.cut(picture(masks), boxes)
    assert len(cut) == 40
    assert {(mask.dtype, mask.shape) for mask in cut} == {(np.dtype(np.bool_), (90, 120))}
    np.testing.assert_array_equal(cut[1], Sam(tiny).cut(picture(masks), boxes[1:2])[0])


def test_a_folder_without_a_model_and_another_model_are_refused(tmp_path):
    transformers = pytest.importorskip("transformers", reason="the extra transformers is not installed")
    with pytest.raises(DataError) as none:
        Sam(tmp_path / "none").check()
    assert str(none.value) == (
        f"--model: expected the folder of a SAM-family model, got nothing at {tmp_path / 'none'}; "
        "download one on a machine that can, and copy the folder"
    )
    transformers.BertConfig().save_pretrained(tmp_path)
    with pytest.raises(DataError) as other:
        Sam(tmp_path).check()
    assert str(other.value) == f"--model: expected a SAM-family model, got one of the kind 'bert' in {tmp_path}"


def test_without_the_extra_the_install_line_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra) as missing:
        Sam(tmp_path).check()
    assert str(missing.value) == (
        "--engine sam: expected the extra 'transformers' to be installed, got no such package; "
        'run: pip install "terse-synth[transformers]"'
    )
