# Build: docker build -t notification-sender .
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /build
COPY requirements/runtime.lock requirements/
RUN python -m venv /opt/notification-sender \
 && /opt/notification-sender/bin/pip install --no-cache-dir --require-hashes -r requirements/runtime.lock
COPY pyproject.toml README.md ./
COPY notification_sender notification_sender
COPY templates templates
COPY lua lua
RUN /opt/notification-sender/bin/pip install --no-cache-dir --no-deps .

FROM ${BASE}
COPY --from=build /opt/notification-sender /opt/notification-sender
ENV PATH=/opt/notification-sender/bin:$PATH PYTHONUNBUFFERED=1
# Numeric, so that Kubernetes can verify runAsNonRoot without looking into the image.
USER 10001:10001
EXPOSE 8080
# Exec form: SIGTERM must reach the worker itself, or it cannot finish what it has in hand.
ENTRYPOINT ["notification-sender"]
CMD ["run"]
