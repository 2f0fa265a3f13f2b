"""The command line: one sub-command per application, imported when it is run.

The only module that sees all applications, and the only place where an error becomes an exit code:
0 done, 1 failed at run time, 2 wrong usage or settings.
"""

import importlib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, cast

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from model.errors import StreamscoreError, WrongUsage
from runtime import terminal
from runtime.settings_sources import choose_config_file
from runtime.version import version


class _Target(NamedTuple):
    where: str  # module:attribute, a function with typer options or a typer.Typer
    help: str  # shown in the list of commands, for which nothing is imported


COMMANDS = {
    "demo": _Target("demo.command:demo", "See it work: real flights in, predictions out."),
    "demo-batch": _Target(
        "demo.batch_command:demo_batch",
        "See the batch way: a database of flights, three days scored, a report.",
    ),
    "broker": _Target(
        "runtime.broker_command:broker", "Run an embedded Apache Kafka, for development and demos."
    ),
    "train": _Target("runtime.model_command:train", "Fit a model on a table and bundle it."),
    "bundle": _Target(
        "runtime.model_command:bundle", "Bundle an estimator that is already fitted."
    ),
    "models": _Target("runtime.model_command:models", "List, show, promote and verify models."),
    "topics": _Target("runtime.topics_command:app", "Create the topics of a scoring service."),
    "produce": _Target("producer.command:produce", "Publish events from a file or standard input."),
    "consume": _Target(
        "consumer.command:consume", "Run the scoring service: events in, predictions out."
    ),
    "subscribe": _Target("subscriber.command:subscribe", "Read predictions and react to them."),
    "dead-letters": _Target("dead_letters.command:app", "List, show and replay dead letters."),
    "batch": _Target(
        "batch.command:app", "Score the rows of a database: a day, many days, every night."
    ),
    "serve": _Target("serving.command:serve", "Answer HTTP requests with a model."),
    "serve-key": _Target("serving.command:serve_key", "Make an API key for `serve`."),
    "monitor": _Target(
        "monitor.command:monitor", "Watch a scoring service: lag, latency, quality, drift."
    ),
    "doctor": _Target(
        "runtime.doctor_command:doctor", "Check broker, topics and model, and say how to mend them."
    ),
}


_MARKUP_LIKE = re.compile(r"(\[[a-z#/@])")  # what rich would read as a tag in "[kafka]"


class _LazyGroup(TyperGroup):
    """A group whose listed commands are stand-ins until one of them is asked for."""

    def resolve_command(
        self,
        ctx: Any,  # noqa: ANN401 - typer keeps the class of its contexts private
        args: list[str],
    ) -> tuple[str | None, Any, list[str]]:
        """Find the command that `args` name, and import it only now."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, _load(name) if name in COMMANDS else command, rest


def _load(name: str) -> TyperCommand | TyperGroup:
    module, _, attribute = COMMANDS[name].where.partition(":")
    target = getattr(importlib.import_module(module), attribute)
    app = target if isinstance(target, typer.Typer) else _app_of(target)
    command = cast("TyperCommand | TyperGroup", typer.main.get_command(app))
    command.name = name
    return _for_this_terminal(command)


def _app_of(function: Callable[..., None]) -> typer.Typer:
    app = typer.Typer(add_completion=False)
    app.command()(function)
    return app


def _for_this_terminal(command: TyperCommand | TyperGroup) -> TyperCommand | TyperGroup:
    """Boxes and colours in the help only where a person reads it; brackets are no markup."""
    drawn = sys.stdout.isatty()
    command.rich_markup_mode = "rich" if drawn else None
    if drawn:
        for described in (command, *command.params):
            if isinstance(described, TyperCommand | TyperGroup | TyperOption | TyperArgument):
                described.help = _MARKUP_LIKE.sub(r"\\\1", described.help or "")
    for inner in getattr(command, "commands", {}).values():
        _for_this_terminal(inner)
    return command


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"streamscore {version()}")
        raise typer.Exit


def streamscore(
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The settings file.  [default: streamscore.toml in the working directory]",
            show_default=False,
        ),
    ] = None,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Answers every event on a Kafka topic with a prediction of your scikit-learn model.

    Settings come from flags, then STREAMSCORE_… variables, then the settings file.
    Begin with `streamscore demo`; `streamscore COMMAND --help` describes each command.
    """
    if config is not None:
        choose_config_file(config)


def command_line() -> TyperGroup:
    """The whole command line, with a stand-in for each command that is not loaded yet."""
    app = typer.Typer(name="streamscore", cls=_LazyGroup, no_args_is_help=True)
    app.callback()(streamscore)
    group = cast("TyperGroup", typer.main.get_command(app))
    for name, target in COMMANDS.items():
        group.add_command(TyperCommand(name, help=target.help))
    _for_this_terminal(group)
    return group


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors are told on standard error."""
    try:
        returned = command_line().main(
            args=arguments, prog_name="streamscore", standalone_mode=False
        )
    except typer.TyperException as error:  # a flag or argument that the command does not take
        return _wrong_usage(error)
    except typer.Abort:
        terminal.print_error("aborted")
        return 1
    except StreamscoreError as error:
        terminal.print_error(str(error), error.hint)
        return error.exit_code
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        terminal.print_error(f"{error.strerror or error}{where}")
        return StreamscoreError.exit_code
    except Exception as error:
        known = _of_kafka(error)
        if known is None:
            raise  # a defect of ours: its traceback is what helps
        terminal.print_error(str(known), known.hint)
        return known.exit_code
    return returned if isinstance(returned, int) else 0


def _wrong_usage(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(f"{error.format_message()}\n")  # the help, where it is not drawn by rich
        return WrongUsage.exit_code
    hint = f"see `{context.command_path} --help`" if context is not None else ""
    terminal.print_error(error.format_message(), hint)
    return WrongUsage.exit_code


def _of_kafka(error: Exception) -> StreamscoreError | None:
    """The error in our words where it is one of the Kafka client that nobody foresaw."""
    client = sys.modules.get("confluent_kafka")
    if client is None or not isinstance(error, client.KafkaException):
        return None
    from runtime.clients import broker_error

    return broker_error(error, "talking to Kafka")


def main() -> None:
    """Run the command that the process was started with, and exit."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
