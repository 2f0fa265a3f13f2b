"""What `streamscore doctor` sees of the models: that they resolve, load, and score as they did.

Loading a bundle proves its checksums and its golden rows; this module only tells the outcome.
"""

from collections.abc import Iterator, Mapping

from model.bundle import load_model
from model.errors import StreamscoreError
from model.store import Store
from runtime import doctor
from runtime.doctor import Finding
from runtime.settings import Settings


def examine_models(settings: Settings, reference: str | None) -> Iterator[Finding]:
    """Look at one model, or without a reference at the champion of each in the store."""
    try:
        references = [reference] if reference else Store(settings.store).models()
    except StreamscoreError as error:
        yield doctor.fail("model", str(error), error.hint)
        return
    if not references:
        yield doctor.warn(
            "model",
            f"there is no model in {settings.store}",
            "make one with `streamscore train` or `streamscore bundle`, or name another --store",
        )
    for each in references:
        yield from _examine_model(settings, each)


def _examine_model(settings: Settings, reference: str) -> Iterator[Finding]:
    try:
        model = load_model(
            reference, store=settings.store, allowed_types=settings.model.allowed_types
        )
    except StreamscoreError as error:
        yield doctor.fail("model", str(error), error.hint)
        return
    yield doctor.ok(
        "model",
        f"{reference} is {model.reference}: its checksums hold, and its golden rows score as they "
        "did when it was bundled",
    )
    for warning in model.warnings:
        yield doctor.warn(
            "scikit-learn", warning, "bundle it again with the version that is installed here"
        )
    if not model.warnings:
        yield doctor.ok("scikit-learn", f"{_saved_with(model.card)}, as the bundle was saved with")


def _saved_with(card: Mapping[str, object]) -> str:
    versions = card.get("versions")
    return str(versions.get("scikit-learn")) if isinstance(versions, Mapping) else "unknown"
