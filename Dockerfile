# The workflow and all its software in one image, for machines where a container is easier than a Python environment:
#   docker build --tag gmner .
#   docker run --rm --volume "$PWD/results:/opt/gmner/results" --volume "$PWD/resources:/opt/gmner/resources" gmner
# The image has no secrets and no data; keys come from the environment (--env OPENAI_API_KEY). With Apptainer, and one
# image for every rule: GMNER_IMAGE=docker://<where it is> snakemake --sdm apptainer --cores 2 (docs/environments.md).
FROM python:3.11-slim-bookworm

# The build of torch: https://download.pytorch.org/whl/cpu saves gigabytes where there is no GPU.
ARG TORCH_INDEX=https://pypi.org/simple

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# Triton, which torch and TRL's fused head use on a GPU, compiles its kernels when they are first called. Whichever gcc
# the base image's release has will do.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 HF_HUB_DISABLE_TELEMETRY=1

# Nothing runs as root; results/ and resources/ are volumes of this user's.
RUN groupadd --gid 1000 gmner && useradd --uid 1000 --gid gmner --create-home gmner \
    && install --directory --owner gmner --group gmner /opt/gmner /opt/gmner/results /opt/gmner/resources

WORKDIR /opt/gmner
# Software first: it changes less often than the code.
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --constraint constraints.txt --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple torch \
    && pip install --constraint constraints.txt '.[all]'

COPY Snakefile config.yaml ./
COPY rules ./rules
COPY envs ./envs
COPY profiles ./profiles
COPY workflow ./workflow

USER 1000:1000
ENTRYPOINT ["snakemake"]
CMD ["--cores", "1", "results/table1.csv"]
