"""An answer is written at once: its head does not go ahead of its body."""

import asyncio

from serving.connection import WholeAnswers

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def test_head_and_body_go_together_and_the_rest_as_it_comes() -> None:
    """Given a body in two parts, then the head goes with the first."""
    wire = Wire()
    answer = WholeAnswers(wire)
    for data in (HEAD, b"4", b"2"):
        answer.write(data)
    assert wire.written == [HEAD + b"4", b"2"]


def test_an_empty_body_sends_the_head() -> None:
    """Given nothing after the head, then it is sent all the same."""
    wire = Wire()
    answer = WholeAnswers(wire)
    answer.write(HEAD)
    answer.write(b"")
    assert wire.written == [HEAD]


def test_to_go_on_is_said_at_once() -> None:
    """Given a client that waits for it, then "100 Continue" is not kept for the answer."""
    wire = Wire()
    answer = WholeAnswers(wire)
    answer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert wire.written == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    answer.write(HEAD)
    answer.write(b"42")
    assert wire.written[1:] == [HEAD + b"42"]


def test_a_head_that_is_kept_is_sent_before_the_end() -> None:
    """Given an answer that breaks off, then the client is told as much as was written."""
    wire = Wire()
    answer = WholeAnswers(wire)
    answer.write(HEAD)
    answer.close()
    assert wire.written == [HEAD]
    assert answer.is_closing()
