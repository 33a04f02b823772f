"""The only file that turns a recipe into objects and joins them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from terse.discriminator import Discriminator
from terse.errors import RecipeError, RunError
from terse.evaluation.helpful import Helpful
from terse.evaluation.learnable import ReferenceRule
from terse.folders import check_digest, locked, sha256_of, taken_back, write_json
from terse.objectives import target_loss_of
from terse.pictures.page_folder import has_page, write_page
from terse.pictures.run_pictures import run_pictures
from terse.pool import Pool, published
from terse.progress import Observer, heard_by
from terse.protocols import is_trainable, network_of, trainable
from terse.recipe import NOT_COMPARED, Recipe, as_recipe, dump_recipe, load_recipe
from terse.results import RunResult, read_run
from terse.run_folder import claim_run, clear, digested, finished_folder, require_clearable
from terse.sources.run_data import RunData, made_by_caller, run_data
from terse.synthesis.learned.proposer import LearnedProposer
from terse.synthesis.materials import materials_of
from terse.targets.user import as_target
from terse.targets.weights import load_weights
from terse.tasks.task import task_of
from terse.tracking import tracked
from terse.training.cycle import judge_cycle, run_cycles
from terse.training.engine import Engine, process_kept
from terse.training.guides import take_guide
from terse.training.probe import check_answers
from terse.training.ranks import Ranks
from terse.training.references import make_references
from terse.training.seeding import reseed
from terse.training.session import Players, Session
from terse.trust import trusting
from terse.validation import overlay, validate

__all__ = [
    "build_players",
    "check_target",
    "compute_page",
    "evaluate",
    "finish",
    "join_session",
    "open_run",
    "open_session",
    "train",
    "with_target",
    "written",
]


@process_kept()
def train(
    recipe: Recipe | str | Path,
    overrides: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    resume: bool = False,
    restart: bool = False,
    data: RunData | None = None,
    target: Any = None,
    observer: Observer | None = None,
    trust: bool = False,
) -> dict[str, Any]:
    """Run a recipe: train the start, cycle, keep the best target; the object that `result.json` holds.

    Begun by `torchrun` or `accelerate launch`, the processes share the work; the first one writes the folder.

    Args:
        recipe: a Recipe, a built-in name or a file.
        overrides: `key=value`, as on the command line.
        out: folder for the run; None keeps everything in memory.
        resume: go on with the run that `out` holds.
        restart: begin anew in a folder that holds a run; what that run wrote is removed.
        data: what the recipe's `data` would build, made by you (`RunData`).
        target: a model of your own instead of the recipe's: a classifier, a detector of torchvision's classes or a Target.
        observer: is told of phases, steps and cycles, and may stop the run.
        trust: import the code that the recipe names (`target: {kind: user}`).

    Raises:
        TerseError: a recipe, source, target or folder that cannot be used; the message says which and why.
    """
    recipe, observer, data = as_recipe(recipe, overrides), heard_by(observer), made_by_caller(data)
    folder = Path(out) if out is not None else None
    if folder is None and (resume or restart):
        raise RunError(f"{'resume' if resume else 'restart'}: expected the folder of a run as out, got none")
    if resume and restart:
        raise RunError("restart: expected it or resume, got both; resume goes on, restart removes what the run wrote")
    ranks = Ranks.join(recipe.runtime.device)
    written = None if ranks.number else folder  # the first process alone claims the folder and writes in it
    track = () if ranks.number else recipe.runtime.track
    with trusting(trust), locked(written):
        with tracked(track, recipe.name, dump_recipe(recipe), written, observer) as watcher:
            with taken_back(written):
                session = open_session(
                    recipe,
                    folder,
                    resume=resume,
                    restart=restart,
                    data=data,
                    target=target,
                    observer=watcher,
                    ranks=ranks,
                )
                check_target(session.players, recipe)
                if not resume:
                    check_answers(session)
                if restart:  # nothing was refused: only now may the old run go
                    ranks.wait()
                    _begin_anew(written, recipe)
            result = finish(session)
        if written is not None and not has_page(written):
            write_page(written, run_pictures(recipe, session.players, session.pool, written))
    ranks.leave()
    return result.to_json()


def _begin_anew(folder: Path | None, recipe: Recipe) -> None:
    """Make a folder that holds a run this recipe's; nothing where another process writes."""
    if folder is not None:
        clear(folder, recipe)
        claim_run(folder, recipe, resume=False)


def finish(session: Session) -> RunResult:
    """Run a session to its end and write `result.json` and `labels.json`; what the page shows is not computed."""
    check_target(session.players, session.recipe)
    trains = is_trainable(session.players.target)
    return written(session, run_cycles(session) if trains else judge_cycle(session, 1))


def with_target(recipe: Recipe, target: str) -> Recipe:
    """The recipe with the retrained model instead of its target's."""
    key, equals, _ = target.partition("=")
    named = equals and key.split(".")[0] in type(recipe.target).model_fields
    override = f"target.{target}" if named else f"target.weights={target}"
    return validate(Recipe, overlay(Recipe, recipe.model_dump(mode="json"), [override]), None)


def written(session: Session, result: RunResult) -> RunResult:
    """Write `result.json` and `labels.json` of a session that ended; the result with the digests of what it left."""
    folder = session.folder
    if folder is not None and not session.engine.rank:
        digests = {name: sha256_of(folder / name) for name in digested(folder)}
        result = result.model_copy(update={"sha256": digests})
        write_json(folder / "result.json", result.to_json())
        write_json(folder / "labels.json", list(session.players.materials.classes), indent=None)
    return result


@process_kept()
def compute_page(folder: Path) -> None:
    """Write `page/` for a finished run that has none or an outdated one.

    Raises:
        RunError: the folder holds no finished run.
    """
    recipe, players, pool = open_run(folder)
    write_page(folder, run_pictures(recipe, players, pool, folder))


def check_target(players: Players, recipe: Recipe) -> None:
    """See that the target can do what this run asks of it, before hours of training."""
    if not is_trainable(players.target) and recipe.pretrain is not None:
        raise RecipeError(
            f"pretrain: expected null for a target that only judges, got settings for {type(players.target).__name__}; "
            "train it before the run begins"
        )
    if not is_trainable(players.target) and players.proposer is None:
        raise RecipeError(
            f"synthesis.kind: expected an arm that finds what {type(players.target).__name__} fails, which only judges, got none; "
            "for example mined"
        )
    if isinstance(players.proposer, LearnedProposer) and recipe.cycles:
        target_loss_of(players.target, recipe.objective)


def open_session(
    recipe: Recipe,
    folder: Path | None,
    *,
    resume: bool = False,
    restart: bool = False,
    data: RunData | None = None,
    target: Any = None,
    observer: Observer | None = None,
    ranks: Ranks | None = None,
) -> Session:
    """A session at its start, or where the folder's run was left; `ranks` are the processes of the run.

    With `restart` the folder stays the old run's: the caller claims it when the new one has passed its checks.

    Raises:
        RunError: the folder holds another run, or one and `resume` is false; or one that cannot be restarted.
        RecipeError: `test_groups` names what a proof could not count.
    """
    engine = Engine(recipe.runtime, ranks)
    if folder is not None and not engine.rank:
        if restart:
            require_clearable(folder, recipe)
        else:
            claim_run(folder, recipe, resume=resume)
    engine.ranks.wait()  # until the folder is the run's
    data = run_data(recipe, observer) if data is None else data
    players = build_players(recipe, engine, data=data, target=target)
    if not resume:
        task_of(recipe).check_groups(players.test, recipe.test_groups)
    for message in (*data.messages, *getattr(recipe.synthesis, "messages", ())):
        heard_by(observer).say(message)
    found = getattr(players.target, "found", "nothing")
    if target is None and found != "nothing":
        held = "a backbone; the rest starts from nothing" if found == "backbone" else f"a whole {found}"
        weights = getattr(recipe.target, "weights", None)
        heard_by(observer).say(f"target.weights: {weights} holds {held}")
    session = join_session(recipe, folder, players, engine, observer)
    if resume:
        session.restore()
    engine.ranks.wait()  # until all have read what the first one will write anew
    return session


def join_session(
    recipe: Recipe, folder: Path | None, players: Players, engine: Engine, observer: Observer | None
) -> Session:
    """A session at its beginning, with the run's pool."""
    pool_folder = folder / "pool" if folder is not None else None
    # A shard is drawn again with the run's classes: its backgrounds may know others.
    whole = recipe.model_copy(update={"classes": tuple(players.materials.classes)})
    pool = _pool(
        pool_folder,
        players,
        {"recipe": whole.model_dump(mode="json", exclude=set(NOT_COMPARED)), "square": True},
        writes=not engine.rank,
        published=None if engine.rank else published(recipe.runtime.publish, folder),
    )
    return Session(recipe, players, pool, folder, heard_by(observer), engine)


@process_kept()
def open_run(folder: Path, observer: Observer | None = None, target: str | None = None) -> tuple[Recipe, Players, Pool]:
    """A finished run's recipe, players with the kept target, and pool; the observer hears how far cleanup is.

    Args:
        folder: of the run.
        observer: hears how far cleanup is.
        target: another model instead of the kept one, as `black_box.go_on` takes it.

    Raises:
        RunError: the folder holds no finished run.
    """
    recipe = load_recipe(finished_folder(folder) / "recipe.yaml")
    recipe = recipe if target is None else with_target(recipe, target)
    for name, digest in (read_run(folder).sha256 or {}).items():
        check_digest(folder / name, digest)
    players = build_players(recipe, data=run_data(recipe, observer))
    if target is None and (folder / "target.pth").is_file():
        load_weights(trainable(players.target).module, folder / "target.pth")
    pool = _pool(folder / "pool", players)
    cycles = recipe.cycles if is_trainable(players.target) else pool.cycles_written
    pool.load(cycles if recipe.synthesis.kind != "none" else 0)
    return recipe, players, pool


def _pool(folder: Path | None, players: Players, about: Mapping[str, Any] | None = None, **how: Any) -> Pool:
    materials = players.materials
    return Pool(folder, materials.foregrounds, materials.backgrounds, materials.poses, about, **how)


@process_kept()
def build_players(
    recipe: Recipe, engine: Engine | None = None, *, data: RunData | None = None, target: Any = None
) -> Players:
    """Everything a run plays with, weights drawn from the recipe's seed; on the CPU where no engine is given."""
    engine = engine or Engine()
    data = run_data(recipe) if data is None else data
    materials = materials_of(recipe, data, data.train, engine.device)
    classes = materials.classes
    reseed(recipe.seed, 0, "target weights", 0)
    if target is None:
        target = recipe.target.build(classes=classes, canvas_px=recipe.canvas_px)
    else:
        target = as_target(target, "target: expected", classes, recipe.canvas_px)
    network = network_of(target)
    if network is not None:
        engine.prepare(network)
    reseed(recipe.seed, 0, "synthesizer weights", 0)
    proposer = recipe.synthesis.build(materials)
    if proposer is not None and proposer.limits.objects != (1, 1) and task_of(recipe).one_object:
        raise RecipeError(
            f"synthesis.objects: expected [1, 1] with task: {recipe.task}, whose images hold one object each, "
            f"got {list(proposer.limits.objects)}"
        )
    if proposer is not None and proposer.module is not None:
        engine.prepare(proposer.module)
    discriminator = None
    if isinstance(proposer, LearnedProposer):
        reseed(recipe.seed, 0, "discriminator weights", 0)
        settings = proposer.settings.discriminator_settings
        if proposer.settings.discriminator:
            discriminator = Discriminator(
                weight_sigma=settings.weight_sigma,
                scales=settings.scales,
                width=settings.width,
                input_px=settings.input_px,
            )
            engine.prepare(discriminator)
    rule = recipe.hardness.build()
    if isinstance(rule, ReferenceRule):
        make_references(rule, recipe, target, materials, engine)
    if isinstance(rule, Helpful):
        take_guide(rule, recipe, target, data)
    return Players(target, proposer, rule, materials, data.train, data.val, data.test, discriminator)


@process_kept()
def evaluate(recipe: Recipe | str | Path, checkpoint: str | Path, *, trust: bool = False) -> dict[str, Any]:
    """A model's figures on the test images of a recipe, built-in name or file; with `trust`, code that it names is imported.

    Raises:
        TerseError: the recipe cannot be used, or the checkpoint is missing or another model's.
    """
    recipe = as_recipe(recipe)
    engine = Engine(recipe.runtime)
    with trusting(trust):
        players = build_players(recipe, engine)
    load_weights(trainable(players.target).module, Path(checkpoint))
    engine.use_threads(1 << 20)
    with engine.autocast():  # as the run measured it
        return task_of(recipe).measure(players.target, players.test, engine.device)
