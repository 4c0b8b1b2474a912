# docker build -t kaggle-dsb . && docker run --rm -v "$PWD:/data" kaggle-dsb submit --data /data/images
# With an NVIDIA GPU: docker run --rm --gpus all …; PyTorch brings its own CUDA libraries.
FROM python:3.12-slim

RUN apt-get update \
    && apt-get install -y --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/kaggle_dsb
COPY . .
RUN make setup PYTHON=python3

WORKDIR /data
ENTRYPOINT ["/opt/kaggle_dsb/.venv/bin/kaggle-dsb"]
