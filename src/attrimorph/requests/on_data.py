"""retrieve, neighbours, latent-map: what is found in a whole data set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from attrimorph.requests.base import Inputs, Names, Option, Request, Result, Work

if TYPE_CHECKING:
    from attrimorph.data.readers import Source
    from attrimorph.models.model import Model


class OnData(Request):
    """A request that reads a folder of images.

    Attributes:
        data: A prepared folder or a labelled one.
        format: How a folder of images is laid out, where that is not recognised: classes, images (without labels),
            table, celeba, lfw, utkface, cub, flowers, unpaired.
        table: A CSV file of any name with the labels: a column of file names, others for each.
    """

    data: Path
    format: str = "auto"
    table: Path | None = None
    fingerprint: Annotated[str | None, Option("-")] = None
    """Other data than these are refused; a receipt knows it."""

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


class Retrieve(OnData, Inputs):
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
        return {"data" if name == "among" else name: value for name, value in words.items()}

    def result(self, model: "Model", work: Work) -> Result:
        """Return the row of images and the table; their codes are kept beside."""
        import torch

        from attrimorph.applications.gallery import encode_gallery, open_gallery, unchanged
        from attrimorph.applications.inputs import attributes_of, encoder
        from attrimorph.applications.neighbours import check_wishes, retrieval_table, retrieve
        from attrimorph.applications.photograph import edited_with_detail
        from attrimorph.models.model import Edits
        from attrimorph.pictures import MOST_SHOWN, sheet

        encoder(model, "retrieve")
        image = model.prepared(self.image)
        gallery = open_gallery(model, self.source, work.progress)
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
            shown["as sought"] = edited_with_detail(model, image, changes, y)
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
    seed: int = 0
    judge: str | None = None

    def result(self, model: "Model", work: Work) -> Result:
        """Return the samples that are nearest to training images beside these, and a table of all distances."""
        from attrimorph.applications.gallery import open_data, unchanged
        from attrimorph.applications.neighbours import neighbours, neighbours_picture, neighbours_table
        from attrimorph.evaluators.judge import judge_for, load_judge

        data = open_data(model, self.source, work.progress)
        unchanged(data.fingerprint, self.fingerprint, self.source)
        judge = judge_for(model.schema, model.image_size) if self.judge is None else load_judge(self.judge)
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

        data = open_data(model, self.source, work.progress)
        unchanged(data.fingerprint, self.fingerprint, self.source)
        if self.attribute is not None:
            data.schema.attribute(self.attribute)
        gallery = gallery_of(data)
        codes = encode_gallery(model, gallery, work.out.parent, work.progress, verb="latent-map")
        found = latent_map(codes.z, data.schema, data.attributes)
        ranked = sorted(found.separability.items(), key=lambda item: -item[1])
        best = ranked[0][0].partition("=")[0] if ranked else next(iter(data.schema.names), None)
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
