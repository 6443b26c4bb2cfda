# MLflow's tracking server, registry and UI, with drivers for Postgres and S3:
#   docker build -f infra/images/mlflow.Dockerfile -t flywheel/mlflow .
# Its stores and the names that it answers to come from the environment (MLFLOW_...; PGPASSWORD).
FROM python:3.11-slim
ENV MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
RUN useradd --create-home --uid 10001 mlflow && install -d -o mlflow /mlflow
COPY constraints.txt /
RUN pip install --no-cache-dir -c /constraints.txt mlflow psycopg2-binary boto3
USER 10001
EXPOSE 5000
CMD ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--workers", "2"]
