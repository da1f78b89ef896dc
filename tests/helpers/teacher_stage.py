"""The stage `rationales` over some samples, against a server of `fault_server`."""

from pathlib import Path
from typing import Any

from gmner.config.teachers import RationalesSettings
from gmner.rationales.stage import make_rationales
from gmner.storage.tables import RATIONALES, read_table
from tests.helpers.fault_server import INPUT_PRICE, OUTPUT_PRICE, FaultServer
from tests.helpers.teacher_samples import make_sample, write_samples

PROVIDERS = ("openai", "anthropic")
FAST = {"first_wait_s": 0.01, "longest_wait_s": 0.2, "timeout_s": 5.0, "attempts": 8}


def rationales_settings(url: str, provider: str, **more: Any) -> RationalesSettings:
    """Return the settings of the stage for the model `big` of a server."""
    price = {"input": INPUT_PRICE, "output": OUTPUT_PRICE, "cached_input": INPUT_PRICE}
    base = f"{url}/v1" if provider == "openai" else url
    teacher = {"provider": provider, "model": "big", "base_url": base, "endpoint": "toy", "limits": FAST,
               "price": price, "batch_poll_s": 0.01}  # fmt: skip
    return RationalesSettings.model_validate({"name": "t", "teacher": {**teacher, **more}})


class Stage:
    """The stage over some samples, against one server."""

    def __init__(self, tmp_path: Path, image: Path, count: int) -> None:
        self.folder, self.count = tmp_path, count
        samples = [make_sample(number, image_path=str(image)) for number in range(count)]
        self.samples = write_samples(tmp_path / "samples.parquet", samples)
        self.report: dict[str, Any] = {}

    def settings(self, server: FaultServer, provider: str, **more: Any) -> RationalesSettings:
        return rationales_settings(server.url, provider, **more)

    def run(self, server: FaultServer, provider: str, **more: Any) -> list[dict[str, Any]]:
        out = self.folder / "r.parquet"
        out.unlink(missing_ok=True)
        settings = self.settings(server, provider, **more)
        self.report = make_rationales(settings, self.samples, out, self.folder / "report.json", self.folder / "store")
        return read_table(out, RATIONALES).to_pylist()
