"""The page results/report.html: how much of it, and how large its images are."""

from pydantic import Field

from gmner.config.base import Settings


class ReportSettings(Settings):
    """The report's gallery. Its images are what makes the page large: a photograph takes about 9 kB at 320."""

    tweets: int | None = Field(None, ge=1)  # test tweets of each data set that the gallery shows; null: all
    images: bool = True  # false: a page without images, for where they may not be passed on
    image_side: int = Field(320, ge=64, le=2048)  # longer side, pixels
    image_quality: int = Field(55, ge=1, le=100)  # of WebP
