"""What the store says of the version that a run scored with, without loading the model."""

from typing import Any

from batch.found import Ran
from model.bundle_files import CARD, SIGNATURE, read_json
from model.errors import ModelError
from model.schema import label_key
from model.signature import Signature
from model.store import Store
from runtime.settings import Settings


def card_of(settings: Settings, ran: Ran) -> dict[str, Any]:
    """The bundle's card; empty where the store has not that version."""
    return _read(settings, ran, CARD)


def signature_of(settings: Settings, ran: Ran) -> Signature | None:
    """What the model takes and gives; None where the store has not that version."""
    found = _read(settings, ran, SIGNATURE)
    return Signature.from_dict(found) if found else None


def labels_of(settings: Settings, ran: Ran) -> tuple[str, ...]:
    """All labels that a classifier may answer; empty where that is not known."""
    signature = signature_of(settings, ran)
    return () if signature is None else tuple(map(label_key, signature.labels))


def _read(settings: Settings, ran: Ran, name: str) -> dict[str, Any]:
    try:
        path = Store(settings.store).resolve(f"{ran.model}:{ran.version}").path
        return read_json(path, name)
    except ModelError:
        return {}
