"""Datasets: one module per kind, and the registry that names them."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gmner.config.data import DatasetBase, DemoDataset, FolderDataset, TwitterDataset


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """One kind of dataset: the class of its settings, and where the function that makes its samples lies.

    `builder` is `module:function`, imported when samples are made: the function is given the settings, the dataset's
    name and the folders of its parts (`gmner.datasets.samples.Folders`) and returns `gmner.datasets.samples.Built`.
    """

    settings: type[DatasetBase]
    builder: str

    @property
    def module(self) -> str:
        """The module that makes the samples: what a fingerprint of the stage's code begins at."""
        return self.builder.partition(":")[0]

    def build(self) -> Callable[..., Any]:
        """Return the function that makes the samples."""
        module, _, name = self.builder.partition(":")
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return found

    def sources(self, settings: DatasetBase) -> tuple[str, ...]:
        """Return the names of the sources that are downloaded first."""
        return settings.sources

    def folders(self, settings: DatasetBase) -> Mapping[str, str]:
        """Return the folders of the user's that are read, each by what it holds: `annotations` or `images`.

        Their contents decide the samples: `gmner.datasets.contents.contents_hash` stands for them in a plan.
        """
        return settings.folders


DATASETS: dict[str, DatasetEntry] = {
    "demo": DatasetEntry(DemoDataset, "gmner.demo.data.dataset:build_demo"),
    "twitter": DatasetEntry(TwitterDataset, "gmner.datasets.twitter:build_twitter"),
    "folder": DatasetEntry(FolderDataset, "gmner.datasets.folder:build_folder"),
}
