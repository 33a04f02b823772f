"""From a recipe's words to a transformers model: its configuration, its weights, and what its labels mean."""

import copy
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from terse.errors import DataError, MissingExtra, RecipeError, TerseError, reason_of
from terse.modes import eval_mode
from terse.registry import nearest
from terse.targets.detector.config import columns_of_classes
from terse.targets.huggingface.config import HuggingFaceConfig
from terse.targets.huggingface.target import HuggingFaceTarget
from terse.targets.pixels import Pixels
from terse.targets.weights import load_weights

__all__ = ["build_detector"]


def build_detector(settings: HuggingFaceConfig, classes: Sequence[str], side_px: int) -> HuggingFaceTarget:
    """The target; one image is run through the model to see that it takes such.

    Raises:
        RecipeError: a configuration or labels that do not fit.
        DataError: weights that are not there, or of something else.
        MissingExtra: transformers is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise MissingExtra("target.kind=huggingface", "transformers") from None
    folder = settings.weights if settings.weights is not None and settings.weights.is_dir() else None
    with _quiet():
        config = _config_of(settings, folder)
        labels, new_head = _labels_of(config, settings, classes, given=folder is not None)
        if new_head:
            config.id2label = dict(enumerate(classes))
            config.label2id = {name: number for number, name in enumerate(classes)}
        module, found = _module_of(transformers, config, settings.weights, folder, new_head=new_head)
    pixels = _pixels_of(transformers, config, folder, side_px)
    columns = columns_of_classes(classes, config.num_labels, labels, softmax=False)
    softmax = _one_more_column(module, config, pixels, side_px)
    names = [str(name).casefold() for name in config.id2label.values()] if folder and found == "detector" else []
    return HuggingFaceTarget(
        module,
        classes,
        columns,
        pixels,
        settings.lambda_box,
        softmax=softmax,
        found=found,
        named={name: number for name, number in zip(names, config.id2label, strict=False) if names.count(name) == 1},
    )


def _config_of(settings: HuggingFaceConfig, folder: Path | None) -> Any:
    from transformers import CONFIG_MAPPING

    given = dict(settings.config)
    if folder is None:
        kind = given.pop("model_type", None)
        if kind not in CONFIG_MAPPING:
            near = nearest(str(kind), list(CONFIG_MAPPING))
            raise RecipeError(
                f"target.config.model_type: expected a model of transformers, such as detr, rt_detr, d_fine or yolos, "
                f"got {kind!r}{near or '; or give the folder of a saved model as target.weights'}"
            )
        known = CONFIG_MAPPING[kind]()
    else:
        if not (folder / "config.json").is_file():
            raise DataError(
                f"target.weights: expected a folder that save_pretrained wrote, got {folder} without config.json"
            )
        try:
            saved = _saved_config(folder)
            known = CONFIG_MAPPING[saved["model_type"]].from_dict(copy.deepcopy(saved))
        except TerseError:
            raise
        except Exception as error:  # no JSON, an unknown kind, a list for a mapping
            raise DataError(
                f"target.weights: expected the config.json of a model of transformers, got {folder / 'config.json'}: "
                f"{reason_of(error)}"
            ) from None
        given.pop("model_type", None)
    wrong = next((name for name in given if not hasattr(known, name)), None)
    if wrong is not None:
        raise RecipeError(
            f"target.config.{wrong}: expected a setting of {type(known).__name__}, got another"
            f"{nearest(wrong, list(known.to_dict()))}"
        )
    try:
        config = (
            CONFIG_MAPPING[kind](**given)
            if folder is None
            else CONFIG_MAPPING[saved["model_type"]].from_dict(saved, **given)
        )
    except Exception as error:  # each model checks its settings in its own way
        raise RecipeError(
            f"target.config: expected settings of {type(known).__name__}, got {reason_of(error)}"
        ) from None
    parts: tuple[Any, ...] = (config, getattr(config, "backbone_config", None))
    for part in parts:
        if getattr(part, "use_pretrained_backbone", None):
            part.use_pretrained_backbone = False  # a download; a saved folder holds the backbone's weights too
    return config


def _saved_config(folder: Path) -> dict[str, Any]:
    """What a saved folder's config.json says, its backbone described and not named.

    Transformers 4 wrote a backbone's name beside its arguments, which transformers 5 looks up on the net.

    Raises:
        DataError: the backbone is not timm's, so that its settings are on the net alone.
    """
    from transformers import CONFIG_MAPPING, PreTrainedConfig

    saved: dict[str, Any] = PreTrainedConfig.get_config_dict(str(folder), local_files_only=True)[0]
    if saved.get("model_type") not in CONFIG_MAPPING:
        raise ValueError(f"its model_type is {saved.get('model_type')!r}")
    if saved.get("backbone") is None or saved.get("backbone_config") is not None:
        return saved
    name, arguments = saved.pop("backbone"), saved.pop("backbone_kwargs", None) or {}
    if not saved.pop("use_timm_backbone", True):
        raise DataError(
            f"target.weights: expected a backbone_config in {folder / 'config.json'}, got the name of one to download, "
            f"{name!r}; write its settings there"
        )
    saved["backbone_config"] = {"model_type": "timm_backbone", "backbone": name, **arguments}
    return saved


def _labels_of(
    config: Any, settings: HuggingFaceConfig, classes: Sequence[str], *, given: bool
) -> tuple[dict[str, int] | None, bool]:
    """The model's own label of each class, None where they are the classes in order; and whether it needs a new head."""
    if settings.labels is not None:
        return settings.labels, False
    if not given:
        return None, True
    own: dict[int, str] = config.id2label
    known: dict[str, int] = {}
    for name in classes:
        said = {number for number, label in own.items() if label == name}
        said |= {number for label, number in (config.label2id or {}).items() if label == name and number in own}
        # Nobody means two classes by names that differ in case alone.
        said = said or {number for number, label in own.items() if str(label).casefold() == name.casefold()}
        if len(said) > 1:
            numbers = " and ".join(map(str, sorted(said)))
            raise RecipeError(
                f"target.labels: expected one output for {name} in config.json, got {numbers}; write labels: {{{name}: ...}}"
            )
        if said:
            known[name] = said.pop()
    beyond = next((name for name, number in known.items() if not 0 <= number < len(own)), None)
    if beyond is not None:
        raise DataError(
            f"target.weights: expected the {len(own)} labels of config.json to be numbered from 0 to {len(own) - 1}, got "
            f"{known[beyond]} for {beyond}; give the numbers between a name too"
        )
    if known:  # `columns_of_classes` names those that are missing
        return known, False
    generic = all(str(label).startswith("LABEL_") for label in own.values())
    return None, not (generic and len(own) == len(classes))


def _module_of(
    transformers: Any, config: Any, weights: Path | None, folder: Path | None, *, new_head: bool
) -> tuple[nn.Module, str]:
    """The model, and what its weights held."""
    auto = transformers.AutoModelForObjectDetection
    try:
        if folder is None:
            module: nn.Module = auto.from_config(config)
        else:
            module = auto.from_pretrained(
                str(folder), config=config, local_files_only=True, ignore_mismatched_sizes=new_head
            )
    except Exception as error:  # a missing file, another model's tensors, a model that detects nothing
        if "ignore_mismatched_sizes" in str(error):  # it lists them in the log
            raise DataError(
                f"target.weights: expected tensors of the sizes that {folder}/config.json describes, with its "
                f"{config.num_labels} labels, got others; give every output a label there"
            ) from None
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"target: expected a detector of transformers that can be made, got {first}") from None
    if weights is None:
        return module, "nothing"
    if folder is None:
        load_weights(module, weights)
    return module, "backbone" if new_head and folder is not None else "detector"


def _pixels_of(transformers: Any, config: Any, folder: Path | None, side_px: int) -> Pixels:
    """How the model's image processor normalises: the folder's own, else the default of its kind."""
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING

    if folder is not None and (folder / "preprocessor_config.json").is_file():
        processor: Any = transformers.AutoImageProcessor.from_pretrained(str(folder), local_files_only=True)
    else:
        found = IMAGE_PROCESSOR_MAPPING.get(type(config), None)
        processor = next(iter(found.values()), None) if isinstance(found, dict) else found
    if processor is None or not getattr(processor, "do_normalize", True):
        return Pixels(side_px=side_px)
    return Pixels(tuple(processor.image_mean), tuple(processor.image_std), side_px)


def _one_more_column(module: nn.Module, config: Any, pixels: Pixels, side_px: int) -> bool:
    """Whether scores compete with a last column, "no object"; else each is a sigmoid of its own."""
    with torch.no_grad(), eval_mode(module):
        try:
            logits = module(pixel_values=pixels(torch.full((1, 3, side_px, side_px), 0.5))).logits
        except Exception as error:
            raise RecipeError(
                f"target.image_size_px: expected a side that {type(module).__name__} takes, got {side_px}, at which it "
                f"raised {type(error).__name__}: {reason_of(error)}; try another, or look at target.config"
            ) from error
    return int(logits.shape[-1]) > int(config.num_labels)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' lists of new tensors; what is missing is an error of ours."""
    from transformers.utils import logging as loud

    own: Any = loud

    before, bar = own.get_verbosity(), own.is_progress_bar_enabled()
    own.set_verbosity(logging.ERROR)
    own.disable_progress_bar()
    try:
        yield
    finally:
        own.set_verbosity(before)
        if bar:
            own.enable_progress_bar()
