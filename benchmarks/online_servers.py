"""Who is measured in the section `online`: how each is started, asked, and understood."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.cases import Case
from benchmarks.constant_server import CONSTANT
from benchmarks.contestants import HERE, engine_environment
from benchmarks.lab import Lab, name_for
from benchmarks.names import (
    BEST,
    ONLINE_BENTOML,
    ONLINE_BEST,
    ONLINE_CONSTANT,
    ONLINE_FASTAPI,
    ONLINE_MLSERVER,
    ONLINE_PLAIN,
    PLAIN,
)
from benchmarks.peers import BENTOML, MLSERVER, Peer
from benchmarks.process import Command

_ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)  # ours has one as well: two of them fight with the client for the cores
_MLSERVER_BATCH: Final = {"max_batch_size": 64, "max_batch_time": 0.005}


@dataclass(frozen=True, slots=True)
class Place:
    """What a server is started with; `environ` is for ours."""

    lab: Lab
    case: Case
    port: int
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Server:
    """`body` makes a request of an event, as JSON; `where` leads to the prediction in the answer.

    `takes_lists` where several events can be asked for at once; `constant` is its only answer.
    """

    name: str
    command: Callable[[Place], Command]
    body: Callable[[bytes], bytes]
    where: Sequence[str | int]
    path: str = "/predict"
    takes_lists: bool = False
    constant: float | None = None
    peer: Peer | None = None


def _streamscore(engine: str) -> Callable[[Place], Command]:
    def command(place: Place) -> Command:
        arguments = [
            *(sys.executable, "-m", "streamscore", "serve", "--model", place.case.reference),
            *("--port", str(place.port), "--store", str(place.lab.settings.store)),
        ]
        environ = {"STREAMSCORE_LOG__FORMAT": "json", **engine_environment(engine)}
        return Command(arguments, {**environ, **place.environ})

    return command


def _constant(place: Place) -> Command:
    job = {
        "store": str(place.lab.settings.store),
        "reference": place.case.reference,
        "port": place.port,
    }
    arguments = [sys.executable, "-m", "benchmarks.constant_server"]
    return Command(arguments, job=json.dumps(job).encode())


def _job(place: Place) -> dict[str, Any]:
    return {
        "model": str(place.case.dump),
        "features": list(place.case.features),
        "port": place.port,
    }


def _fastapi(place: Place) -> Command:
    job = json.dumps(_job(place)).encode()
    return Command([sys.executable, str(HERE / "plain_fastapi.py")], _ONE_THREAD, job)


def _mlserver(place: Place) -> Command:
    folder = _folder(place)
    settings = {
        "host": "127.0.0.1",
        "http_port": place.port,
        "grpc_port": 0,
        "metrics_endpoint": None,
        "parallel_workers": 0,
        "debug": False,
    }
    model = {
        "name": "flights",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(place.case.dump), "content_type": "pd"},
        **_MLSERVER_BATCH,
    }
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
    return Command([str(MLSERVER.bin / "mlserver"), "start", str(folder)], _ONE_THREAD)


def _bentoml(place: Place) -> Command:
    arguments = [
        *(str(BENTOML.bin / "bentoml"), "serve", "bentoml_flights:Flights"),
        *("--working-dir", str(HERE), "--host", "127.0.0.1", "--port", str(place.port)),
    ]
    environ = {
        "BENCH_JOB": json.dumps(_job(place)),
        "BENTOML_HOME": str(_folder(place)),
        "BENTOML_DO_NOT_TRACK": "true",
    }
    return Command(arguments, {**environ, **_ONE_THREAD})


def _folder(place: Place) -> Path:
    folder = place.lab.folder / name_for("server")
    folder.mkdir()
    return folder


def _as_it_is(event: bytes) -> bytes:
    return event


def _in_rows(event: bytes) -> bytes:
    return b'{"rows":[%b]}' % event


def _as_tensors(features: Sequence[str], event: bytes) -> bytes:
    """The request of the Open Inference Protocol V2, a tensor for each feature."""
    found = orjson.loads(event)
    tensors = []
    for name in features:
        value = found[name]
        text = isinstance(value, str)
        tensor = {
            "name": name,
            "shape": [1, 1],
            "datatype": "BYTES" if text else "FP64",
            "data": [value],
        }
        tensors.append(tensor | ({"parameters": {"content_type": "str"}} if text else {}))
    return orjson.dumps({"inputs": tensors})


def own_servers() -> list[Server]:
    """Ours, with each engine, and what serving costs without a model."""
    where = ("prediction",)
    return [
        Server(ONLINE_BEST, _streamscore(BEST), _as_it_is, where, takes_lists=True),
        Server(ONLINE_PLAIN, _streamscore(PLAIN), _as_it_is, where, takes_lists=True),
        Server(ONLINE_CONSTANT, _constant, _as_it_is, where, takes_lists=True, constant=CONSTANT),
    ]


def common_server() -> Server:
    """What everyone writes first."""
    return Server(ONLINE_FASTAPI, _fastapi, _as_it_is, ("prediction",))


def peer_servers(features: Sequence[str]) -> list[Server]:
    """Servers of others that batch as well; their virtualenvs must be there (peers.py)."""

    def tensors(event: bytes) -> bytes:
        return _as_tensors(features, event)

    infer = "/v2/models/flights/infer"
    return [
        Server(
            ONLINE_MLSERVER, _mlserver, tensors, ("outputs", 0, "data", 0), infer, peer=MLSERVER
        ),
        Server(ONLINE_BENTOML, _bentoml, _in_rows, (), peer=BENTOML),
    ]
