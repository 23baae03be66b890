"""retrieve, neighbours, latent-map, augment: what is found in a whole data set, and what it lacks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from attrimorph.errors import AttrimorphError
from attrimorph.requests import Composing, Inputs, Names, Option, Request, Result, Seed, Work

if TYPE_CHECKING:
    from attrimorph.applications.augment import Made
    from attrimorph.applications.confirm import Confirmation
    from attrimorph.data.prepared import PreparedData
    from attrimorph.data.readers import Source
    from attrimorph.metrics.augmentation import Say, Worth
    from attrimorph.models.model import Model

EACH = 100  # images of a new identity


class OnData(Request):
    """A request that reads a folder of images.

    Attributes:
        data: A prepared folder or a labelled one.
        format: How a folder of images is laid out, where that is not recognised: classes, images (without labels),
            table, shards, parquet, zip, celeba, lfw, utkface, cub, flowers, unpaired.
        table: A CSV file of any name with the labels: a column of file names, others for each.
    """

    data: Path
    format: str = "auto"
    table: Path | None = None
    fingerprint: Annotated[str | None, Option("-")] = None
    """Other data than these are refused; a receipt knows it. Nothing is written into the folder, then."""

    @classmethod
    def typed_first(cls) -> tuple[str, ...]:
        """Return what a command takes without an option's name: the picture, or the model."""
        return cls.pictures[:1] or ("model",)

    @property
    def source(self) -> "Source":
        """Where the images are and how they are read."""
        from attrimorph.data.readers import Source

        return Source(self.data, self.format, self.table)

    def arguments(self) -> dict[str, Any]:
        """Return what a receipt says, paths as whole ones."""
        words = super().arguments()
        for name in ("data", "table", "judge"):
            value = getattr(self, name, None)
            if value is not None and Path(value).exists():
                words[name] = str(Path(value).resolve())
        return words


class Retrieve(OnData, Inputs, Composing):
    """Find the images most like one, with the attributes that --set asks for; writes a row, a table, and keeps codes.

    Attributes:
        image: A picture.
        data: A prepared folder, a labelled one, or any folder of images.
        wanted: An attribute and 1 or -1: Eyeglasses=1 must hold, -1 must not; class=smiling, a value.
        same: Attributes that must be as in the image, with commas: Male,Young.
        other_identity: Leave out the person of the image.
        count: How many.
    """

    verb = "retrieve"
    pictures = ("image",)
    meter = ("encoding", "images")
    image: Path
    data: Annotated[Path, Option("--among")]
    # The images sought may have attributes that the model does not know.
    wanted: Annotated[dict[str, float], Option("--set", list[str] | None)] = {}
    same: Names = ()
    other_identity: bool = False
    count: int = 5

    def arguments(self) -> dict[str, Any]:
        """Return what a receipt says: the data are `among`."""
        words = super().arguments()
        return {"among": words.pop("data"), **words}

    @classmethod
    def earlier(cls, words: dict[str, Any]) -> dict[str, Any]:
        """Read what a receipt says of the data."""
        return {"data" if name == "among" else name: value for name, value in super().earlier(words).items()}

    def result(self, model: "Model", work: Work) -> Result:
        """Return the row of images and the table; their codes are kept beside."""
        import torch

        from attrimorph.applications.edit import edited_images
        from attrimorph.applications.gallery import encode_gallery, open_gallery, unchanged
        from attrimorph.applications.inputs import attributes_of, encoder
        from attrimorph.applications.neighbours import check_wishes, retrieval_table, retrieve
        from attrimorph.models.model import Edits
        from attrimorph.pictures import MOST_SHOWN, sheet

        encoder(model, "retrieve")
        image = model.prepared(self.image)
        gallery = open_gallery(model, self.source, work.progress, kept=self.fingerprint is None)
        unchanged(gallery.fingerprint, self.fingerprint, self.source)
        # Encoding may take minutes: what cannot be answered is refused before.
        check_wishes(gallery.schema or model.schema, self.count, self.wanted, self.same)
        codes = encode_gallery(model, gallery, work.out.parent, work.progress)
        y = attributes_of(model, image, self.known)
        found = retrieve(
            model,
            image,
            gallery,
            count=self.count,
            wanted=self.wanted,
            same=self.same,
            other_identity=self.other_identity,
            attributes=y,
            codes=codes,
        )
        shown, rows = {"input": image}, found.rows.tolist()
        asked = {key: value for key, value in self.wanted.items() if key in model.schema.column_names}
        if asked and isinstance(model, Edits):
            changes = {key: 1.0 if value == 1 else -1.0 for key, value in asked.items()}
            shown["as sought"] = edited_images(model, image, changes, y, self.composition)
        words = [f"{number}: {distance:.2f}" for number, distance in enumerate(found.distances.tolist(), 1)]
        row = torch.cat([*shown.values(), gallery.read(found.rows[:MOST_SHOWN].numpy())])
        named = zip(rows, found.distances.tolist(), strict=True)
        return Result(
            {"": sheet([row], columns=[*shown, *words][: len(row)], cell=max(128, model.image_size))},
            {
                "searched": found.searched,
                "found": [{"file": gallery.names[row], "distance": round(far, 6)} for row, far in named],
            },
            {"fingerprint": gallery.fingerprint},
            tables={"": retrieval_table(gallery, found)},
        )


class Neighbours(OnData):
    """Tell whether a model's samples are copies of its training images.

    Attributes:
        model: A run folder, a model file or a shipped model.
        data: What it was trained on, with images held out: a prepared folder or a labelled one.
        count: Samples, and at most so many held-out images.
        seed: Of the samples.
        judge: Whose features are compared too: a file or a shipped attribute classifier (judge); by default the shipped
            one that suits the model.
    """

    verb = "neighbours"
    meter = ("comparing", "images")
    count: int = 200
    seed: Seed = 0
    judge: str | None = None

    def result(self, model: "Model", work: Work) -> Result:
        """Return the samples that are nearest to training images beside these, and a table of all distances."""
        from attrimorph.applications.gallery import open_data, unchanged
        from attrimorph.applications.neighbours import neighbours, neighbours_picture, neighbours_table
        from attrimorph.evaluators.judge import judge_for, load_judge

        data = open_data(model, self.source, work.progress, kept=self.fingerprint is None)
        unchanged(data.fingerprint, self.fingerprint, self.source)
        if self.judge is None:
            judge = judge_for(model.schema, model.image_size, model.device)
        else:
            judge = load_judge(self.judge, model.device)
        found = neighbours(model, data, self.count, seed=self.seed, judge=judge, progress=work.progress)
        facts = {"verdict": found.verdict, "training images": len(found.train), "samples": len(found.images)}
        return Result(
            {"": neighbours_picture(found, data)},
            facts | {space.name: space.figures for space in found.spaces},
            {"fingerprint": data.fingerprint},
            tables={"": neighbours_table(found, data)},
        )


class LatentMap(OnData):
    """Lay all codes of a data set out on the plane of their two principal axes.

    Attributes:
        model: A run folder, a model file or a shipped model.
        attribute: Whose values colour the points; by default the one that the map separates best.
    """

    verb = "latent-map"
    meter = ("encoding", "images")
    attribute: str | None = None

    def result(self, model: "Model", work: Work) -> Result:
        """Return thumbnails and coloured points, and a table of places."""
        from attrimorph.applications.gallery import encode_gallery, gallery_of, open_data, unchanged
        from attrimorph.applications.latent_map import latent_map, map_table, points_picture, thumbnails

        data = open_data(model, self.source, work.progress, kept=self.fingerprint is None)
        unchanged(data.fingerprint, self.fingerprint, self.source)
        if self.attribute is not None:
            data.schema.attribute(self.attribute)
        gallery = gallery_of(data)
        codes = encode_gallery(model, gallery, work.out.parent, work.progress, verb="latent-map")
        found = latent_map(codes.z, data.schema, data.attributes)
        ranked = sorted(found.separability.items(), key=lambda item: -item[1])
        best = data.schema.find(ranked[0][0])[0].name if ranked else next(iter(data.schema.names), None)
        return Result(
            {"": thumbnails(found.points, gallery), "points": points_picture(found, data, self.attribute or best)},
            {
                "images": len(data),
                "explained variance (share), first and second axis": [
                    round(value, 4) for value in found.plane.explained.tolist()
                ],
                "axes that the variance spreads over": round(found.spread, 2),
                "separability on the map (area under the curve of the best line, 0.5 = none)": {
                    name: round(value, 4) for name, value in ranked
                },
            },
            {"fingerprint": data.fingerprint},
            tables={"": map_table(found, data)},
        )


class Augment(OnData, Composing):
    """Make labelled images that a data set lacks: a folder for any trainer, with a table that data prepare reads.

    Every image is confirmed before it is written: the model's own classifier, and a judge where one suits, must see the
    class that it is made for. What they do not see is left out; fewer than half confirmed is refused.

    Attributes:
        model: A run folder, a model file or a shipped model.
        data: The real images: a prepared folder or a labelled one, with the model's attributes.
        balance: Attributes whose classes become equally large, with commas: Eyeglasses,Male.
        identities: So many new people instead, each mixed of three.
        each: Images of each new person; alone: so many more images of every class.
        way: How to balance: edit real images of other classes, or sample.
        seed: Of everything drawn.
        judge: Who confirms the images besides the model's own classifier: a file or a shipped attribute classifier; by
            default the shipped one that suits. For new people of a model without classes: an identity encoder (judge
            DATA --kind identity).
        real: Leave the real images out of the folder.
    """

    verb = "augment"
    meter = ("generating", "images")
    balance: Names = ()
    identities: int | None = None
    each: int | None = None
    way: Literal["auto", "edit", "sample"] = "auto"
    seed: Seed = 0
    judge: str | None = None
    real: Annotated[bool, Option("--only-generated", bool, lambda only: not only)] = True

    @classmethod
    def typed_first(cls) -> tuple[str, ...]:
        """Return nothing: all is said by options."""
        return ()

    @property
    def inputs(self) -> list[Path]:
        """The judge's file, where it is one."""
        return [Path(self.judge)] if self.judge is not None and Path(self.judge).exists() else []

    def _made(
        self, model: "Model", data: "PreparedData", claimed: Sequence[str]
    ) -> "tuple[Confirmation, Iterator[Made]]":
        """Return who confirms what is made, and what is made, piece by piece; `claimed` attributes make the classes."""
        from attrimorph.applications.augment import balanced, more_of_each
        from attrimorph.applications.confirm import confirmation
        from attrimorph.applications.identities import new_identities
        from attrimorph.models.model import Edits

        if self.balance and (self.identities is not None or self.each is not None):
            raise AttrimorphError("augment takes balance, or identities with each, or each alone; leave the others out")
        if not (self.balance or self.identities is not None or self.each is not None):
            raise AttrimorphError(
                "augment must be told what to make; got nothing; add --balance Smiling, --identities 10 or --each 200"
            )
        people = self.identities is not None and not claimed
        confirm = confirmation(model, data.schema, claimed, self.judge, people=people)
        if self.balance:
            way = self.way if self.way != "auto" else "edit" if isinstance(model, Edits) else "sample"
            return confirm, balanced(
                model, data, self.balance, confirm=confirm, seed=self.seed, way=way, composition=self.composition
            )
        if self.identities is not None:
            each = EACH if self.each is None else self.each
            return confirm, new_identities(model, data, self.identities, each, confirm=confirm, seed=self.seed)
        return confirm, more_of_each(model, self.each or 0, confirm=confirm, seed=self.seed)

    def result(self, model: "Model", work: Work) -> Result:
        """Write the folder, NAME of NAME.png, and return a sheet and a table of where each image came from.

        Only images that are confirmed are written, and only labels that are.

        Raises:
            AttrimorphError: the model, the data and what is asked do not go together, nothing is left to make, or fewer
                than half of the images are confirmed; nothing is written then.
        """
        from attrimorph.applications.augment import (
            GENERATED,
            LabelledFolder,
            Record,
            class_attribute,
            classes_by,
            made_table,
            write_real,
        )
        from attrimorph.applications.gallery import labelled_data, unchanged

        data = labelled_data(model, self.source, work.progress, kept=self.fingerprint is None)
        unchanged(data.fingerprint, self.fingerprint, self.source)
        name, people = class_attribute(data.schema), self.identities is not None
        claimed = self.balance or (() if name is None else (name,))
        (confirm, pieces), record = self._made(model, data, claimed), Record()
        columns = [*data.schema.names, *([GENERATED] if people else [])]  # new people are told from real ones
        with LabelledFolder(work.out.with_suffix(""), columns) as folder:
            cells = classes_by(data.schema, claimed) if claimed else None
            before = write_real(folder, data, cells, self.real)
            if self.balance:
                wanted = max(before.values()) * len(before) - sum(before.values())
            else:
                wanted = (self.each or EACH) * (self.identities or len(before))
            for made in pieces:
                table = made_table(made, data.schema, people=people)
                names = folder.add(
                    made.images, table, split="train", label=made.label, identities=made.identities, stem="made"
                )
                record.add(names, made, data)
                if work.progress is not None:
                    work.progress(len(record.lines), wanted)
            if not confirm.tried:
                raise AttrimorphError(
                    "the classes must differ in size to be balanced; they are equal already; nothing to do"
                )
            confirm.refuse_doubtful()
        if work.say is not None:
            work.say(confirm.line())
        return Result(
            {"": record.picture()},
            {
                "real images in the train split, by class": before,
                "generated images": len(record.lines),
                "confirmation": confirm.to_json(),
                "written images": {f"{split}/{label}": count for (split, label), count in folder.counts.items()},
            },
            {"fingerprint": data.fingerprint},
            tables={"": record.table()},
        )

    def worth(
        self, model: "Model", folder: Path, seeds: int, images: int, say: "Say | None" = None
    ) -> "tuple[Path, list[Worth]]":
        """Measure what the images that were made are worth; see `augment.write_worth`."""
        from attrimorph.applications.augment import write_worth
        from attrimorph.applications.gallery import labelled_data

        data, people = labelled_data(model, self.source), self.identities is not None
        return write_worth(data, folder, self.balance, people=people, seeds=range(seeds), images_seen=images, say=say)
