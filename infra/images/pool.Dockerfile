# The embedded engine: the pool of a machine without a GPU. With GPUs use vLLM's own image instead
# (see infra/README.md); both answer the same endpoints. Build from the repository's root:
#   docker build -f infra/images/pool.Dockerfile -t flywheel/pool .
# By digest: --build-arg PYTHON=python:3.11-slim@sha256:... (`docker buildx imagetools inspect` names it).
ARG PYTHON=python:3.11-slim
FROM ${PYTHON}
ENV HOME=/tmp PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
WORKDIR /app
RUN useradd --create-home --uid 10001 flywheel && install -d -o flywheel /flywheel/adapters
COPY pyproject.toml README.md LICENSE infra/images/pool.txt ./
RUN pip install --no-cache-dir --require-hashes -r pool.txt \
 && mkdir flows tasks registry serving bases examples \
 && pip install --no-cache-dir --no-deps --no-build-isolation --no-index -e .
COPY bases bases
COPY tasks tasks
COPY registry registry
COPY serving serving
COPY params.yaml ./
USER 10001
EXPOSE 8000
CMD ["python", "-m", "serving.engine", "--base", "bundled", "--adapters", "/flywheel/adapters", "--port", "8000", "--host", "0.0.0.0"]
