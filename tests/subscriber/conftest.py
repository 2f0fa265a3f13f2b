"""Prediction topics on real Kafka, and a receiver of webhooks that fails on demand."""

import functools
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from runtime.settings import Settings


@dataclass(frozen=True)
class Post:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What the receiver says: a status, headers, a body; or nothing at all for a while."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    silent_s: float = 0.0
    drip: bool = False  # the head of the answer comes byte by byte, for ever
    reset: bool = False  # the connection is closed without an answer


class Receiver:
    """Gives the queued answers in turn, then 204 for ever."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.answers: list[Answer] = []
        self.connections = 0
        self.ended = threading.Event()
        handler = functools.partial(_Handler, self)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.address}/hook"

    def answer(self, **answer: Any) -> None:
        """Queue an answer."""
        self.answers.append(Answer(**answer))

    def keys(self) -> list[str]:
        return [post.headers["Idempotency-Key"] for post in self.posts]

    def close(self) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, receiver: Receiver, *arguments: Any) -> None:
        self._receiver = receiver
        super().__init__(*arguments)

    def setup(self) -> None:
        self._receiver.connections += 1
        super().setup()

    def do_POST(self) -> None:
        receiver = self._receiver
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = receiver.answers.pop(0) if receiver.answers else Answer()
        receiver.posts.append(Post(self.path, dict(self.headers.items()), body))
        receiver.ended.wait(answer.silent_s)
        if answer.reset or receiver.ended.is_set():
            self.close_connection = True
        elif answer.drip:
            self._drip()
        else:
            self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _drip(self) -> None:
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self._receiver.ended.wait(0.05):
            self.wfile.write(b"x")
            self.wfile.flush()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True  # the client went away

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.close()


@pytest.fixture
def until() -> Callable[[Callable[[], object], float], None]:
    """Wait until something is true, with a deadline that fails the test."""

    def wait(happened: Callable[[], object], timeout_s: float = 30.0) -> None:
        end = time.monotonic() + timeout_s
        while not happened():
            assert time.monotonic() < end, f"not within {timeout_s} s"
            time.sleep(0.02)

    return wait


class Board:
    """A prediction topic: puts predictions on it, and tells what a group has committed."""

    def __init__(self, settings: Settings, topic: str, partitions: int) -> None:
        self.settings = settings
        self.topic = topic
        self.partitions = partitions
        self._count = 0
        self._servers = {"bootstrap.servers": settings.bootstrap_servers}

    def producer(self, transactional_id: str | None = None) -> Producer:
        """Give a producer; one that writes in transactions where it has an id."""
        if transactional_id is None:
            return Producer(self._servers)
        producer = Producer({**self._servers, "transactional.id": transactional_id})
        producer.init_transactions(30)
        return producer

    def put(self, count: int, producer: Producer | None = None, **change: object) -> list[str]:
        """Write predictions, in turn to each partition; give their ids."""
        sender = producer or self.producer()
        ids = [f"event-{number}" for number in range(self._count, self._count + count)]
        for each in ids:
            partition = self._count % self.partitions
            value = {
                "id": each,
                "prediction": float(self._count),
                "model": "flight-delay",
                "version": "3",
                "source": {"topic": "flights", "partition": partition, "offset": self._count},
                "scored_at": "2013-12-01T10:15:00.123456Z",
                **change,
            }
            sender.produce(
                self.topic, json.dumps(value).encode(), key=each.encode(), partition=partition
            )
            self._count += 1
        if producer is None:
            assert sender.flush(30) == 0
        return ids

    def put_value(self, value: bytes | None) -> None:
        """Write a value of any kind to partition 0."""
        sender = self.producer()
        sender.produce(self.topic, value, partition=0)
        assert sender.flush(30) == 0

    def committed(self, group: str) -> list[int]:
        """Give the group's committed offset of each partition; -1001 for none."""
        consumer = Consumer({**self._servers, "group.id": group})
        try:
            places = [TopicPartition(self.topic, number) for number in range(self.partitions)]
            return [place.offset for place in consumer.committed(places, timeout=30)]
        finally:
            consumer.close()

    def ends(self) -> list[int]:
        """Give the end of each partition, markers of transactions included."""
        consumer = Consumer({**self._servers, "group.id": "unused"})
        try:
            return [
                consumer.get_watermark_offsets(TopicPartition(self.topic, number), timeout=30)[1]
                for number in range(self.partitions)
            ]
        finally:
            consumer.close()


@pytest.fixture
def board(kafka: Any) -> Board:
    """A prediction topic of one partition."""
    return Board(kafka.settings(), kafka.topic(partitions=1), 1)


@pytest.fixture
def wide_board(kafka: Any) -> Board:
    """A prediction topic of four partitions."""
    return Board(kafka.settings(), kafka.topic(partitions=4), 4)
