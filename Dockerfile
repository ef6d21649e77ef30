# The one image of all services and jobs. Which of them a container is, its command and working directory say
# (infra/services.tf, infra/jobs.tf).
#
#   docker build --tag kheops .
#
# For a release name the base by its digest: --build-arg PYTHON_IMAGE=python:3.11.14-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /app
RUN python -m venv /app/venv
COPY requirements.lock requirements-build.lock ./
RUN /app/venv/bin/pip install --require-hashes --only-binary :all: -r requirements.lock
# What builds our own package stays behind in an environment of its own.
RUN python -m venv /build && /build/bin/pip install --require-hashes --only-binary :all: -r requirements-build.lock
COPY pyproject.toml README.md LICENSE /source/
COPY shared /source/shared
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheel /source && \
    /app/venv/bin/pip install --no-deps --no-index /wheel/*.whl && \
    /app/venv/bin/pip uninstall --yes pip
COPY functions /app/functions
RUN rm requirements.lock requirements-build.lock && python -m compileall -q /app/functions

FROM ${PYTHON_IMAGE}
# glibc's allocator would keep large pieces between small objects for good. local/allocator.py has the same and says why.
ENV PATH=/app/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_ARENA_MAX=2 \
    MALLOC_MMAP_THRESHOLD_=1048576 \
    MALLOC_TRIM_THRESHOLD_=8388608
COPY --from=build /app /app
# Nobody, and owner of nothing.
USER 10001:10001
WORKDIR /app/functions/api
EXPOSE 8080
CMD ["granian", "--interface", "asgi", "--http", "auto", "--host", "0.0.0.0", "--port", "8080", "--log-level", "warning", "--no-access-log", "main:app"]
