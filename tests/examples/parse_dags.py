"""Runs in Airflow's own virtualenv: writes what Airflow makes of a file of DAGs, as JSON.

    parse_dags.py DAGS.py ANSWER.json

The first run's commands are rendered as a worker renders them, with connections that are invented.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization


def main(dags: str, answer: str) -> None:
    """Parse, serialize as the DAG processor does, and describe."""
    bag = DagBag(dags)
    described = [describe(dag) for dag in bag.dags.values()]
    told = {"errors": {str(key): value for key, value in bag.import_errors.items()}}
    Path(answer).write_text(json.dumps(told | {"dags": described}), encoding="utf-8")


def describe(dag: Any) -> dict[str, Any]:
    """A DAG, and its first run."""
    stored = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    first = stored.next_dagrun_info(last_automated_run_info=None)
    context = {
        "data_interval_start": first.data_interval.start,
        "conn": SimpleNamespace(
            streamscore_source=SimpleNamespace(get_uri=lambda: "postgres://reader:r@db/flights"),
            streamscore_target=SimpleNamespace(
                get_uri=lambda: "postgres://writer:w@db/predictions"
            ),
        ),
    }
    return {
        "id": dag.dag_id,
        "timetable": stored.timetable.serialize(),
        "run_after": first.run_after.isoformat(),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "tasks": {
            task.task_id: {
                "command": task.render_template(task.bash_command, context),
                "env": task.render_template(task.env, context),
                "append_env": task.append_env,
                "retries": task.retries,
                "after": sorted(task.upstream_task_ids),
            }
            for task in dag.tasks
        },
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
