"""Where the public datasets come from, and how to take them from another place instead."""

from typing import Annotated, Any, Literal

from pydantic import Field

from gmner.config.base import Settings

GMNER_COMMIT = "c5679560682d038e9d7b91f2de145350d21e4cc1"
FMNERG_COMMIT = "222d8e5d26674c7a0ddb6f853efecac0ca27aba0"
IMAGES_DRIVE_ID = "1PpvvncnQkgDNeBMKVgG2zFYuRhbL873g"
SourceName = Literal["twitter-gmner", "twitter-images", "twitter-fmnerg"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Source(Settings):
    """Something that is downloaded once into `resources/<name>`.

    `url` is one archive (zip or tar), or, where `files` are named, the folder that holds them. `mirror` is
    used in its place: another URL, or a local path: the archive itself, a folder that holds it as `file_name`,
    or a folder with the unpacked files. Only files that match a pattern of `keep` are unpacked, whatever
    folders an archive wraps around them. `sha256` maps a file's name (of the archive, or of a kept file) to
    its checksum. `tree_sha256` is one checksum over the names and contents of all kept files: it stays the
    same when the archive is packed again, which GitHub does not promise not to do. What is null is not compared.
    """

    url: str = Field(min_length=1)
    files: tuple[str, ...] = ()
    file_name: str = ""  # of the archive; empty: the last part of the URL
    keep: tuple[str, ...] = ("*",)
    sha256: dict[str, Sha256] = Field(default_factory=dict)
    tree_sha256: Sha256 | None = None
    mirror: str | None = None
    retries: int = Field(5, ge=0, le=100)  # after a broken connection, each resumed where it broke
    timeout_seconds: float = Field(60.0, gt=0)  # without a single byte
    max_files: int = Field(100_000, ge=1)  # an archive that holds more is refused
    max_bytes: int = Field(1_000_000_000, ge=1)  # unpacked


DEFAULT_SOURCES: dict[str, dict[str, Any]] = {
    "twitter-gmner": {
        "url": f"https://github.com/NUSTM/GMNER/archive/{GMNER_COMMIT}.zip",
        "file_name": f"GMNER-{GMNER_COMMIT}.zip",
        "keep": [
            "Twitter10000/txt/*.txt",
            "Twitter10000/xml/*.xml",
            "Twitter10000_v2.0/txt/*.txt",
            "Twitter10000_v2.0/xml/*.xml",
        ],
        "tree_sha256": "13c1cabe482318a6a87ddc7e27d98d1762ed727feb96a3d4262da6cfea5fbc83",
    },
    "twitter-images": {
        "url": f"https://drive.google.com/uc?id={IMAGES_DRIVE_ID}",
        "file_name": "IJCAI2019_data.zip",
        "keep": ["twitter2015_images/*", "twitter2017_images/*"],
        "max_bytes": 20_000_000_000,
    },
    "twitter-fmnerg": {
        "url": f"https://raw.githubusercontent.com/NUSTM/FMNERG/{FMNERG_COMMIT}/Twitter10000v2/txt_fine",
        "files": ["train.txt", "dev.txt", "test.txt"],
    },
}
"""The sources of the Twitter datasets, pinned; the configuration may change single keys of each."""
