# The gateway that agents call: no torch, no MLflow, no Prefect. Build from the repository's root:
#   docker build -f infra/images/gateway.Dockerfile -t flywheel/gateway .
FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY tasks tasks
COPY registry registry
COPY serving serving
COPY flows/__init__.py flows/
COPY bases/__init__.py bases/
COPY examples/__init__.py examples/
COPY params.yaml ./
RUN pip install --no-cache-dir -c constraints.txt -e '.[serve]' numpy
RUN useradd --create-home --uid 10001 flywheel && install -d -o flywheel /flywheel
USER flywheel
EXPOSE 8080
CMD ["python", "-m", "serving.gateway", "--home", "/flywheel", "--port", "8080", "--host", "0.0.0.0"]
