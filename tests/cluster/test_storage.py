"""Results in an object storage, by the profile `s3` against moto's server on the loopback address; and Kubernetes."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.slow

KEYS = {"SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "key", "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "secret"}
BUCKET = "gmner"


@pytest.fixture
def server() -> Iterator[Any]:
    """An S3 server with an empty bucket: its address and a client."""
    moto = pytest.importorskip("moto.server", reason="no S3 server here: pip install moto[server]")
    pytest.importorskip("snakemake_storage_plugin_s3")
    boto3 = pytest.importorskip("boto3")
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=address, aws_access_key_id="key", aws_secret_access_key="secret", region_name="us-east-1"
    )
    client.create_bucket(Bucket=BUCKET)
    try:
        yield address, client
    finally:
        running.stop()


def test_stages_read_from_and_write_to_the_bucket(server, checkout):
    address, client = server
    words = ("--storage-s3-endpoint-url", address, "--default-storage-prefix", f"s3://{BUCKET}/here", "--cores", "1")
    checkout.snakemake("s3", *words, "--", "targets", **KEYS)
    keys = {entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET)["Contents"]}
    assert {
        "here/results/samples/small/samples.parquet",
        "here/results/rationales/small/evidence/rationales.parquet",
        "here/results/targets/small/full/seed42/targets.parquet",
    } <= keys
    assert not (checkout.root / "results/targets").exists()
    # Without its copies here: what is in the bucket is not made again, and what follows finds it there.
    local = checkout.root / "storage" / "s3" / BUCKET / "here" / "results"
    shutil.rmtree(local / "rationales")
    shutil.rmtree(local / "targets")
    assert "Nothing to be done" in checkout.snakemake("s3", *words, "--dry-run", "--", "targets", **KEYS)
    client.delete_object(Bucket=BUCKET, Key="here/results/targets/small/full/seed42/targets.parquet")
    said = checkout.snakemake("s3", *words, "--", "targets", **KEYS)
    assert "rule make_targets" in said and "rule ask_teacher" not in said


def test_kubernetes_plans_the_whole_experiment(server, checkout):
    pytest.importorskip("snakemake_executor_plugin_kubernetes")
    address, _ = server
    words = ("--storage-s3-endpoint-url", address, "--default-storage-prefix", f"s3://{BUCKET}/there")
    said = checkout.snakemake(
        "kubernetes", *words, "--container-image", "registry/gmner:1", "--dry-run", "--", "results/table1.csv", **KEYS
    )
    planned = said[said.index("Job stats:") :]
    for rule, count in {"train_adapter": 1, "generate_outputs": 2, "write_table": 1}.items():
        assert any(line.split() == [rule, str(count)] for line in planned.splitlines()), rule
    assert "gpu_manufacturer=nvidia" in said
