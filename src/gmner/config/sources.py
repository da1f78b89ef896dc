"""Where the public data sets come from, and how to use another place instead."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

GMNER_COMMIT = "c5679560682d038e9d7b91f2de145350d21e4cc1"
FMNERG_COMMIT = "222d8e5d26674c7a0ddb6f853efecac0ca27aba0"
IMAGES_DRIVE_ID = "1PpvvncnQkgDNeBMKVgG2zFYuRhbL873g"
GIGABYTE = 1_000_000_000


class SourceSettings(BaseModel):
    """One download: an archive to unpack, or single files.

    `kind`: `archive` (zip or tar, told apart by content) or `files`. `url`: the archive's address, or the folder
    of the files; a Google Drive link is fetched as Drive wants it. `mirror`: used in place of `url`, an address
    or a local path: the archive itself, a folder that holds it under `file_name`, or a folder with the unpacked
    files. `keep`: patterns of the wanted files, below the archive's folders; nothing else is unpacked.
    `tree_sha256`: digest over the names and contents of the kept files, which stays the same when the archive
    is packed anew (GitHub does not promise stable archives); null: not known, nothing is compared.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    kind: Literal["archive", "files"]
    url: str = Field(min_length=1)
    file_name: str = ""
    keep: tuple[str, ...] = ()
    tree_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    mirror: str | None = None
    retries: int = Field(default=5, ge=0, le=100)
    timeout_seconds: float = Field(default=60.0, gt=0)
    max_files: int = Field(default=100_000, gt=0)
    max_bytes: int = Field(default=GIGABYTE, gt=0)


class TwitterGmnerSource(SourceSettings):
    """The annotations of Twitter-GMNER, versions 1 and 2.0, from the data set's own repository."""

    name: str = "twitter-gmner"
    kind: Literal["archive", "files"] = "archive"
    url: str = f"https://github.com/NUSTM/GMNER/archive/{GMNER_COMMIT}.zip"
    file_name: str = f"GMNER-{GMNER_COMMIT}.zip"
    keep: tuple[str, ...] = (
        "Twitter10000/txt/*.txt",
        "Twitter10000/xml/*.xml",
        "Twitter10000_v2.0/txt/*.txt",
        "Twitter10000_v2.0/xml/*.xml",
    )
    tree_sha256: str | None = None


class TwitterImagesSource(SourceSettings):
    """The pictures of both data sets, one archive on Google Drive; no digest of it is published."""

    name: str = "twitter-images"
    kind: Literal["archive", "files"] = "archive"
    url: str = f"https://drive.google.com/uc?id={IMAGES_DRIVE_ID}"
    file_name: str = "IJCAI2019_data.zip"
    keep: tuple[str, ...] = ("twitter2015_images/*", "twitter2017_images/*")
    max_bytes: int = 20 * GIGABYTE


class TwitterFmnergSource(SourceSettings):
    """The three label files of Twitter-FMNERG; its pictures and boxes are Twitter-GMNER's."""

    name: str = "twitter-fmnerg"
    kind: Literal["archive", "files"] = "files"
    url: str = f"https://raw.githubusercontent.com/NUSTM/FMNERG/{FMNERG_COMMIT}/Twitter10000v2/txt_fine"
    keep: tuple[str, ...] = ("train.txt", "dev.txt", "test.txt")


class Sources(BaseModel):
    """All downloads, by the names used in `sources:` of the config."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, serialize_by_alias=True)

    twitter_gmner: TwitterGmnerSource = Field(default_factory=TwitterGmnerSource, alias="twitter-gmner")
    twitter_images: TwitterImagesSource = Field(default_factory=TwitterImagesSource, alias="twitter-images")
    twitter_fmnerg: TwitterFmnergSource = Field(default_factory=TwitterFmnergSource, alias="twitter-fmnerg")
