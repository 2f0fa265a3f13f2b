"""What the batcher promises where no request over HTTP can look: order, bounds, failures."""

import asyncio
from collections.abc import Callable

import pytest

from model.bundle import Model
from serving.batching import Batcher, Overloaded, Room
from serving.scoring import Batch, Scoring

EVENT = b'{"distance":500.5,"hour":7,"origin":"JFK","late":true,"weather":{"temp":12.5}}'


def test_requests_wait_for_one_batch_and_its_room(load: Callable[[str], Model]) -> None:
    """Given requests at once: they fill batches in their order, whole, and each gets its own."""

    async def run() -> list[int]:
        batches: list[Batch] = []
        scoring = Scoring(load("delay:1"), "id")
        batcher = Batcher(lambda: scoring, Room(10, 100, 5.0), batches.append)
        sizes = (4, 5, 3, 12, 1)
        answers = [batcher.submit(f"r{n}", [EVENT] * size) for n, size in enumerate(sizes)]
        assert batcher.queued_events == sum(sizes)
        for number, (answer, size) in enumerate(zip(answers, sizes, strict=True)):
            batch, start, end = await answer
            assert batch.ids[start:end] == [f"r{number}/{index}" for index in range(size)]
        assert batcher.queued_events == 0
        return [len(batch.results) for batch in batches]

    assert asyncio.run(run()) == [9, 3, 12, 1]


def test_the_queue_is_bounded(load: Callable[[str], Model]) -> None:
    """What has no room is refused at once, and takes none."""

    async def run() -> None:
        scoring = Scoring(load("delay:1"), "id")
        batcher = Batcher(lambda: scoring, Room(10, 5, 5.0), lambda _: None)
        taken = batcher.submit("a", [EVENT] * 4)
        with pytest.raises(Overloaded):
            batcher.submit("b", [EVENT] * 2)
        fits = batcher.submit("c", [EVENT])
        await asyncio.gather(taken, fits)

    asyncio.run(run())


def test_a_version_that_cannot_be_taken_up_fails_its_requests(load: Callable[[str], Model]) -> None:
    """They are told, not left waiting; the next ones are answered."""
    scoring = Scoring(load("delay:1"), "id")
    given = iter([None, scoring])

    def take() -> Scoring:
        found = next(given)
        if found is None:
            raise ValueError("no such version")
        return found

    async def run() -> None:
        batcher = Batcher(take, Room(10, 100, 5.0), lambda _: None)
        with pytest.raises(ValueError, match="no such version"):
            await asyncio.wait_for(batcher.submit("a", [EVENT]), 10)
        batch, _, _ = await asyncio.wait_for(batcher.submit("b", [EVENT]), 10)
        assert len(batch.results) == 1

    asyncio.run(run())
