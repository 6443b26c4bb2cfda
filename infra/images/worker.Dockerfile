# The nightly flow: every hop from ingest to promote. Build from the repository's root:
#   docker build -f infra/images/worker.Dockerfile -t flywheel/worker .
FROM python:3.11-slim
ENV USER=flywheel PYTHONUNBUFFERED=1 PREFECT_SERVER_ANALYTICS_ENABLED=false MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=1 PREFECT_FLOWS_HEARTBEAT_FREQUENCY=30
WORKDIR /app
RUN useradd --create-home --uid 10001 flywheel && install -d -o flywheel /flywheel /flywheel/adapters
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir flows tasks registry serving bases examples \
 && pip install --no-cache-dir -c constraints.txt torch -e '.[data,train,qlora,registry,serve,flow,cloud]'
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
