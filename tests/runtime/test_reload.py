"""Following an alias: what is taken up, what is refused, and that the version at work goes on."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from prometheus_client import CollectorRegistry
from sklearn.linear_model import LinearRegression, LogisticRegression
from structlog.testing import capture_logs

import model
from model.errors import ModelError
from runtime.reload import Watcher, following, load_with
from runtime.settings import Settings, load_settings
from runtime.telemetry import RELOADS, ModelMetrics

NAME = "scale"
DEADLINE_S = 30.0


def save_scale(store: Path, factor: float, feature: str = "x") -> None:
    """Save the next version: it answers `factor` times the feature."""
    sample = pd.DataFrame({feature: [0.0, 1.0, 2.0]})
    model.save(
        LinearRegression(fit_intercept=False).fit(sample, factor * sample[feature]),
        sample,
        name=NAME,
        store=store,
    )


def save_classes(store: Path, labels: list[Any]) -> None:
    sample = pd.DataFrame({"x": [float(number) for number in range(len(labels))]})
    model.save(LogisticRegression().fit(sample, labels), sample, name=NAME, store=store)


@pytest.fixture
def settings(store: Path) -> Settings:
    overrides = {"store": store, "model.reload_interval_s": 0.01}
    return load_settings(overrides, environ={}, directory=store)


class Following:
    """A watcher over a real store, looked at by hand, with a clock to set."""

    def __init__(self, settings: Settings) -> None:
        self.registry = CollectorRegistry()
        self.reads = 0
        self.store = model.Store(settings.store)
        self.now = 0.0

        def load(version: str) -> Any:
            self.reads += 1
            return load_with(settings, f"{NAME}:{version}")

        self.watcher = Watcher(
            model.load(NAME, store=settings.store),
            lambda: self.store.resolve(NAME).version,
            load,
            ModelMetrics(self.registry),
        )

    def promote(self, version: str) -> None:
        self.store.promote(NAME, version, "champion")

    def look(self, after_s: float = 0.0) -> list[dict[str, Any]]:
        """Let the watcher look once; what it logged."""
        self.now += after_s
        with capture_logs() as logs:
            self.watcher.look(self.now)
        return [dict(entry) for entry in logs]

    @property
    def version(self) -> str:
        return self.watcher.model.version

    @property
    def counts(self) -> tuple[float | None, ...]:
        name = "streamscore_model_reloads_total"
        return tuple(self.registry.get_sample_value(name, {"result": r}) for r in RELOADS)


@pytest.fixture
def follow(settings: Settings) -> Callable[[], Following]:
    return lambda: Following(settings)


def test_what_the_alias_newly_stands_for_is_taken_up(
    store: Path, follow: Callable[[], Following]
) -> None:
    """Forward, and back again; while it stands still, nothing is loaded."""
    save_scale(store, 2)
    save_scale(store, 3)
    followed = follow()
    assert followed.look() == []
    followed.promote("2")
    (entry,) = followed.look()
    assert (entry["event"], entry["model"], entry["before"]) == (
        "model_loaded",
        "scale:2",
        "scale:1",
    )
    assert followed.watcher.model.score(pd.DataFrame({"x": [5.0]}))["prediction"][0] == 15
    assert followed.look() == []
    followed.promote("1")
    followed.look()
    assert followed.version == "1"
    assert (followed.reads, followed.counts) == (2, (2, 0, 0))


def test_a_broken_bundle_is_refused_and_told_once(
    store: Path, follow: Callable[[], Following]
) -> None:
    """The old version goes on; the cause stands in the log once, each try in the metric."""
    save_scale(store, 2)
    save_scale(store, 3)
    (store / NAME / "2" / "model.skops").write_bytes(b"changed")
    followed = follow()
    followed.promote("2")
    (entry,) = followed.look()
    assert (entry["event"], entry["log_level"]) == ("model_refused", "warning")
    assert (entry["version"], entry["at_work"]) == ("2", "scale:1")
    assert "model.skops" in entry["reason"]
    assert followed.look(after_s=1) == []
    assert followed.reads == 1
    assert followed.look(after_s=3600) == []
    assert (followed.version, followed.counts) == ("1", (0, 2, 0))


def test_a_refused_version_is_tried_again_after_a_while(
    store: Path, follow: Callable[[], Following]
) -> None:
    """What was wrong with the machine passes, and then the version is taken up."""
    save_scale(store, 2)
    save_scale(store, 3)
    followed = follow()
    shutil.move(store / NAME / "2" / "model.skops", store / "kept")
    followed.promote("2")
    followed.look()
    shutil.move(store / "kept", store / NAME / "2" / "model.skops")
    followed.look(after_s=1)
    assert followed.reads == 1
    followed.look(after_s=60)
    assert (followed.version, followed.counts) == ("2", (1, 1, 0))


def test_an_alias_that_moves_on_from_a_refused_version_is_followed_at_once(
    store: Path, follow: Callable[[], Following]
) -> None:
    """A mended version need not wait for the end of a back-off."""
    for factor in (2, 3, 4):
        save_scale(store, factor)
    (store / NAME / "2" / "model.skops").write_bytes(b"changed")
    followed = follow()
    for version in ("2", "3", "2"):
        followed.promote(version)
        assert len(followed.look()) == 1  # also the second time that it is refused
    assert (followed.version, followed.counts) == ("3", (1, 2, 0))


def test_a_model_that_raises_what_nobody_expected_is_refused(
    store: Path, follow: Callable[[], Following]
) -> None:
    """The thread that watches outlives any bundle."""
    save_scale(store, 2)
    save_scale(store, 3)
    followed = follow()
    followed.promote("2")

    def load(_version: str) -> Any:
        raise ZeroDivisionError("no error of ours")

    followed.watcher.load = load
    (entry,) = followed.look()
    assert entry["reason"] == "ZeroDivisionError: no error of ours"
    assert followed.version == "1"


def test_other_answers_are_refused(store: Path, follow: Callable[[], Following]) -> None:
    """Readers of a regression are not sent classes in the middle of a stream."""
    save_scale(store, 2)
    save_classes(store, ["late", "early"])
    followed = follow()
    followed.promote("2")
    (entry,) = followed.look()
    assert "the task: classification instead of regression" in entry["reason"]
    assert "restart" in entry["hint"]
    assert followed.version == "1"


@pytest.mark.parametrize("labels", [["a", "b", "c"], ["a", "c"], [1, 0], [True, False], ["1", "0"]])
def test_other_labels_are_refused(
    store: Path, follow: Callable[[], Following], labels: list[Any]
) -> None:
    """Whoever reacts to a label is not sent one that it has never heard of."""
    save_classes(store, ["a", "b"])
    save_classes(store, labels)
    followed = follow()
    followed.promote("2")
    (entry,) = followed.look()
    assert "the labels" in entry["reason"]
    assert followed.version == "1"


def test_other_features_are_taken_up(store: Path, follow: Callable[[], Following]) -> None:
    """Events are looked up by name, so that a model may come to read others of their fields."""
    save_scale(store, 2)
    save_scale(store, 3, feature="y")
    followed = follow()
    followed.promote("2")
    followed.look()
    assert followed.watcher.model.signature.names == ("y",)


def test_an_alias_or_a_store_that_is_gone_changes_nothing(
    store: Path, follow: Callable[[], Following]
) -> None:
    """The version at work goes on; each cause is told once, and its end leads back to normal."""
    save_scale(store, 2)
    save_scale(store, 3)
    followed = follow()
    aliases = store / NAME / "aliases.json"
    kept = aliases.read_bytes()
    told: list[list[str]] = []
    aliases.write_text("{}")
    told += [[entry["event"] for entry in followed.look()] for _ in range(2)]
    aliases.write_text("no JSON")
    told += [[entry["event"] for entry in followed.look()] for _ in range(2)]
    store.rename(store.with_name("away"))
    told += [[entry["event"] for entry in followed.look()] for _ in range(2)]
    assert told == [["model_not_found"], []] * 3
    store.with_name("away").rename(store)
    aliases.write_bytes(kept)
    followed.promote("2")
    followed.look()
    assert (followed.version, followed.counts) == ("2", (1, 0, 6))


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.mark.parametrize("reference", [NAME, f"{NAME}@champion"])
def test_an_alias_is_followed_in_the_background(
    store: Path, settings: Settings, reference: str
) -> None:
    """A name alone stands for its champion, and is followed as such."""
    save_scale(store, 2)
    save_scale(store, 3)
    loaded = load_with(settings, reference)
    with following(reference, loaded, settings, ModelMetrics(CollectorRegistry())) as watcher:
        assert watcher.model is loaded
        model.Store(store).promote(NAME, "2", "champion")
        wait_until(lambda: watcher.model.version == "2", "the new version is taken up")


@pytest.mark.parametrize(("reference", "interval_s"), [(f"{NAME}:1", 0.01), (NAME, 0.0)])
def test_what_is_not_to_be_followed_is_not(store: Path, reference: str, interval_s: float) -> None:
    """A version is fixed, and an interval of 0 turns it off: the store is not looked at again."""
    save_scale(store, 2)
    overrides = {"store": store, "model.reload_interval_s": interval_s}
    settings = load_settings(overrides, environ={}, directory=store)
    registry = CollectorRegistry()
    loaded = load_with(settings, reference)
    shutil.rmtree(store)
    with following(reference, loaded, settings, ModelMetrics(registry)) as watcher:
        time.sleep(0.2)  # twenty looks, if there were any
        assert watcher.model is loaded
    name = "streamscore_model_reloads_total"
    assert registry.get_sample_value(name, {"result": "not_found"}) == 0


def test_a_model_is_loaded_as_the_settings_say(store: Path) -> None:
    """The store, the engine; and what is not there is an error."""
    save_scale(store, 2)
    overrides = {"store": store, "model.engine": "scikit-learn"}
    settings = load_settings(overrides, environ={}, directory=store)
    assert load_with(settings, NAME).scorer.engine == "scikit-learn"
    with pytest.raises(ModelError, match="no version '7'"):
        load_with(settings, f"{NAME}:7")
