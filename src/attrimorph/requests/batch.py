"""batch edit, label, embed, evaluate: what is asked of a data set of any size, and who answers its pictures.

`batch_job` does it, shard by shard.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field

from attrimorph.applications import Meant
from attrimorph.requests import Changes, Composing, Fitting, Inputs, Option, Request

if TYPE_CHECKING:
    from torch import Tensor

    from attrimorph.applications.edit import Looked
    from attrimorph.data.images import CropLike
    from attrimorph.models.model import Model
    from attrimorph.requests.edit_folder import EditFolder

Row = dict[str, Any]


class Answered(NamedTuple):
    """What comes of one picture.

    Attributes:
        row: columns -> a number, a word or a list of numbers; None where it is not known.
        content: a picture's file; b"" where there is none.
        suffix: of it.
        said: sentences worth reading.
    """

    row: Row
    content: bytes = b""
    suffix: str = ""
    said: Sequence[str] = ()


@dataclass
class Answers:
    """Who answers pictures.

    Attributes:
        digest: SHA-256 of the model.
        image_size: of what the model is shown.
        kinds: the columns that are told -> "number", "word" or "vector".
        take: file, crop -> what is needed of a picture, and how many bytes it takes; an AttrimorphError where it cannot
            be read, or holds no face that is needed.
        answer: files and what was taken of them -> an answer for each.
        pictures: whether these hold pictures.
        features: of pictures before and after, [2, N, F] in parts, of the first ones of a shard; see `figures`.
        kept: how many.
    """

    digest: str
    image_size: int
    kinds: dict[str, str]
    take: "Callable[[Path, CropLike], tuple[Any, int]]"
    answer: Callable[[Sequence[Path], Sequence[Any]], list[Answered]]
    pictures: bool = True
    features: "list[Tensor]" = field(default_factory=list)
    kept: int = 0


class OnShards(Request):
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


class BatchEdit(Fitting, OnShards, Inputs, Composing):
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

    def answers(self, device: str) -> Answers:
        """Edit pictures."""
        from attrimorph.photographs.file import Photograph
        from attrimorph.requests.receipt import tag_of

        folder, model = self.folder(), self.load(device)
        change, _ = folder.change_of(model, None)
        tag, labels = tag_of("edit", model, self.model), labels_after(model, self.changes)

        def answer(paths: Sequence[Path], taken: "Sequence[Looked]") -> list[Answered]:
            found = []
            for picture, _, _, said in folder.edited(model, change, paths, taken).pictures:
                suffix = picture.suffix if isinstance(picture, Photograph) else ".png"
                found.append(Answered(labels, folder.encoded(picture, suffix, tag), suffix, said))
            return found

        kinds = {name: "word" if isinstance(value, str) else "number" for name, value in labels.items()}
        return Answers(model.hash, model.image_size, kinds, looking(model, folder.meant()), answer)


class BatchLabel(OnShards):
    """Label every picture of a data set by an attribute classifier (judge): pictures and labels go into the shards.

    Attributes:
        judge: The file of an attribute classifier, or a shipped one.
        threshold: Probability that a label must have, 0.5 to 1; what is less sure is left empty.
    """

    verb = "batch label"
    model: Annotated[str, Option("-")] = ""
    judge: str
    threshold: Annotated[float, Field(ge=0.5, le=1)] = 0.9

    def answers(self, device: str) -> Answers:
        """Label pictures."""
        import numpy as np
        import torch

        from attrimorph.data import raw_table
        from attrimorph.data.images import read_pixels
        from attrimorph.evaluators.judge import load_judge, sure
        from attrimorph.files import reading

        judge = load_judge(self.judge, device)

        def take(path: Path, crop: "CropLike") -> tuple[tuple[Any, bytes], int]:
            with reading(path):
                content = path.read_bytes()
            return (read_pixels(path, judge.image_size, crop), content), len(content)

        def answer(paths: Sequence[Path], taken: Sequence[tuple[Any, bytes]]) -> list[Answered]:
            images = torch.from_numpy(np.stack([pixels for pixels, _ in taken])).permute(0, 3, 1, 2) / 127.5 - 1
            table = raw_table(judge.schema, sure(judge(images), judge.schema, self.threshold))
            rows = (dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True))
            return [
                Answered(row, content, suffix_of(path, content))
                for path, row, (_, content) in zip(paths, rows, taken, strict=True)
            ]

        weights = b"".join(each.cpu().numpy().tobytes() for each in judge.network.state_dict().values())
        kinds = {each.name: "word" if each.values else "number" for each in judge.schema.attributes}
        return Answers(sha256(weights).hexdigest(), judge.image_size, kinds, take, answer)


class BatchEmbed(OnShards):
    """Write the codes z of every picture of a data set, as the model's encoder tells them; no pictures.

    Attributes:
        aligned: The pictures are faces already, as the model's pictures are: no face is looked for.
    """

    verb = "batch embed"
    aligned: bool = False

    def answers(self, device: str) -> Answers:
        """Encode pictures."""
        from attrimorph.applications.edit import Looked
        from attrimorph.applications.inputs import encoder

        model = self.load(device)
        encodes = encoder(model, self.verb)

        def answer(paths: Sequence[Path], taken: "Sequence[Looked]") -> list[Answered]:
            z = encodes.encode(Looked.together(taken).images).z.flatten(1).float().cpu().tolist()
            return [Answered({"embedding": row}, said=each.said) for row, each in zip(z, taken, strict=True)]

        take = looking(model, Meant("largest", None, self.aligned))
        return Answers(model.hash, model.image_size, {"embedding": "vector"}, take, answer, pictures=False)


class BatchEvaluate(BatchEdit):
    """Edit every picture of a data set and tell what came of it; no pictures are written.

    What a judge sees before and after, the share of the other attributes that stay, how well the model reconstructs;
    and for all pictures the means, and Frechet's distance between the pictures and their edits.

    Attributes:
        judge: An attribute classifier (judge) or a model with one; by default the one that suits.
    """

    verb = "batch evaluate"
    judge: str | None = None

    def answers(self, device: str) -> Answers:
        """Edit pictures and measure them."""
        import torch

        from attrimorph.applications.axes.choosing import judge_named
        from attrimorph.metrics.similarity import psnr
        from attrimorph.models.model import decisions

        folder, model = self.folder(), self.load(device)
        change, judge = folder.change_of(model, None)[0], judge_named(self.judge, model)
        schema = judge.schema
        told = {each.name: schema.columns(each.name).start for each in schema.attributes if each.kind == "binary"}
        asked = {name: told[name] for name in self.changes if name in told}
        given = {rival for name in asked for rival in schema.excluded_by(name)}
        others = [column for name, column in told.items() if name not in asked and name not in given]
        names = [f"{name} {when}" for name in asked for when in ("before", "after")]
        names += ["others kept", "reconstruction psnr"]

        def answer(paths: Sequence[Path], taken: "Sequence[Looked]") -> list[Answered]:
            found = folder.edited(model, change, paths, taken)
            sides = [images.as_subclass(torch.Tensor).cpu() for images in (found.images, found.after)]
            before, after = (judge(images).float().cpu() for images in sides)
            kept = (decisions(before, schema) == decisions(after, schema))[:, others].float().mean(1)
            decibels = None if found.made is None else psnr(found.made.as_subclass(torch.Tensor).cpu(), sides[0])
            if wanted := who.kept - sum(each.shape[1] for each in who.features):
                who.features.append(torch.stack([judge.features(images[:wanted]).float().cpu() for images in sides]))
            answers = []
            for _, row, _, said in found.pictures:
                values: list[float | None] = [
                    float(side[row, column]) for column in asked.values() for side in (before, after)
                ]
                values += [float(kept[row]) if others else None, None if decibels is None else float(decibels[row])]
                answers.append(Answered(dict(zip(names, values, strict=True)), said=said))
            return answers

        kinds = dict.fromkeys(names, "number")
        who = Answers(model.hash, model.image_size, kinds, looking(model, folder.meant()), answer, pictures=False)
        return who


def looking(model: "Model", meant: Meant) -> "Callable[[Path, CropLike], tuple[Looked, int]]":
    """Return how a picture is opened for a model; see `Answers.take`."""
    from attrimorph.applications.edit import look

    def take(path: Path, crop: "CropLike") -> "tuple[Looked, int]":
        looked = look(model, [path], meant)
        return looked, looked.photographs[0].pixels.nbytes

    return take


def labels_after(model: "Model", changes: Mapping[str, float]) -> Row:
    """Return the labels that an edit leaves: 1 and 0 of what it sets or takes away, None of what it moves otherwise."""
    from attrimorph.models.model import Groups

    groups, labels = model.groups if isinstance(model, Groups) else {}, Row()
    names = model.schema.names
    known = {*names, *model.schema.column_names}
    for key, strength in changes.items():
        if key not in known:  # a group of attributes, or an axis
            labels |= dict.fromkeys(groups.get(key, (key,)))
            continue
        attribute, value = model.schema.find(key)
        if attribute.kind == "binary":
            labels[key] = 1 if strength >= 1 else 0 if strength <= -1 else None
            if strength >= 1:
                labels |= dict.fromkeys(
                    [name for name in model.schema.excluded_by(key) if name in model.schema.names], 0
                )
        else:
            labels[attribute.name] = value if value and strength >= 1 else None
    return labels


def suffix_of(path: Path, content: bytes) -> str:
    """Return the ending of a picture's file, from what it holds where its name has none."""
    from PIL import Image

    from attrimorph.data.readers.raw import IMAGE_SUFFIXES
    from attrimorph.photographs.file import SUFFIXES

    if path.suffix.lower() in IMAGE_SUFFIXES:
        return path.suffix
    with Image.open(io.BytesIO(content)) as image:
        return SUFFIXES.get(str(image.format), ".png")


BATCHES: tuple[type[OnShards], ...] = (BatchEdit, BatchLabel, BatchEmbed, BatchEvaluate)
