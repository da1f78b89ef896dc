"""Where data comes from: sources that are downloaded, and data sets made from them or given by the user."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gmner.config.base import Settings
from gmner.config.labels import COARSE_TYPES, all_fine_types

GMNER_COMMIT = "c5679560682d038e9d7b91f2de145350d21e4cc1"
FMNERG_COMMIT = "222d8e5d26674c7a0ddb6f853efecac0ca27aba0"
SourceName = Literal["twitter-gmner", "twitter-images", "twitter-fmnerg"]


class Source(Settings):
    """Something that is downloaded once into `resources/<name>`.

    `url` is one file, or, where `files` are named, the folder that holds them. `mirror` is another URL, or a
    local file or folder, to take the same from. `sha256` maps a file's name to its checksum, where it is known.
    """

    url: str = Field(min_length=1)
    files: tuple[str, ...] = ()
    sha256: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = {}
    mirror: str | None = None


DEFAULT_SOURCES: dict[str, dict[str, Any]] = {
    "twitter-gmner": {"url": f"https://github.com/NUSTM/GMNER/archive/{GMNER_COMMIT}.zip"},
    "twitter-images": {"url": "https://drive.google.com/uc?id=1PpvvncnQkgDNeBMKVgG2zFYuRhbL873g"},
    "twitter-fmnerg": {
        "url": f"https://raw.githubusercontent.com/NUSTM/FMNERG/{FMNERG_COMMIT}/Twitter10000v2/txt_fine",
        "files": ["train.txt", "dev.txt", "test.txt"],
    },
}
"""The sources of the Twitter data sets, pinned; the configuration may change single keys of each."""


class DemoDataset(Settings):
    """Drawn scenes with invented tweets, made by a seeded generator: so many samples a split."""

    kind: Literal["demo"] = "demo"
    fine: bool = False  # label with the fine types of Twitter-FMNERG
    train: int = Field(600, ge=1)
    dev: int = Field(100, ge=1)
    test: int = Field(300, ge=1)
    seed: int = Field(0, ge=0)

    @property
    def labels(self) -> tuple[str, ...]:
        """The types that a model may answer with."""
        return all_fine_types() if self.fine else COARSE_TYPES


class TwitterDataset(Settings):
    """Twitter-GMNER, or, with `fine`, Twitter-FMNERG (the same tweets, images and boxes)."""

    kind: Literal["twitter"] = "twitter"
    version: Literal["v1", "v2.0"] = "v2.0"
    fine: bool = False
    images_dir: str | None = None  # pictures that are already here; null: download them
    limit: int | None = Field(None, ge=1)  # only the first so many tweets of each split

    @model_validator(mode="after")
    def _check_version(self) -> "TwitterDataset":
        if self.fine and self.version != "v2.0":
            raise ValueError("fine types exist for version v2.0 only; set version: v2.0 or fine: false")
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """The types that a model may answer with."""
        return all_fine_types() if self.fine else COARSE_TYPES

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources that are needed."""
        names = ["twitter-gmner"]
        if self.images_dir is None:
            names.append("twitter-images")
        if self.fine:
            names.append("twitter-fmnerg")
        return tuple(names)


class FolderDataset(Settings):
    """The user's own annotations and pictures, in the folder format of docs/data.md."""

    kind: Literal["folder"] = "folder"
    path: str = Field(min_length=1)
    types: tuple[str, ...] = Field(COARSE_TYPES, min_length=1)  # of the fine column, where `fine` is set
    fine: bool = False
    limit: int | None = Field(None, ge=1)

    @property
    def labels(self) -> tuple[str, ...]:
        """The types that a model may answer with."""
        return self.types


DatasetSettings = Annotated[DemoDataset | TwitterDataset | FolderDataset, Field(discriminator="kind")]
