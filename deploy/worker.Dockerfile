# The image of the worker in Python, with the command `leasehold`, from the root of the repository:
# docker build -f deploy/worker.Dockerfile -t localhost/leasehold-worker:0.1.0 .
#
# tests/cluster/worker-image makes the like of it without a container engine: keep the two in step.
FROM rust:1.95-bookworm AS command
WORKDIR /source
COPY . .
RUN cargo build --release --locked --package leasehold-cli

FROM python:3.11-slim-bookworm AS packages
SHELL ["/bin/bash", "-c"]
WORKDIR /source
COPY examples/python examples/python
COPY proto proto
# The stubs need grpcio-tools, the worker doesn't: it gets the version of protobuf that the stubs are made for.
RUN pip install --no-cache-dir -r examples/python/requirements.txt \
    && mkdir -p /app && examples/python/stubs.sh /app && cp examples/python/{worker,election,facts}.py /app/ \
    && pip install --no-cache-dir --target /app/packages "$(grep '^grpcio==' examples/python/requirements.txt)" \
       "protobuf==$(pip show protobuf | sed -n 's/^Version: //p')" \
       "$(grep '^prometheus_client==' examples/python/requirements.txt)"

FROM python:3.11-slim-bookworm
COPY --from=command /source/target/release/leasehold /usr/bin/leasehold
COPY --from=packages /app /app
WORKDIR /app
ENV PYTHONPATH=/app:/app/packages PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532
ENTRYPOINT ["python3", "/app/worker.py"]
