"""The command `terse`: commands are imported when they are called, torch when they compute."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
from collections.abc import Sequence

__all__ = ["app", "main"]

_COMMANDS = {
    "init": "Look at your data and write the recipe that fits it.",
    "check": "Look for what stands in a run's way, before it starts.",
    "masks": "Make masks for objects that have boxes only.",
    "preview": "Draw a contact sheet of composites, before any training.",
    "train": "Run a recipe: the model gets better, and a page shows how.",
    "evaluate": "Measure a model on a recipe's test images, or its val images where it names none.",
    "generate": "Write a data set of composites.",
    "render": "Draw placements again.",
    "prove": "Compare arms at equal budgets, with intervals and a verdict.",
    "compare": "A table of runs.",
    "report": "Build a run's page again.",
    "recipes": "List the built-in recipes.",
    "targets": "List the models that can be improved.",
    "doctor": "Say whether this machine can run terse.",
}


_NEXT = """\
terse makes the training images that your vision model still gets wrong.

Try it              terse train quickstart
                    a digit classifier gets better in about a minute; no data needed
Your photographs    terse init --data ANNOTATIONS --backgrounds FOLDER
                    writes recipe.yaml, and says what to type next; COCO, YOLO, VOC, CVAT, Labelme and others
Boxes, no masks     terse masks ANNOTATIONS --out masks.json
                    makes the masks first, for `terse init --data masks.json`
No training         terse generate recipe.yaml --count 1000 --out composites
                    a COCO, VOC, YOLO or WebDataset set with exact boxes and masks

`terse recipes` and `terse targets` list what there is, `terse --help` all commands, `terse COMMAND --help` each option."""
"""What `terse` alone answers."""


_RESUMED = ("generate", "render")
"""The commands without steps that go on from whole shards."""


def app(command: str = "") -> object:
    """The cyclopts application; the help of `command` is all that its function says, of the others a line."""
    from cyclopts import App, Parameter

    application = App(
        name="terse",
        help="Make the training images that your vision model still gets wrong.",
        version=version,
        help_format="markdown",  # a paragraph is folded to the window
        suppress_keyboard_interrupt=False,  # `_run` answers
        default_parameter=Parameter(negative_bool=(), negative_iterable=()),  # a no is offered where the default is yes
    )
    for name, summary in _COMMANDS.items():
        application.command(f"terse.cli.{name}:{name}", name=name, help=None if name == command else summary)
    application.register_install_completion_command(
        help="Let the shell complete commands and options (bash, zsh, fish)."
    )
    return application


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as of

    return of("terse-synth")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 2 the user's mistake, 1 our bug, 129, 130 and 143 stopped by a signal."""
    from terse.cli.signals import end_at_once
    from terse.cli.streams import ready_streams

    with ready_streams():
        status = _exit_status(list(sys.argv[1:] if arguments is None else arguments))
        if arguments is None:  # the process is the command's
            end_at_once(status)
        sys.exit(status)


def _exit_status(arguments: list[str]) -> int:
    """Run one command and print all of its answer."""
    from terse.cli.streams import close_stdout

    code = 0
    try:
        code = _command(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads the answer has enough
        close_stdout()
    except OSError as error:
        close_stdout()
        if code == 0:
            from terse.cli.answers import unprinted

            print(f"terse: {unprinted(error)}", file=sys.stderr)
        return code or 2
    return code


def _command(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        print(version())
        return 0
    if not arguments:
        print(_NEXT)
        return 0
    if sys.platform == "win32":  # no locks and no signals that a run could rest on
        print("terse: expected Linux or macOS, got Windows; install it in WSL (`wsl --install`)", file=sys.stderr)
        return 2
    from terse.cli.signals import answering
    from terse.process import launched, prepare_process

    if launched().count > 1 and arguments[:1] != ["train"]:
        if launched().rank == 0:
            command = arguments[0] if arguments else "no command"
            print(f"terse: expected `terse train` from torchrun or accelerate launch, got {command}", file=sys.stderr)
        return 2
    prepare_process()
    stopped: list[int] = []

    def stop(number: int, frame: object) -> None:
        stopped.append(number)
        if number == signal.SIGINT or len(stopped) == 1:  # a terminal that closes says so twice
            raise KeyboardInterrupt

    with answering(stop):
        code = None
        with contextlib.suppress(KeyboardInterrupt):
            code = _run(arguments, stopped)
        if code is None or stopped:
            code = _stopped(arguments, stopped[0] if stopped else signal.SIGINT)
        return code


def _stopped(arguments: Sequence[str], number: int) -> int:
    """Say that a signal stopped the command, and how to go on; the exit status."""
    again = shlex.join(["terse", *arguments, *(() if "--resume" in arguments else ("--resume",))])
    goes_on = f"; go on with: {again}" if arguments and arguments[0] in _RESUMED else ""
    print(f"terse: stopped{goes_on}", file=sys.stderr)
    return 128 + number


def _run(arguments: list[str], stopped: Sequence[int]) -> int:
    from cyclopts import CycloptsError

    from terse.cli.answers import by_flags, printable
    from terse.cli.streams import reader_left
    from terse.errors import TerseError, of_the_machine

    try:
        code = app(*arguments[:1])(arguments, exit_on_error=False, result_action="return_value")  # type: ignore[operator]
    except CycloptsError:
        return 2
    except TerseError as error:
        print(f"terse: {printable(by_flags(str(error)))}", file=sys.stderr)
        return 2
    except Exception as error:
        if isinstance(error, BrokenPipeError) and reader_left():
            raise
        if (sentence := of_the_machine(error)) is not None:
            print(f"terse: {sentence}", file=sys.stderr)
            return 2
        if stopped:  # a library took the interrupt for an error of its own
            return 128 + stopped[0]
        import traceback

        traceback.print_exc()
        print("terse: this is a bug of ours; please report it with the lines above", file=sys.stderr)
        return 1
    return code if isinstance(code, int) else 0
