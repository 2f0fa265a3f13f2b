"""The benchmark that `make bench` runs.

    python -m benchmarks.run [--only SECTION] [--rounds N] [--events N] [--quick] [--write-docs]

Measures contestants beside each other, round by round, on the embedded broker or a given one, and
prints tables and verdicts. Exit status 1: an answer was wrong, or did not come. A target that was
missed is no error.
"""

import argparse
import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException

from benchmarks.alone import measure_latency, measure_single, measure_startup
from benchmarks.batch_section import measure_batch
from benchmarks.cases import CASES
from benchmarks.contestants import PASS_THROUGH
from benchmarks.drain import drain
from benchmarks.lab import BenchmarkError, lab_without_broker, open_lab
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.online_section import measure_online
from benchmarks.peers import PEERS, Peer
from benchmarks.plan import FULL, QUICK, Plan
from benchmarks.plot import draw
from benchmarks.report import PARTS, Report, replaced
from benchmarks.results import Results
from benchmarks.throughput import Bench, measure_growth, measure_poison, measure_throughput
from benchmarks.verdicts import judge
from model.errors import StreamscoreError

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = ROOT / "docs"
SECTIONS: Final[Mapping[str, Callable[[Bench], None]]] = {
    "single": measure_single,
    "startup": measure_startup,
    "throughput": measure_throughput,
    "latency": measure_latency,
    "poison": measure_poison,
    "growth": measure_growth,
    "batch": measure_batch,
    "online": measure_online,
}
_WITHOUT_BROKER: Final = {"batch", "online"}
_LEAVE_OUT: Final = {
    flag: f"leave out {' and '.join(peer.package for peer in PEERS if peer.flag == flag)}"
    for flag in dict.fromkeys(peer.flag for peer in PEERS)
}
_ALL_MODELS: Final = {"single", "throughput"}
_SERVERS: Final = "STREAMSCORE_BENCH_BOOTSTRAP_SERVERS"
_WARM_UP: Final = 20_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; the exit status."""
    asked = _parser().parse_args(arguments)
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", flush=True)

    try:
        report = _measured(asked, say)
    except (BenchmarkError, StreamscoreError, KafkaException) as error:
        print(f"benchmark failed: {error}", file=sys.stderr)
        return 1
    print(f"\n{report.to_text()}")
    _write(report, asked)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure Streamscore.")
    parser.add_argument("--only", action="append", choices=list(SECTIONS), help="some sections")
    parser.add_argument("--rounds", type=int, help="of everything that is interleaved")
    parser.add_argument("--events", type=int, help="of the main backlogs")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it all run?")
    for flag, names in _LEAVE_OUT.items():
        parser.add_argument(flag, action="append_const", const=flag, dest="without", help=names)
    parser.add_argument("--bootstrap-servers", default=os.environ.get(_SERVERS))
    parser.add_argument("--json", type=Path, help="write the results there too")
    parser.add_argument("--write-docs", action="store_true", help="docs/performance.{md,json,svg}")
    return parser


def _plan(asked: argparse.Namespace) -> Plan:
    plan = QUICK if asked.quick else FULL
    if asked.rounds:
        plan = replace(plan, rounds=asked.rounds, latency_rounds=asked.rounds)
    if asked.events:
        plan = replace(
            plan,
            events=asked.events,
            poison_events=asked.events,
            side_events=asked.events,
            worker_events=4 * asked.events,
            growth_events=(max(1, asked.events // 10), asked.events, 5 * asked.events),
            forest_events=min(plan.forest_events, asked.events),
        )
    return plan


def _measured(asked: argparse.Namespace, say: Callable[[str], None]) -> Report:
    plan, results = _plan(asked), Results()
    sections = asked.only or list(SECTIONS)
    peers = [] if plan.quick else _peers(sections, asked.without or [])
    needs_broker = not _WITHOUT_BROKER.issuperset(sections)
    machine = describe_machine()
    for peer in peers:
        peer.prepare()
    open_it = open_lab if needs_broker else lab_without_broker
    with (
        tempfile.TemporaryDirectory() as folder,
        open_it(Path(folder), asked.bootstrap_servers) as lab,
    ):
        say("the lab is open; models are fitted")
        wanted = CASES if _ALL_MODELS & set(sections) else ["flight"]
        cases = {name: CASES[name](lab.settings, quick=plan.quick) for name in wanted}
        bench = Bench(lab, plan, cases, results, say, peers)
        if needs_broker and not plan.quick:
            _warm_up(bench)
        for section in (name for name in SECTIONS if name in sections):
            SECTIONS[section](bench)
    command = f'make bench ARGS="{shlex.join(sys.argv[1:])}"'
    versions = describe_versions(own_broker=asked.bootstrap_servers is None)
    return Report(machine, versions, command, results, judge(results))


def _peers(sections: Sequence[str], without: Sequence[str]) -> list[Peer]:
    return [peer for peer in PEERS if peer.section in sections and peer.flag not in without]


def _warm_up(bench: Bench) -> None:
    """Not counted: a broker that has just started is slow, until Java has compiled it."""
    with bench.lab.backlog(bench.cases["flight"], _WARM_UP) as backlog:
        for _ in range(2):
            drain(bench.lab, PASS_THROUGH, backlog)


def _write(report: Report, asked: argparse.Namespace) -> None:
    text = json.dumps(report.to_json(), indent=1, ensure_ascii=False) + "\n"
    if asked.json is not None:
        asked.json.write_text(text, encoding="utf-8")
    if asked.write_docs:
        _write_docs(report, text, asked.only or [])


def _write_docs(report: Report, text: str, only: Sequence[str]) -> None:
    """The page's generated parts: that of a section measured alone, else the main one."""
    page = DOCS / "performance.md"
    document = page.read_text(encoding="utf-8")
    if len(only) == 1 and only[0] in PARTS:
        name = only[0]
        (DOCS / f"performance_{name}.json").write_text(text, encoding="utf-8")
        written = replaced(document, report.part_to_markdown(), *PARTS[name])
    else:
        (DOCS / "performance.json").write_text(text, encoding="utf-8")
        draw(report.results, DOCS / "performance.svg")
        written = replaced(document, report.to_markdown())
    page.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
