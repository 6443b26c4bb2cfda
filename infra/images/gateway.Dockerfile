# The gateway that agents call: no torch, no MLflow, no Prefect. Build from the repository's root:
#   docker build -f infra/images/gateway.Dockerfile -t flywheel/gateway .
FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1 SHUTDOWN_SECONDS=50
WORKDIR /app
RUN useradd --create-home --uid 10001 flywheel && install -d -o flywheel /flywheel
# What it needs comes before its code: a change of the code installs nothing anew.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir flows tasks registry serving bases examples \
 && pip install --no-cache-dir -c constraints.txt -e '.[serve]' numpy
COPY tasks tasks
COPY registry registry
COPY serving serving
COPY params.yaml ./
USER 10001
EXPOSE 8080
CMD ["python", "-m", "serving.gateway", "--home", "/flywheel", "--port", "8080", "--host", "0.0.0.0"]
