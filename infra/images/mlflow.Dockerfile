# MLflow's tracking server, registry and UI, with drivers for Postgres and S3:
#   docker build -f infra/images/mlflow.Dockerfile -t flywheel/mlflow .
FROM python:3.11-slim
ENV MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
COPY constraints.txt /
RUN pip install --no-cache-dir -c /constraints.txt mlflow psycopg2-binary boto3
RUN useradd --create-home --uid 10001 mlflow
USER mlflow
EXPOSE 5000
CMD ["sh", "-c", "exec mlflow server --host 0.0.0.0 --port 5000 --workers 2 \
  --backend-store-uri $BACKEND_STORE_URI --artifacts-destination $ARTIFACTS_DESTINATION \
  --allowed-hosts $ALLOWED_HOSTS"]
