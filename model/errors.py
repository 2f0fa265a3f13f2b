"""Every error that Streamscore raises on purpose.

    StreamscoreError            exit code 1: it failed at run time
    ├── WrongUsage              exit code 2: a flag, a file or a setting is wrong
    │   ├── SettingsError       a setting is unknown or has a wrong value
    │   ├── InputFileError      a file to read is missing, empty or broken
    │   ├── SourceUnfit         a table or query lacks what the model needs
    │   └── BadRequest          a request over HTTP cannot be read as events
    ├── ModelError              a model cannot be used
    │   ├── ModelNotFound       the store has no such model, version or alias
    │   ├── UnsupportedModel    the estimator or its sample cannot be bundled
    │   ├── UntrustedModel      a model file that may run code on load
    │   ├── TamperedBundle      a bundle's files are not those that were saved
    │   └── IncompatibleBundle  the golden rows score differently here, or the answers are of
    │                           another kind than those of the version at work
    ├── BrokerError             Kafka cannot be used
    │   ├── BrokerUnreachable   no broker answered in time
    │   ├── MissingTopics       a topic does not exist
    │   ├── DeliveryFailed      an event was not acknowledged
    │   ├── BatchUndone         a batch was rolled back and can be tried again
    │   ├── OutcomeUnknown      whether a batch was committed, only Kafka knows
    │   └── Fenced              another instance took this one's identity
    ├── DatabaseError           a database cannot be used
    │   ├── DatabaseUnavailable it did not answer, or went away: it may come back
    │   ├── NoRun               a day was not scored, or not completely
    │   ├── RunTaken            another process is at work on the same day
    │   └── RunStopped          a run was told to stop before its day was complete
    ├── SparkError              Apache Spark cannot be used, or a task of it failed
    └── ReactionFailed          a webhook or command did not accept a prediction

An event that cannot be scored is no error but a `Rejection` (model/rejection.py):
it becomes a dead letter and stops nothing.
"""


class StreamscoreError(Exception):
    """A failure with a message for people: what happened, where, and how to mend it."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class WrongUsage(StreamscoreError):
    """A flag, a file or a setting is wrong."""

    exit_code = 2


class SettingsError(WrongUsage):
    """A setting is unknown or has a wrong value."""


class InputFileError(WrongUsage):
    """A file to read is missing, empty or broken."""


class SourceUnfit(WrongUsage):
    """A table or query is not there, or lacks what the model needs."""


class BadRequest(WrongUsage):
    """A request over HTTP cannot be read as events."""


class ModelError(StreamscoreError):
    """A model cannot be used."""


class ModelNotFound(ModelError):
    """The store has no such model, version or alias."""


class UnsupportedModel(ModelError):
    """The estimator or its sample cannot be bundled."""


class UntrustedModel(ModelError):
    """A model file may run code on load and was not explicitly trusted."""


class TamperedBundle(ModelError):
    """A bundle's files are not those that were saved."""


class IncompatibleBundle(ModelError):
    """The golden rows score differently here, or the answers are not those that readers expect."""


class BrokerError(StreamscoreError):
    """Kafka cannot be used."""


class BrokerUnreachable(BrokerError):
    """No broker answered in time."""


class MissingTopics(BrokerError):
    """A topic does not exist."""


class DeliveryFailed(BrokerError):
    """An event was not acknowledged by the broker."""


class BatchUndone(BrokerError):
    """A batch was rolled back whole: nothing of it will be seen; it can be tried again."""


class OutcomeUnknown(BrokerError):
    """Whether a batch was committed is not known: the group's committed offsets tell."""


class Fenced(BrokerError):
    """Another instance took over this one's identity."""


class DatabaseError(StreamscoreError):
    """A database cannot be used."""


class DatabaseUnavailable(DatabaseError):
    """A database did not answer, or went away: it may come back, and nothing is half done."""


class NoRun(DatabaseError):
    """A day was not scored, or not completely, so that there is nothing to tell of it."""


class RunTaken(DatabaseError):
    """Another process is at work on the same day."""


class RunStopped(DatabaseError):
    """A run was told to stop before its day was complete: the next one goes on from there."""


class SparkError(StreamscoreError):
    """Apache Spark cannot be used, or a task of it failed; nothing is half written."""


class ReactionFailed(StreamscoreError):
    """A webhook or a command did not accept a prediction."""
