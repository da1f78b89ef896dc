"""Which runs stand in which table, and how much the report shows."""

from collections.abc import Sequence

from pydantic import Field

from gmner.config.base import Settings


class _Table(Settings):
    datasets: tuple[str, ...] | None = Field(None, min_length=1)  # null: all of its runs' data sets


class RunsTable(_Table):
    """A table with a row a run."""

    runs: tuple[str, ...] = Field(min_length=1)

    def run_names(self) -> Sequence[str]:
        """Return the runs that the table needs, in its order."""
        return self.runs


class AblationTable(_Table):
    """Table 2: the full run, the one without chain of thought, the one without box perturbation."""

    full: str = "full"
    no_cot: str = "no-cot"
    no_grbp: str = "no-grbp"

    def run_names(self) -> Sequence[str]:
        """Return the runs that the table needs, in its order."""
        return (self.full, self.no_cot, self.no_grbp)


class ComparedTable(RunsTable):
    """Table 4: runs compared with a reference run, over seeds, on the same tweets."""

    reference: str = "full"

    def run_names(self) -> Sequence[str]:
        """Return the runs that the table needs, the reference first."""
        return (self.reference, *(run for run in self.runs if run != self.reference))


class Tables(Settings):
    """The tables and the figure of results; a table that is left out is not made."""

    table1: RunsTable | None = None  # main results
    table2: AblationTable | None = None  # ablations
    table3: RunsTable | None = None  # teachers
    table4: ComparedTable | None = None  # further ways to train and answer, against a reference
    newer: RunsTable | None = None  # beside published systems that are newer than the paper
    figure3: RunsTable | None = None  # perturbation strengths

    def asked(self) -> dict[str, RunsTable | AblationTable | ComparedTable]:
        """Return the configured tables by name."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: table for name, table in found.items() if table is not None}


class ReportSettings(Settings):
    """The report's gallery. Its images are what makes the page large: a photograph takes about 9 kB at 320."""

    tweets: int | None = Field(None, ge=1)  # test tweets of each data set that the gallery shows; null: all
    images: bool = True  # false: a page without images, for where they may not be passed on
    image_side: int = Field(320, ge=64, le=2048)  # longer side, pixels
    image_quality: int = Field(55, ge=1, le=100)  # of WebP
