# The nightly flow: every hop from ingest to promote. Build from the repository's root:
#   docker build -f infra/images/worker.Dockerfile -t flywheel/worker .
FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1 PREFECT_SERVER_ANALYTICS_ENABLED=false MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=1
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY flows flows
COPY tasks tasks
COPY registry registry
COPY serving serving
COPY bases bases
COPY examples examples
COPY params.yaml ./
RUN pip install --no-cache-dir -c constraints.txt torch -e '.[data,train,qlora,registry,serve,flow,cloud]'
RUN useradd --create-home --uid 10001 flywheel && install -d -o flywheel /flywheel
USER flywheel
COPY infra/prefect.yaml infra/prefect.yaml
CMD ["prefect", "worker", "start", "--pool", "flywheel", "--type", "process"]
