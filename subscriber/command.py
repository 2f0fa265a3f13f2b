"""`streamscore subscribe`: predictions on the command line, and reactions to them."""

import signal
from enum import StrEnum
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from model.errors import WrongUsage
from runtime.terminal import BootstrapOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from subscriber.prediction import Prediction
    from subscriber.reactions import Attempt
    from subscriber.subscription import Subscription

    React = Callable[[Prediction], bool]  # False: not before the program is to stop

_DEADLINE_S = 30.0


class Begin(StrEnum):
    """Where to begin when nothing was committed before."""

    EARLIEST = "earliest"
    LATEST = "latest"


def subscribe(
    topic: Annotated[
        str | None,
        typer.Option(metavar="TOPIC", help="Where predictions are.  (setting: topics.output)"),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="CONDITION",
            help="React to those only for which it holds: 'prediction > 60 and model == \"m\"', "
            "'probabilities[\"late\"] > 0.8', 'source.partition in (0, 1)'. One that lacks a field "
            "does not match.",
        ),
    ] = None,
    begin: Annotated[
        Begin,
        typer.Option("--from", help="Where to begin, unless the group has committed something."),
    ] = Begin.EARLIEST,
    max: Annotated[  # noqa: A002 - the flag's name
        int | None, typer.Option(min=1, metavar="N", help="Stop after N matching predictions.")
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Post each as JSON. Tried again until the deadline, unless the answer is a 4xx "
            "that stays one; its header Idempotency-Key tells a repetition.",
        ),
    ] = None,
    exec_: Annotated[
        str | None,
        typer.Option(
            "--exec",
            metavar="COMMAND",
            help="Run it for each, with its JSON on standard input; no shell. Tried again until "
            "the deadline, unless it exits with 0.",
        ),
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=80_000,
            metavar="SECONDS",
            help="For all attempts at a prediction, a third of it for each; then the command "
            "fails, and the prediction is delivered again when it is started again.  [default: 30]",
            show_default=False,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            help="Share the topic with the other members, and go on where the group stopped.  "
            "[default: streamscore-subscribe-TOPIC with --webhook or --exec, else none]",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, metavar="SECONDS", help="Stop after this time.")
    ] = None,
    idle_timeout: Annotated[
        float | None,
        typer.Option(
            min=0.1, metavar="SECONDS", help="Stop when nothing arrived on the topic for this time."
        ),
    ] = None,
    bootstrap_servers: BootstrapOption = None,
    json: JsonOption = False,
) -> None:
    """Read the committed predictions of a topic and react to each: print, post, or run a command.

    Printed as lines of JSON (off a terminal, or with --json) or in columns. SIGTERM or Ctrl-C ends
    the reaction in hand, commits what is done, and stops.
    """
    from runtime.logs import configure_logging
    from runtime.settings import load_settings
    from subscriber.reactions import LONGEST_OVERTIME_S
    from subscriber.subscription import Subscription

    settings = load_settings({"bootstrap_servers": bootstrap_servers})
    configure_logging(settings.log)
    topic = topic or settings.topics.output
    attempt = _attempt(webhook, exec_)
    if attempt is None and deadline is not None:
        raise WrongUsage("--deadline is for --webhook and --exec", hint="add one of them")
    if attempt is not None and json:
        raise WrongUsage("--json is for printing", hint="leave it out with --webhook and --exec")
    if attempt is not None and group is None:
        group = f"streamscore-subscribe-{topic}"
    deadline_s = deadline or _DEADLINE_S
    subscription = Subscription(
        topic,
        group=group,
        where=where,
        start=begin.value,
        max=max,
        timeout_s=timeout,
        idle_timeout_s=idle_timeout,
        longest_reaction_s=0.0 if attempt is None else deadline_s + LONGEST_OVERTIME_S,
        settings=settings,
    )
    stop = _Stop(subscription)
    react = _printing(as_json=json) if attempt is None else _insistent(attempt, deadline_s, stop)
    _run(subscription, react)


def _attempt(webhook: str | None, program: str | None) -> "Attempt | None":
    if webhook is not None and program is not None:
        raise WrongUsage("--webhook and --exec are both given", hint="choose one, or start two")
    if webhook is not None:
        from subscriber.webhook import PredictionWebhook

        return PredictionWebhook(webhook)
    if program is not None:
        from subscriber.program import Program

        return Program(program)
    return None


def _insistent(attempt: "Attempt", deadline_s: float, stop: "_Stop") -> "React":
    from runtime.insistence import Patience
    from subscriber.reactions import Insistent

    return Insistent(attempt, Patience(deadline_s), stopped=stop.is_requested)


def _printing(*, as_json: bool) -> "React":
    import sys

    from subscriber import printing

    if as_json or not sys.stdout.isatty():
        return printing.print_json_line
    printing.print_heading()
    return printing.print_line


def _run(subscription: "Subscription", react: "React") -> None:
    from subscriber.printing import give_up_output

    accepted = 0
    try:
        with subscription:
            try:
                for prediction in subscription:
                    if not react(prediction):
                        break  # to stop before it was accepted: it stays uncommitted
                    accepted += 1
            finally:
                _print_counts(subscription, accepted)
    except BrokenPipeError:  # `| head` has seen enough
        give_up_output()


def _print_counts(subscription: "Subscription", accepted: int) -> None:
    from runtime.terminal import err

    text = f"{subscription.seen:,} seen, {subscription.matched:,} matched"
    if subscription.skipped:
        text += f", {subscription.skipped:,} skipped that are no predictions"
    if accepted < subscription.matched:
        text += f", {subscription.matched - accepted:,} not accepted"
    err().print(text)


class _Stop:
    """SIGTERM and SIGINT end the iteration; a second one ends the process at once."""

    def __init__(self, subscription: "Subscription") -> None:
        self._subscription = subscription
        self._requested = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._request)

    def is_requested(self) -> bool:
        """Tell whether a signal came."""
        return self._requested

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        self._requested = True
        self._subscription.stop()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
