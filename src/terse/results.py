"""What runs and data sets write about themselves: the typed content of their JSON files.

Writers fill these models, readers get them back from `read_run` and `read_record`; no other module names a key.
A proof's own are in `proof/results.py`. No torch.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from terse.config import help_of
from terse.errors import RunError

__all__ = [
    "FORMAT",
    "Coverage",
    "Cycle",
    "Diversity",
    "Ends",
    "HardnessCounts",
    "Metrics",
    "PoseSpread",
    "Record",
    "RunResult",
    "SetResult",
    "Shortcut",
    "as_record",
    "hardness_counts",
    "read_object",
    "read_record",
    "read_run",
    "read_text",
]

FORMAT = 1
"""Of every file described here; raised when a reader of the old would read the new wrongly."""

_LONG = 19
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
Number = int | float
Figures = dict[str, Number | None]
_Model = TypeVar("_Model", bound="Record")


class Record(BaseModel):
    """One JSON object: frozen; keys that this version does not know are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema with the string below each field, which pydantic would read with every import."""
        found = handler(schema)
        properties = handler.resolve_ref_schema(found).get("properties", {})
        for name, text in help_of(cls).items():
            if text and name in properties:
                properties[name]["description"] = text
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, lists and mappings; what was never given is left out."""
        return self.model_dump(exclude_unset=True)


class Metrics(Record):
    """A task's figures by their names (`accuracy`, `ap50`, ...); None where there was nothing to measure."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int | float | None]  # older pydantics look the names up in the subclass's module

    images: int | None = None
    """How many were measured."""
    objects: int | None = None
    """How many the detector was to find."""
    by_size: dict[str, Figures] = Field(default_factory=dict)
    by_class: dict[str, Figures] = Field(default_factory=dict)

    @property
    def figures(self) -> Figures:
        """The metrics alone, without the counts."""
        return dict(self.__pydantic_extra__)

    def figure(self, name: str) -> float | None:
        """One metric; None where it has no value."""
        value = self.__pydantic_extra__.get(name)
        return None if value is None else float(value)


class Cycle(Metrics):
    """One cycle of a run: the metrics on the test images after it, and what it found and spent.

    `val_accuracy` or `val_ap50` stands among the metrics: the figure on the validation images.
    """

    cycle: int | None = None
    samples: int = 0
    """Size of the pool after the cycle."""
    hard_rate: float | None = None
    """Share of the proposed composites that were hard for the target; one of a full class counts as its class did."""
    candidates: int | None = None
    """Composites that the harvest proposed, those of a full class, which are neither drawn nor judged, included."""
    topped_up: int | None = None
    """Composites of the pool that nobody judged, where judging passes are bounded."""
    redraws: int | None = None
    """How often the pool was drawn afresh during the cycle; `samples` counts all that it held."""
    hard_rates: list[float] | None = None
    """`hard_rate` of each draw of the pool, where it is drawn afresh; 0 where nothing was judged."""
    pose_entropy: float | None = None
    """Of the least covered number of the pose, over that of random poses."""
    duplicates: float | None = None
    """Share of composites that repeat an earlier one, exactly or nearly; the mean over the draws of a pool that is drawn afresh."""
    pose_coverage: float | None = None
    """Share of each pose component's range that the synthesizer covered at its last step, where its entropy is held."""
    mode_difference: float | None = None
    """Mean distance of a unit pose in the synthesizer's training mode from the same pair's when drawn; 0 is best."""
    discriminator_auc: float | None = None
    """How well the discriminator tells untouched backgrounds from real images."""
    reference_right: float | None = None
    """Share of the hard composites that the reference gets right, for a rule with a reference."""
    reference_steps: int | None = None
    """Steps that each reference was trained, and the next two: composites that it saw, and its accuracy by
    `hardness.of` on base composites of cut-outs that it had not seen."""
    reference_composites: int | None = None
    reference_accuracy: float | None = None
    target_on_reference: float | None = None
    """The target's accuracy on the same composites; above the reference's, the rule falls back to `hardness.of`."""
    target_forwards: int | None = None
    """Images that the target looked at, measuring for reports left out; the same for the next two."""
    target_backwards: int | None = None
    synthesizer_forwards: int | None = None
    judging_passes: int | None = None
    """Of the target's, what was spent to propose and to choose composites; a backward pass counts as two."""
    found_per_pass: float | None = None
    """Distinct composites that entered the pool for each judging pass."""
    yield_over_mining: float | None = None
    """The same over what mining finds for a pass, taken from the critic's own verdicts; for a critic."""
    base_hard_rate: float | None = None
    """Share of base candidates that are hard, from the critic's verdicts by inverse probabilities."""
    rank_correlation: float | None = None
    """Of the critic's scores with the hardness of candidates that it had not seen, over base candidates."""
    drift: float | None = None
    """Total variation distance of the cycle's harvest from mining's law, by inverse probabilities."""
    seconds: float = Field(0.0, allow_inf_nan=False)
    phase_seconds: dict[str, float] = Field(default_factory=dict)


class Ends(Record):
    """The metrics on the test images before the first cycle and of the target that was kept."""

    start: Metrics
    end: Metrics


class RunResult(Record):
    """`result.json` of a run, and what `terse.train` returns."""

    format: int = FORMAT
    out: str | None = None
    """The run's folder; None where everything stayed in memory."""
    primary: str
    """The metric that chooses the target to keep."""
    metrics: Ends
    best_cycle: int | None = None
    """Of the target that was kept; 0 is the start."""
    cycles: list[Cycle]
    alarms: list[str] = Field(default_factory=list)
    alarm_cycles: list[int] | None = None
    """The cycle of each alarm; 0 is the start."""
    seconds: float = Field(allow_inf_nan=False)
    sha256: dict[str, str] | None = None
    """Of `target.pth` and the pool's shards, by their names in the folder."""
    trained_elsewhere: bool = False
    """The target only judges: another trainer learns from the pool, and `terse generate RUN --cycle` goes on."""


class PoseSpread(Record):
    """How one number of the pose is spread over its range."""

    low: float
    high: float
    counts: list[int]
    """A histogram of equal bins over the range; what lies outside is counted in the outermost."""
    mean: float = 0.0
    spread: float = 0.0
    entropy: float
    """Of the histogram, over that of as many random poses; 1 covers like random, 0 is one bin."""
    at_edge: float
    """Share in the outermost hundredth at either end; random has 0.02."""


class Diversity(Record):
    """How far apart images lie in a feature space: mean Euclidean distances of pairs, and to the nearest other one."""

    distance: float
    nearest: float = 0.0


class Coverage(Record):
    """What a set of placements covers; only labelled objects count, not distractors or artefact patches."""

    images: int
    objects: int
    entropy: float
    """Of the least covered component; 1 where there is nothing to cover."""
    poses: dict[str, PoseSpread]
    size: PoseSpread | None = None
    """The object's relative size, the geometric mean of the scales; None for families without one."""
    position: list[list[int]] | None = None
    """Counts over an 8 x 8 grid of the free play, rows from the top; None for families without shifts."""
    foregrounds: int
    """How many different ones occur."""
    backgrounds: int
    duplicates: float
    """Share of composites equal to an earlier one, the seed apart."""
    near_duplicates: float
    """Share of objects whose cut-out occurs before at the same pose and blend, to a fiftieth of each range."""
    diversity: Diversity | None = None
    """In the features of the frozen start, where they were measured."""


class HardnessCounts(Record):
    """1 - p under the frozen start, in equal bins from 0 to 1."""

    counts: list[int]
    mean: float | None


def hardness_counts(values: Sequence[float]) -> HardnessCounts:
    """Twenty equal bins, and the mean; composites that nobody judged (NaN) are left out."""
    counts, known = [0] * 20, [value for value in values if not math.isnan(value)]
    for value in known:
        counts[min(int(value * 20), 19)] += 1
    return HardnessCounts(counts=counts, mean=math.fsum(known) / len(known) if known else None)


class Shortcut(Record):
    """`shortcut.json`: AUC of a probe that sees rims and noise alone, by condition."""

    auc: dict[str, float]
    threshold: float
    warnings: list[str] = Field(default_factory=list)


class SetResult(Record):
    """A generated data set's summary, as `terse generate --json` prints it."""

    model_config = ConfigDict(extra="allow")

    out: str
    images: int
    objects: int
    per_class: dict[str, int]
    real: dict[str, int] = Field(default_factory=dict)
    """Real images beside the composites, of train and of val; they count in `images_per_second` too."""
    skipped: list[str] = Field(default_factory=list)
    seconds: float | None = None
    images_per_second: float | None = None


def read_run(folder: Path) -> RunResult:
    """The result of a finished run.

    Raises:
        RunError: none, one that cannot be read, or one of another format.
    """
    return read_record(folder / "result.json", RunResult, "a finished run's result")


def read_record(path: Path, model: type[_Model], what: str) -> _Model:
    """The JSON object of a file; `what` names it in errors.

    Raises:
        RunError: none, one that cannot be read, or one of another format.
    """
    written = read_object(path, what, _strictly)
    _check_format(path, written)
    return as_record(path, model, written, what)


def as_record(path: Path, model: type[_Model], written: Mapping[str, Any], what: str, *within: str) -> _Model:
    """What a file says, or the object within it of these keys.

    Raises:
        RunError: a key is missing, or its value is none of its type.
    """
    try:
        return model.model_validate(written)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join((*within, *map(str, first["loc"])))
        got = "missing" if first["type"] == "missing" else repr(first["input"])
        raise RunError(f"{path}: expected {what}, got one whose {where} is {got}") from None


def read_object(path: Path, what: str, parse: Callable[[str], Any] = json.loads) -> dict[str, Any]:
    """The JSON object of a file as plain data; `what` names it in errors, `parse` may raise a ValueError.

    Raises:
        RunError: none, or one that cannot be read.
    """
    try:
        written = parse(path.read_text("utf-8"))
    except OSError as error:
        raise RunError(f"{path}: expected {what}, got: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise RunError(f"{path}: expected {what}, got a file that is not JSON") from None
    if not isinstance(written, dict):
        raise RunError(f"{path}: expected {what}, got a file that is not one JSON object")
    return written


def _strictly(text: str) -> Any:
    written = json.loads(text, parse_int=_whole)
    if _ESCAPED_SURROGATE.search(text):
        json.dumps(written, ensure_ascii=False).encode()  # a half of a pair is no text: a ValueError
    return written


def _whole(digits: str) -> int | float:
    """A number of 19 digits and more is no count of anything: as a float it is refused where a count is expected."""
    return int(digits) if len(digits) < _LONG else float(digits)


def read_text(path: Path) -> str:
    """The text of a run's file.

    Raises:
        RunError: none, or one that cannot be read.
    """
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: expected a file of a finished run, got: {error}") from None


def _check_format(path: Path, written: Mapping[str, Any]) -> None:
    """Refuse what another version of terse wrote in a format of its own; files without a number are of format 1.

    Raises:
        RunError: another format.
    """
    number = written.get("format", 1)
    if number != FORMAT:
        raise RunError(
            f"{path}: expected format {FORMAT}, got {number!r}; another version of terse wrote it: read it with that one"
        )
