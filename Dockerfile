# One image for the worker, the bridge and Flower: what each does is the command it is started with.
FROM python:3.13.9-slim-trixie AS build
WORKDIR /source
COPY requirements-build.lock ./
RUN python -m pip install --no-cache-dir --require-hashes --requirement requirements-build.lock
COPY requirements-runtime.lock ./
RUN python -m venv /opt/lastword && \
    /opt/lastword/bin/python -m pip install --no-cache-dir --require-hashes --requirement requirements-runtime.lock
COPY pyproject.toml README.md LICENSE celeryconfig.py ./
COPY lastword lastword
COPY bridge bridge
COPY tasks tasks
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel . && \
    /opt/lastword/bin/python -m pip install --no-cache-dir --no-deps /wheel/*.whl

FROM python:3.13.9-slim-trixie
# A fixed number, so that Kubernetes too can tell that it is not root's. The state directory is for Flower's password.
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin lastword && \
    install --directory --owner lastword --mode 0700 /var/lib/lastword
COPY --from=build /opt/lastword /opt/lastword
ENV PATH=/opt/lastword/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001
WORKDIR /var/lib/lastword
CMD ["lastword", "--help"]
