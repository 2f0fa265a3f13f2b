"""Airflow 3: score yesterday's flights every night, then report and alert.

Copy it into the folder of your DAGs. Streamscore lives in a virtualenv of its own on the workers
(STREAMSCORE below), never in Airflow's. The two databases are Airflow's connections
`streamscore_source` and `streamscore_target`; models and everything else that holds for your team
are in the settings file that STREAMSCORE_CONFIG names.

A run scores the day in which its data interval begins, so missed nights are caught up by Airflow
itself, and any day can be run again: one that is complete is left alone.
"""

from datetime import timedelta

import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, CronDataIntervalTimetable

STREAMSCORE = "/opt/streamscore/bin/streamscore"
CONFIG = "/etc/streamscore/streamscore.toml"
REPORTS = "/srv/streamscore/reports"
ZONE = "America/New_York"  # whose days are meant: the same as the setting batch.time_zone

# `ds` is the day in UTC. East of it, at two in the night, that is one day too early.
DAY = f"{{{{ data_interval_start.in_timezone('{ZONE}') | ds }}}}"

with DAG(
    dag_id="streamscore_batch",
    description="Score yesterday's flights, write the report, alert if the day is not normal.",
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone=ZONE),
    start_date=pendulum.datetime(2013, 12, 1, tz=ZONE),
    catchup=True,
    max_active_runs=1,
    default_args={
        "retries": 3,  # a killed run goes on where it stood
        "retry_delay": timedelta(minutes=5),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(hours=1),
        "execution_timeout": timedelta(hours=4),
        "append_env": True,
        "env": {
            "STREAMSCORE_CONFIG": CONFIG,
            "STREAMSCORE_BATCH__SOURCE": "{{ conn.streamscore_source.get_uri() }}",
            "STREAMSCORE_BATCH__TARGET": "{{ conn.streamscore_target.get_uri() }}",
        },
    },
    tags=["streamscore"],
) as dag:
    score = BashOperator(
        task_id="score",
        bash_command=f"{STREAMSCORE} batch run --date {DAY}",
    )
    report = BashOperator(
        task_id="report",
        bash_command=f"{STREAMSCORE} batch report --date {DAY} --out {REPORTS}/{DAY}.html",
    )
    # Exit code 3 says that the condition holds: the task fails, which is what tells people.
    alert = BashOperator(
        task_id="alert",
        bash_command=(
            f"{STREAMSCORE} batch alert --date {DAY} "
            "--when 'share(prediction > 60) > 0.15 or rejected > 100'"
        ),
        retries=0,
    )
    score >> [report, alert]
