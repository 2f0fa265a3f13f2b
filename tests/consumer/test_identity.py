"""consumer/identity.py: the same name after a restart, never one name for two."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from consumer.identity import WorkerIdentity, claim_identity

Claim = Callable[..., WorkerIdentity]


@pytest.fixture
def claim(tmp_path: Path) -> Iterator[Claim]:
    """Claims identities that are given up with the test."""
    with ExitStack() as stack:

        def make(
            group: str, instance_id: str | None = None, worker: int = 0, folder: Path = tmp_path
        ) -> WorkerIdentity:
            identity = claim_identity(group, instance_id, worker, folder)
            return stack.enter_context(closing(identity))

        yield make


def test_workers_at_the_same_time_have_different_names(claim: Claim) -> None:
    """Two workers with one transactional id would fence each other."""
    first = claim("group")
    second = claim("group")
    assert first.transactional_id != second.transactional_id
    assert first.group_instance_id is None


def test_a_successor_has_the_name_of_the_one_that_died(claim: Claim) -> None:
    """Only so is an open transaction aborted at once and not at its timeout."""
    first = claim("group")
    other = claim("group")
    first.close()  # as the system does for a killed process
    successor = claim("group")
    assert successor.transactional_id == first.transactional_id
    assert other.transactional_id != successor.transactional_id


def test_groups_do_not_share_slots(claim: Claim) -> None:
    """Each group counts its own workers."""
    one = claim("one")
    two = claim("two")
    assert one.transactional_id.endswith("-0")
    assert two.transactional_id.endswith("-0")
    assert one.transactional_id != two.transactional_id


def test_a_named_instance_is_a_static_member(claim: Claim) -> None:
    """The operator's name makes both ids, one per worker of the instance."""
    worker = claim("group", "pod-7", 2)
    assert worker.transactional_id == worker.group_instance_id == "group-pod-7-2"


def test_a_read_only_machine_still_gets_unique_names(claim: Claim, tmp_path: Path) -> None:
    """Without a place for the lock, two workers differ all the same."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    one = claim("group", folder=blocked)
    two = claim("group", folder=blocked)
    assert one.transactional_id != two.transactional_id
