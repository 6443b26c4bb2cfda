# MLflow's tracking server, registry and UI, with drivers for Postgres and S3:
#   docker build -f infra/images/mlflow.Dockerfile -t flywheel/mlflow .
# Its stores and the names that it answers to come from the environment (MLFLOW_...; PGPASSWORD),
# and so does its only user (MLFLOW_AUTH_ADMIN_USERNAME and _PASSWORD, MLFLOW_FLASK_SERVER_SECRET_KEY).
# By digest: --build-arg PYTHON=python:3.11-slim@sha256:... (`docker buildx imagetools inspect` names it).
ARG PYTHON=python:3.11-slim
FROM ${PYTHON}
ENV HOME=/tmp MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_AUTH_CONFIG_PATH=/mlflow-auth.ini
RUN useradd --create-home --uid 10001 mlflow && install -d -o mlflow /mlflow
COPY infra/images/mlflow.txt infra/images/mlflow-auth.ini /
RUN pip install --no-cache-dir --require-hashes -r /mlflow.txt
USER 10001
EXPOSE 5000
CMD ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--workers", "2", "--app-name", "basic-auth"]
