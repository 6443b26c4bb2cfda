# The nightly flow: every hop from ingest to promote. Build from the repository's root:
#   docker build -f infra/images/worker.Dockerfile -t flywheel/worker .
# By digest: --build-arg PYTHON=python:3.11-slim@sha256:... (`docker buildx imagetools inspect` names it).
ARG PYTHON=python:3.11-slim
FROM ${PYTHON}
# The root is read-only where it runs: what is kept nowhere else is kept in /tmp.
ENV HOME=/tmp DVC_SITE_CACHE_DIR=/tmp/dvc USER=flywheel PYTHONUNBUFFERED=1 PREFECT_SERVER_ANALYTICS_ENABLED=false MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=1 PREFECT_FLOWS_HEARTBEAT_FREQUENCY=30
WORKDIR /app
RUN useradd --create-home --uid 10001 flywheel && install -d -o flywheel /flywheel /flywheel/adapters
COPY pyproject.toml README.md LICENSE infra/images/worker.txt ./
RUN pip install --no-cache-dir --require-hashes -r worker.txt \
 && mkdir flows tasks registry serving bases examples \
 && pip install --no-cache-dir --no-deps --no-build-isolation --no-index -e .
COPY bases bases
COPY examples examples
COPY tasks tasks
COPY registry registry
COPY serving serving
COPY flows flows
COPY infra/prefect.yaml infra/prefect.yaml
COPY params.yaml ./
USER 10001
CMD ["sh", "-c", ": \"${FLYWHEEL_PII_KEY:?is empty}\" && python -m flows.deploy infra/prefect.yaml && exec prefect worker start --pool flywheel --type process"]
