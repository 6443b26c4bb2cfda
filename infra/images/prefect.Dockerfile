# Prefect's server and UI at the versions that the worker has, with the driver for Postgres.
# Who asks it comes with PREFECT_SERVER_API_AUTH_STRING:
#   docker build -f infra/images/prefect.Dockerfile -t flywheel/prefect .
# By digest: --build-arg PYTHON=python:3.11-slim@sha256:... (`docker buildx imagetools inspect` names it).
ARG PYTHON=python:3.11-slim
FROM ${PYTHON}
# Leases on the volume: in memory, a restart of the server would hold a lost run's slot for ever.
# The UI asks the server under whatever name the browser has it, not 0.0.0.0.
# Pages of other origins may not ask it; its own, under any name, is no other.
ENV HOME=/tmp PREFECT_SERVER_UI_STATIC_DIRECTORY=/tmp/ui PREFECT_SERVER_CORS_ALLOWED_ORIGINS=http://localhost:4200 \
    PREFECT_SERVER_UI_API_URL=/api PREFECT_HOME=/prefect PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1 \
    PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem
RUN useradd --create-home --uid 10001 prefect && install -d -o prefect /prefect
COPY infra/images/prefect.txt /
RUN pip install --no-cache-dir --require-hashes -r /prefect.txt
USER 10001
EXPOSE 4200
CMD ["prefect", "server", "start", "--host", "0.0.0.0", "--port", "4200"]
