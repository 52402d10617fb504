# The auditor with everything in it: the command, the Prefect flows, the sample data.
#
#   docker build -t auditor .                                  # --build-arg EXTRA=audit leaves Prefect out
#   podman build --format docker -t auditor .                  # the OCI format has no HEALTHCHECK
#   docker run --rm --read-only --tmpfs /tmp auditor demo
#   docker run --read-only --tmpfs /tmp -v auditor:/var/lib/auditor auditor serve --config auditor.yaml
#
# The process runs as 10001:10001, without capabilities. What it writes lies below /var/lib/auditor (and
# /tmp). Mounts, and the seccomp profile that the sandbox needs: docs/how-to/container.md.
# BASE_IMAGE is for a mirror or a digest: --build-arg BASE_IMAGE=python@sha256:...
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS build
ARG EXTRA=all
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# First what changes seldom: packages by hash, those that build in one environment, those that run in
# another. The second one is the only thing that is copied on.
COPY pyproject.toml requirements.lock ./
COPY .ci/lock_subset.py .ci/
RUN python .ci/lock_subset.py hatchling >/build.lock \
    && python .ci/lock_subset.py "${EXTRA}" >/run.lock \
    && python -m venv /build \
    && /build/bin/pip install --no-deps --require-hashes -r /build.lock \
    && python -m venv /opt/auditor \
    && /opt/auditor/bin/pip install --no-deps --require-hashes -r /run.lock
COPY . .
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/auditor/bin/pip install --no-deps /wheels/auditor-*.whl \
    && /opt/auditor/bin/pip check

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="auditor" \
      org.opencontainers.image.description="A gate before retraining: audits batches of training data for poisoning" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/auditor /opt/auditor
# The root file system may be read-only: everything that wants to write is sent to the volume.
ENV PATH=/opt/auditor/bin:$PATH \
    HOME=/var/lib/auditor \
    PREFECT_HOME=/var/lib/auditor/.prefect \
    NUMBA_CACHE_DIR=/var/lib/auditor/.cache/numba \
    MPLCONFIGDIR=/var/lib/auditor/.cache/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1 \
    PREFECT_SERVER_ANALYTICS_ENABLED=false
RUN install -d -o 10001 -g 10001 -m 0750 /var/lib/auditor
WORKDIR /var/lib/auditor
VOLUME ["/var/lib/auditor"]
USER 10001:10001
# Versions that fit, a folder that can be written, a site key that is a secret. No port, no curl.
HEALTHCHECK --interval=60s --timeout=30s --start-period=30s --retries=3 CMD ["auditor", "doctor", "--quiet"]
ENTRYPOINT ["auditor"]
CMD ["--help"]
