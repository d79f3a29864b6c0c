# docker build -t worker-model-sync-tts:latest .        docs/image.md tells what is in it, and why
#
# BASE_IMAGE: any Python of 3.11 or later on glibc, for example a private registry's copy. Its tag has no digest, so that
# every build has the base's latest security updates; which digest a released image was built on is in its provenance.
ARG BASE_IMAGE=docker.io/library/python:3.12-slim-bookworm

FROM ${BASE_IMAGE} AS dependencies
# A mirror of PyPI, if there is one to be used. What comes from it must have the hashes of the locks.
ARG INDEX_URL=""
ENV PIP_INDEX_URL=${INDEX_URL} \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    UV_DEFAULT_INDEX=${INDEX_URL} \
    UV_NO_CACHE=1 \
    UV_COMPILE_BYTECODE=1 \
    UV_PYTHON_DOWNLOADS=never \
    UV_SYSTEM_CERTS=1
WORKDIR /build
COPY requirements-build.lock requirements.lock ./
RUN python3 -m venv /tools \
    && /tools/bin/pip install --quiet --require-hashes --requirement requirements-build.lock \
    && /tools/bin/uv venv --python "$(command -v python3)" /opt/modelsync \
    && /tools/bin/uv pip sync --python /opt/modelsync --require-hashes requirements.lock

FROM dependencies AS build
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /tools/bin/hatchling build --target wheel \
    && /tools/bin/uv pip install --python /opt/modelsync --no-deps dist/*.whl
# A third of all that, and never loaded: botocore's models of services that neither bring messages nor credentials, and
# the asynchronous twin of Kubernetes' client.
RUN find /opt/modelsync/lib/python3*/site-packages/botocore/data -mindepth 1 -maxdepth 1 -type d \
      ! -name s3 ! -name signin ! -name sqs ! -name sso ! -name sso-oidc ! -name sts -exec rm -r {} + \
    && rm -r /opt/modelsync/lib/python3*/site-packages/kubernetes/aio

# The S3 and SQS of compose.yaml: `modelsync demo`'s emulator, standing alone.
FROM dependencies AS build-emulator
COPY requirements-demo.lock ./
RUN /tools/bin/uv pip sync --python /opt/modelsync --require-hashes requirements-demo.lock
COPY --from=build /build/dist dist
RUN /tools/bin/uv pip install --python /opt/modelsync --no-deps dist/*.whl

FROM ${BASE_IMAGE} AS runtime
RUN groupadd --gid 10001 modelsync \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin modelsync \
    && install --directory --owner=10001 --group=10001 /models
# PID 1: reaps what hooks leave behind, and ends commands that are told to before they can listen.
COPY --from=build /tools/bin/dumb-init /usr/local/bin/dumb-init
ENV PATH=/opt/modelsync/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /models

FROM runtime AS emulator
COPY --from=build-emulator /opt/modelsync /opt/modelsync
ENTRYPOINT ["dumb-init", "--single-child", "--", "python3", "-m", "modelsync.demo.standing"]
EXPOSE 5000

FROM runtime AS worker
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="worker-model-sync-tts" \
      org.opencontainers.image.description="modelsync: keeps AI models on a shared volume in step with S3" \
      org.opencontainers.image.source="https://github.com/modelsync/modelsync" \
      org.opencontainers.image.documentation="https://github.com/modelsync/modelsync/tree/main/docs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/modelsync /opt/modelsync
EXPOSE 8080
# For Docker and Compose; Kubernetes has probes of its own. Without site and urllib this costs a tenth of `modelsync status`.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 CMD ["python3", "-I", "-S", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('HTTP_PORT', 8080)), timeout=4); c.request('GET', '/live'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["dumb-init", "--single-child", "--", "modelsync"]
CMD ["run"]
