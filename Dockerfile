# nstk with both packaged networks; nothing is downloaded when it runs.
#   docker build -t nstk .
#   docker build -t nstk:gpu --build-arg TENSORFLOW='tensorflow[and-cuda]' .
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
ARG TENSORFLOW=tensorflow
ARG EXTRAS=page
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY nstk nstk
COPY cli cli
RUN python -m venv /opt/nstk \
    && /opt/nstk/bin/pip install --no-cache-dir "${TENSORFLOW}" ".[${EXTRAS}]"

FROM python:${PYTHON}-slim
COPY --from=build /opt/nstk /opt/nstk
RUN useradd --uid 1000 --create-home nstk && install -d -o nstk -g nstk /data /cache \
    && chmod 1777 /cache
ENV PATH=/opt/nstk/bin:$PATH XDG_CACHE_HOME=/cache KERAS_HOME=/cache/keras PYTHONDONTWRITEBYTECODE=1
USER 1000
WORKDIR /data
HEALTHCHECK --interval=10m --timeout=1m CMD ["nstk", "doctor", "--quick"]
ENTRYPOINT ["nstk"]
CMD ["--help"]
