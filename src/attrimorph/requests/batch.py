"""batch edit, label, embed, evaluate: what is asked of a data set of any size; `batch_job` does it, shard by shard."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from attrimorph.requests import Changes, Composing, Inputs, Option, Progress, Request

if TYPE_CHECKING:
    from attrimorph.requests.batch_job import Answers, Done
    from attrimorph.requests.edit_folder import EditFolder


class Batch(Request):
    """What every batch asks.

    Attributes:
        source: A folder of tar shards (WebDataset), of parquet files, or of pictures in any known layout.
        to: What the shards are.
        shard_size: Pictures of a shard, where the source has no shards; else one comes of each of its own.
        workers: Processes; by default one for each processor that Ray has.
        address: Of a Ray cluster; by default Ray starts on this machine alone.
        format: How a folder of pictures is laid out, where that is not recognised.
        table: A CSV file of any name with the labels: a column of file names, others for each.
    """

    meter = ("shards", "shards")
    source: Path
    to: Literal["tar", "parquet"] = "tar"
    shard_size: Annotated[int, Field(ge=1, le=100_000)] = 1000
    workers: Annotated[int | None, Field(ge=1)] = Field(default=None, exclude=True)
    address: str | None = Field(default=None, exclude=True)
    format: str = "auto"
    table: Path | None = None

    @classmethod
    def typed_first(cls) -> tuple[str, ...]:
        """Return what a command takes without an option's name."""
        return ("source",)

    def arguments(self) -> dict[str, Any]:
        """Return what is asked, the paths whole."""
        paths = {"source": self.source, "table": self.table}
        words = {name: None if path is None else str(path.resolve()) for name, path in paths.items()}
        return {
            name: str(value) if isinstance(value, Path) else value for name, value in super().arguments().items()
        } | words

    if TYPE_CHECKING:

        def answers(self, device: str) -> Answers:
            """Return who answers, on a device.

            Raises:
                AttrimorphError: the model cannot, or something does not go together.
            """
            ...

    def run(self, out: Path, device: str = "auto", progress: Progress | None = None) -> "Done":
        """Write the shards that are not there yet, on Ray; see `batch_job.run`."""
        from attrimorph.requests.batch_job import run

        return run(self, out, device, progress)


class BatchEdit(Batch, Inputs, Composing):
    """Edit every picture of a data set into shards of the same names: --set Smiling=1.

    Labels that the edit sets are written as it sets them, those that it moves part of the way are left empty.

    Attributes:
        changes: An attribute and how far: Smiling=1 sets it, -1 takes it away, 0.5 is half-way; class=smiling, a value.
        like: A picture to be like in the groups that --set names.
        calibrated: Uncalibrated: take strengths as they stand, although the model is calibrated.
        face: The face that is edited: largest, all, or a number (1 is the largest).
        aligned: The pictures are faces already, as the model's pictures are: take their largest centred squares.
        no_location: Leave out of the results where photographs were taken.
    """

    verb = "batch edit"
    pictures = ("like",)
    changes: Annotated[Changes, Field(min_length=1)]
    like: Path | None = None
    calibrated: Annotated[bool, Option("--raw", bool, lambda raw: not raw)] = True
    face: str = "largest"
    aligned: bool = False
    no_location: bool = False

    def folder(self) -> "EditFolder":
        """Return the same edit of a folder.

        Raises:
            AttrimorphError: something does not go together.
        """
        from attrimorph.requests.edit_folder import EditFolder

        names = set(EditFolder.model_fields) & set(type(self).model_fields)
        return EditFolder(folder=self.source, **{name: getattr(self, name) for name in names})

    def answers(self, device: str) -> "Answers":
        """Edit pictures."""
        from attrimorph.requests.batch_job import edits

        return edits(self, device)


class BatchLabel(Batch):
    """Label every picture of a data set by an attribute classifier (judge): pictures and labels go into the shards.

    Attributes:
        judge: The file of an attribute classifier, or a shipped one.
        threshold: Probability that a label must have, 0.5 to 1; what is less sure is left empty.
    """

    verb = "batch label"
    model: Annotated[str, Option("-")] = ""
    judge: str
    threshold: Annotated[float, Field(ge=0.5, le=1)] = 0.9

    def answers(self, device: str) -> "Answers":
        """Label pictures."""
        from attrimorph.requests.batch_job import labels

        return labels(self, device)


class BatchEmbed(Batch):
    """Write the codes z of every picture of a data set, as the model's encoder tells them; no pictures.

    Attributes:
        aligned: The pictures are faces already, as the model's pictures are: no face is looked for.
    """

    verb = "batch embed"
    aligned: bool = False

    def answers(self, device: str) -> "Answers":
        """Encode pictures."""
        from attrimorph.requests.batch_job import codes

        return codes(self, device)


class BatchEvaluate(BatchEdit):
    """Edit every picture of a data set and tell what came of it; no pictures are written.

    What a judge sees before and after, the share of the other attributes that stay, how well the model reconstructs;
    and for all pictures the means, and Frechet's distance between the pictures and their edits.

    Attributes:
        judge: An attribute classifier (judge) or a model with one; by default the one that suits.
    """

    verb = "batch evaluate"
    judge: str | None = None

    def answers(self, device: str) -> "Answers":
        """Edit pictures and measure them."""
        from attrimorph.requests.batch_job import figures

        return figures(self, device)


BATCHES: tuple[type[Batch], ...] = (BatchEdit, BatchLabel, BatchEmbed, BatchEvaluate)
