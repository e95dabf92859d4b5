# Build: docker build -t notification-sender .
# The simulated platform: docker build --target sandbox -t notification-sender-sandbox .
#   docker run --network host notification-sender-sandbox     (it listens on 127.0.0.1, unless --host says otherwise)
# Both, with RabbitMQ and Redis: docker compose up (compose.yaml).
# python:3.13.15-slim. By its digest: a tag is moved, and what was tested would not be what runs. Change both together.
ARG BASE=python@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${BASE} AS build
WORKDIR /build
COPY requirements/runtime.lock requirements/build.lock requirements/
RUN python -m venv /opt/notification-sender \
 && /opt/notification-sender/bin/pip install --no-cache-dir --require-hashes -r requirements/runtime.lock
# In a place of its own: what builds the wheel is not needed where it runs.
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY notification_sender notification_sender
COPY templates templates
COPY lua lua
# Without isolation: pip would fetch the newest build backend that the project allows, unlocked, and run it.
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
 && /opt/notification-sender/bin/pip install --no-cache-dir --no-deps --no-index dist/*.whl

FROM ${BASE} AS build-sandbox
WORKDIR /build
COPY --from=build /opt/notification-sender /opt/notification-sender
COPY requirements/demo.lock requirements/
RUN /opt/notification-sender/bin/pip install --no-cache-dir --require-hashes -r requirements/demo.lock

FROM ${BASE} AS sandbox
COPY --from=build-sandbox /opt/notification-sender /opt/notification-sender
ENV PATH=/opt/notification-sender/bin:$PATH PYTHONUNBUFFERED=1
# For --directory: an empty volume takes over the owner of the directory that it is mounted on.
RUN install -d -m 700 -o 10001 -g 10001 /var/lib/notification-sender-sandbox
USER 10001:10001
EXPOSE 9100 9101 9102 9103
ENTRYPOINT ["python", "-m", "notification_sender.sandbox"]

# The last one is what is built unless another is named.
FROM ${BASE}
COPY --from=build /opt/notification-sender /opt/notification-sender
ENV PATH=/opt/notification-sender/bin:$PATH PYTHONUNBUFFERED=1
# Numeric, so that Kubernetes can verify runAsNonRoot without looking into the image.
USER 10001:10001
EXPOSE 8080
# Exec form: SIGTERM must reach the worker itself, or it cannot finish what it has in hand.
ENTRYPOINT ["notification-sender"]
CMD ["run"]
