"""The store: what a reader finds, whatever writers do meanwhile."""

import json
import multiprocessing
import stat
from pathlib import Path

import pytest

from model.errors import ModelError, ModelNotFound, WrongUsage
from model.store import Store


def write_nothing_much(folder: Path, version: str) -> None:
    (folder / "card.json").write_text(json.dumps({"version": version}))


def add_versions(path: Path, count: int) -> None:
    for _ in range(count):
        Store(path).add("flight-delay", write_nothing_much)


@pytest.fixture
def home(tmp_path: Path) -> Store:
    store = Store(tmp_path / "models")
    for _ in range(2):
        store.add("flight-delay", write_nothing_much)
    return store


def test_an_empty_store_has_no_models(tmp_path: Path) -> None:
    """A store that nothing was saved in, or that isn't there, reads as empty."""
    store = Store(tmp_path / "nowhere")

    assert store.models() == []
    assert store.versions("flight-delay") == []
    assert store.aliases("flight-delay") == {}


def test_versions_count_up_and_the_first_is_champion(home: Store) -> None:
    """Versions are 1, 2, …; the first becomes the champion and stays it."""
    ref = home.add("flight-delay", write_nothing_much)

    assert (ref.version, home.versions("flight-delay")) == ("3", ["1", "2", "3"])
    assert home.aliases("flight-delay") == {"champion": "1"}
    assert json.loads((ref.path / "card.json").read_text()) == {"version": "3"}


def test_versions_are_ordered_as_numbers(home: Store) -> None:
    """Version 10 comes after 9."""
    add_versions(home.path, 8)

    assert home.versions("flight-delay")[-2:] == ["9", "10"]


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("flight-delay", "1"),
        ("flight-delay@champion", "1"),
        ("flight-delay@challenger", "2"),
        ("flight-delay:2", "2"),
    ],
)
def test_a_reference_is_resolved(home: Store, reference: str, version: str) -> None:
    """A name alone means its champion; `@` names an alias and `:` a version."""
    home.promote("flight-delay", "2", "challenger")

    ref = home.resolve(reference)

    assert (ref.name, ref.version) == ("flight-delay", version)
    assert ref.path == home.path / "flight-delay" / version


@pytest.mark.parametrize(
    ("reference", "message", "hint"),
    [
        ("flight-dela", "no model 'flight-dela'", "did you mean 'flight-delay'?"),
        ("flight-delay:3", "no version '3'", "1, 2"),
        ("flight-delay@champoin", "no alias 'champoin'", "did you mean 'champion'?"),
    ],
)
def test_an_unknown_reference_names_what_there_is(
    home: Store, reference: str, message: str, hint: str
) -> None:
    """What isn't in the store is an error that names the nearest that is."""
    with pytest.raises(ModelNotFound, match=message) as caught:
        home.resolve(reference)

    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "reference", ["", "Flight", "../x", "a/b", ".hidden", "a:", "a@", "a b", "a:1@b", "ä", "a\n"]
)
def test_a_reference_cannot_leave_the_store(home: Store, reference: str) -> None:
    """A name that could be a path, or that no reference could hold, is refused."""
    with pytest.raises(WrongUsage):
        home.resolve(reference)


def test_promote_moves_an_alias(home: Store) -> None:
    """After promote an alias stands for the new version and the others stay as they were."""
    home.promote("flight-delay", "2", "challenger")
    home.promote("flight-delay", "2", "champion")

    assert home.aliases("flight-delay") == {"challenger": "2", "champion": "2"}


@pytest.mark.parametrize("alias", ["2", "Champion", "", "a/b"])
def test_an_alias_must_not_read_like_a_version(home: Store, alias: str) -> None:
    """An alias is a name and no number."""
    with pytest.raises(WrongUsage):
        home.promote("flight-delay", "1", alias)


def test_promote_refuses_a_version_that_is_not_there(home: Store) -> None:
    """An alias never points to nothing."""
    with pytest.raises(ModelNotFound):
        home.promote("flight-delay", "7", "champion")

    assert home.aliases("flight-delay") == {"champion": "1"}


def test_a_failed_write_leaves_nothing(home: Store) -> None:
    """A version whose writer raised isn't visible, leaves no files, and its number is free."""

    def fail(folder: Path, _: str) -> None:
        (folder / "half").write_text("")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        home.add("flight-delay", fail)

    assert home.versions("flight-delay") == ["1", "2"]
    assert not list((home.path / "flight-delay").glob("*.writing"))
    assert home.add("flight-delay", write_nothing_much).version == "3"


def test_a_version_is_invisible_until_it_is_whole(home: Store) -> None:
    """While a version is being written, readers and other writers don't meet it."""

    def look(folder: Path, version: str) -> None:
        assert home.versions("flight-delay") == ["1", "2"]
        assert home.add("flight-delay", write_nothing_much).version == "4"
        write_nothing_much(folder, version)

    assert home.add("flight-delay", look).version == "3"
    assert home.versions("flight-delay") == ["1", "2", "3", "4"]


def test_what_a_killed_writer_left_is_not_read(home: Store) -> None:
    """A draft that was never finished is no version, and its number isn't used again."""
    (home.path / "flight-delay" / ".3.writing").mkdir()

    assert home.versions("flight-delay") == ["1", "2"]
    assert home.add("flight-delay", write_nothing_much).version == "4"


def test_writers_at_once_get_different_versions(tmp_path: Path) -> None:
    """Four processes that add ten versions each make forty, and one champion."""
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=add_versions, args=(tmp_path, 10)) for _ in range(4)]

    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=60)

    assert [writer.exitcode for writer in writers] == [0] * 4
    store = Store(tmp_path)
    assert store.versions("flight-delay") == [str(number) for number in range(1, 41)]
    assert list(store.aliases("flight-delay")) == ["champion"]


@pytest.mark.parametrize("content", ["{", "[]", '{"champion": 1}', '{"champion": "../../etc"}'])
def test_broken_aliases_are_an_error_that_promote_mends(home: Store, content: str) -> None:
    """Aliases that cannot be read stop `resolve`; promote writes them anew."""
    (home.path / "flight-delay" / "aliases.json").write_text(content)

    with pytest.raises(ModelError, match=r"aliases\.json"):
        home.resolve("flight-delay")
    home.promote("flight-delay", "2", "champion")

    assert home.resolve("flight-delay").version == "2"
    assert home.resolve("flight-delay:1").version == "1"


def test_others_may_read_the_store(home: Store) -> None:
    """The aliases are readable by the other user that a container runs as."""
    mode = (home.path / "flight-delay" / "aliases.json").stat().st_mode

    assert mode & stat.S_IROTH


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """A store whose path is a file is an error with its path."""
    (tmp_path / "models").write_text("")

    with pytest.raises(ModelError, match=str(tmp_path / "models")):
        Store(tmp_path / "models").add("flight-delay", write_nothing_much)
