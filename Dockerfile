# The command line and the worker, from this checkout: docker build -t aisle:local .
FROM python:3.11-slim

# Build of PyTorch: cpu, or for a GPU auto, cu128, … (a value of `uv pip install --torch-backend`).
ARG TORCH_BACKEND=cpu
# The extra `worker` suffices for `aisle migrate` and `aisle worker`; `aisle train` needs `train`.
ARG EXTRA=worker

ENV PYTHONUNBUFFERED=1 UV_NO_CACHE=1
WORKDIR /src

# Packages first: they change less often than the code.
COPY pyproject.toml constraints.txt ./
RUN pip install --no-cache-dir uv \
    && uv pip install --system --torch-backend="$TORCH_BACKEND" -c constraints.txt --extra "$EXTRA" -r pyproject.toml
COPY . .
RUN uv pip install --system --no-deps .

RUN useradd --create-home --uid 10001 aisle
USER aisle
WORKDIR /home/aisle
ENTRYPOINT ["aisle"]
CMD ["worker"]
