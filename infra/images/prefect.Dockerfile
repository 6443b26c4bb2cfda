# Prefect's server and UI at the versions that the worker has, with the driver for Postgres:
#   docker build -f infra/images/prefect.Dockerfile -t flywheel/prefect .
FROM python:3.11-slim
# Leases on the volume: in memory, a restart of the server would hold a lost run's slot for ever.
# The UI asks the server under whatever name the browser has it, not 0.0.0.0.
ENV PREFECT_SERVER_UI_API_URL=/api PREFECT_HOME=/prefect PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1 \
    PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem
RUN useradd --create-home --uid 10001 prefect && install -d -o prefect /prefect
COPY constraints.txt /
RUN pip install --no-cache-dir -c /constraints.txt prefect fastapi asyncpg
USER 10001
EXPOSE 4200
CMD ["prefect", "server", "start", "--host", "0.0.0.0", "--port", "4200"]
