# The service without the pipeline: docs/service.md says how to run it. tests/serving/test_image.py runs each step.
FROM python:3.12-slim
WORKDIR /app
COPY requirements/image.txt requirements/
RUN pip install --no-cache-dir --only-binary :all: --require-hashes --requirement requirements/image.txt
COPY pyproject.toml ./
COPY src/retrieval src/retrieval
ARG REVISION=""
ENV PYTHONPATH=src PYTHONDONTWRITEBYTECODE=1 RETRIEVAL_HOST=0.0.0.0 RETRIEVAL_REVISION=$REVISION
USER 10001:10001
VOLUME ["/app/models", "/app/metrics"]
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/ready', timeout=5)"]
ENTRYPOINT ["python", "-m", "retrieval.serving"]
