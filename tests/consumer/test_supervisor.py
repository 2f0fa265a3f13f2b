"""consumer/supervisor.py and the job that it hands to its workers."""

from consumer.supervisor import restart_delay_s
from consumer.worker import Job
from runtime.settings import load_settings


def test_a_job_reaches_the_worker_whole() -> None:
    """Settings, secrets included, travel through a pipe and come out the same."""
    settings = load_settings(
        {"kafka": {"sasl.password": "s3cret"}, "consumer.max_batch": 7}, environ={}
    )
    job = Job(settings, "in", "out", "m@champion", "group")
    assert Job.from_json(job.to_json()) == job


def test_restarts_slow_down_and_end() -> None:
    """A worker that keeps dying is not started for ever."""
    delays = [restart_delay_s(deaths) for deaths in range(1, 12)]
    waited = [delay for delay in delays if delay is not None]
    assert waited == sorted(waited)
    assert waited[0] < 1 < waited[-1]
    assert delays[-1] is None
