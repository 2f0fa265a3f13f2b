"""Plain top-level packages are ours alone: nothing else on the path goes by their names."""

import sys
from importlib.metadata import packages_distributions


def test_no_installed_distribution_brings_one_of_our_names(top_level: frozenset[str]) -> None:
    """Two distributions with the same top-level name overwrite each other without a word."""
    brought = packages_distributions()
    others = {name: set(brought.get(name, ())) - {"streamscore"} for name in top_level}
    assert {name: by for name, by in others.items() if by} == {}


def test_no_name_hides_the_standard_library(top_level: frozenset[str]) -> None:
    """A package called `queue` would break everything that imports the real one."""
    assert top_level.isdisjoint(sys.stdlib_module_names)


def test_names_that_are_known_to_collide_are_not_taken(top_level: frozenset[str]) -> None:
    """`web` is web.py's, `kafka` kafka-python's; `common` and the like say nothing."""
    taken = {"web", "kafka", "platform", "tests", "utils", "helpers", "common", "manager"}
    assert top_level.isdisjoint(taken)
