"""Datasets: drawn ones, the Twitter ones made from downloads, and the user's own."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gmner.config.base import Settings
from gmner.core.entity_types import COARSE_TYPES, all_fine_types


class DatasetBase(Settings):
    """What a plan asks of any dataset."""

    fine: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """The types that a model may answer with."""
        return all_fine_types() if self.fine else COARSE_TYPES

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources that are downloaded first."""
        return ()

    @property
    def folders(self) -> Mapping[str, str]:
        """Folders of the user's that are read, each by what it holds: `annotations` (maybe images too) or `images`."""
        return {}


class DemoDataset(DatasetBase):
    """Drawn scenes with invented tweets, made by a seeded generator: that many samples per split."""

    kind: Literal["demo"] = "demo"
    fine: bool = False  # label with the fine types of Twitter-FMNERG
    train: int = Field(600, ge=1)
    dev: int = Field(100, ge=1)
    test: int = Field(300, ge=1)
    seed: int = Field(0, ge=0)


class TwitterDataset(DatasetBase):
    """Twitter-GMNER, or, with `fine`, Twitter-FMNERG (the same tweets, images and boxes)."""

    kind: Literal["twitter"] = "twitter"
    version: Literal["v1", "v2.0"] = "v2.0"
    fine: bool = False
    images_dir: str | None = None  # images that are already here; null: download them
    limit: int | None = Field(None, ge=1)  # only the first so many tweets of each split

    @model_validator(mode="after")
    def _check_version(self) -> "TwitterDataset":
        if self.fine and self.version != "v2.0":
            raise ValueError("fine types exist for version v2.0 only; set version: v2.0 or fine: false")
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources that are downloaded first."""
        names = ["twitter-gmner"]
        if self.images_dir is None:
            names.append("twitter-images")
        if self.fine:
            names.append("twitter-fmnerg")
        return tuple(names)

    @property
    def folders(self) -> Mapping[str, str]:
        """The user's own folder of images, if it is named."""
        return {} if self.images_dir is None else {"images": self.images_dir}


class FolderDataset(DatasetBase):
    """The user's own annotations and images, in the folder format of docs/own-data.md."""

    kind: Literal["folder"] = "folder"
    path: str = Field(min_length=1)
    types: tuple[str, ...] = Field(COARSE_TYPES, min_length=1)  # of the fine column if `fine` is set
    fine: bool = False
    limit: int | None = Field(None, ge=1)
    split_punctuation: bool = False  # cut `text` of JSON lines at punctuation too

    @property
    def labels(self) -> tuple[str, ...]:
        """The types that a model may answer with."""
        return self.types

    @property
    def folders(self) -> Mapping[str, str]:
        """The folder itself."""
        return {"annotations": self.path}


DatasetSettings = Annotated[DemoDataset | TwitterDataset | FolderDataset, Field(discriminator="kind")]
