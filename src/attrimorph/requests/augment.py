"""augment: labelled images that a data set lacks, as a folder for any trainer."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from attrimorph.errors import AttrimorphError
from attrimorph.requests.base import Names, Option, Result, Work
from attrimorph.requests.on_data import OnData

if TYPE_CHECKING:
    from attrimorph.applications.augment import Made
    from attrimorph.applications.confirm import Confirmation
    from attrimorph.data.prepared import PreparedData
    from attrimorph.metrics.augmentation import Say, Worth
    from attrimorph.models.model import Model

EACH = 100  # images of a new identity


class Augment(OnData):
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
    seed: int = 0
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
        from attrimorph.applications.augment import balanced, capable, more_of_each
        from attrimorph.applications.confirm import confirmation
        from attrimorph.applications.identities import new_identities

        if self.balance and (self.identities is not None or self.each is not None):
            raise AttrimorphError("augment takes balance, or identities with each, or each alone; leave the others out")
        if not (self.balance or self.identities is not None or self.each is not None):
            raise AttrimorphError(
                "augment must be told what to make; got nothing; add --balance Smiling, --identities 10 or --each 200"
            )
        if not 0 <= self.seed < 2**63:
            raise AttrimorphError(f"seed must lie in 0..2**63 - 1; got {self.seed}; choose a smaller one")
        people = self.identities is not None and not claimed
        confirm = confirmation(model, data.schema, claimed, self.judge, people=people)
        if self.balance:
            way = capable(model, self.way)
            return confirm, balanced(model, data, self.balance, confirm=confirm, seed=self.seed, way=way)
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

        data = labelled_data(model, self.source, work.progress)
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
