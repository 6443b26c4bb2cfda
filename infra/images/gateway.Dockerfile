# The gateway that agents call: no torch, no MLflow, no Prefect. Build from the repository's root:
#   docker build -f infra/images/gateway.Dockerfile -t flywheel/gateway .
# By digest: --build-arg PYTHON=python:3.11-slim@sha256:... (`docker buildx imagetools inspect` names it).
ARG PYTHON=python:3.11-slim
FROM ${PYTHON}
ENV HOME=/tmp PYTHONUNBUFFERED=1 SHUTDOWN_SECONDS=50
WORKDIR /app
RUN useradd --create-home --uid 10001 flywheel && install -d -o flywheel /flywheel
# What it needs comes before its code: a change of the code installs nothing anew.
COPY pyproject.toml README.md LICENSE infra/images/gateway.txt ./
RUN pip install --no-cache-dir --require-hashes -r gateway.txt \
 && mkdir flows tasks registry serving bases examples \
 && pip install --no-cache-dir --no-deps --no-build-isolation --no-index -e .
COPY tasks tasks
COPY registry registry
COPY serving serving
COPY params.yaml ./
USER 10001
EXPOSE 8080
CMD ["python", "-m", "serving.gateway", "--home", "/flywheel", "--port", "8080", "--host", "0.0.0.0"]
