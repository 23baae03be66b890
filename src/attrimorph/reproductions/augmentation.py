"""Experiment f of the CVAE-GAN paper: a recogniser trained on few real images, and on generated ones besides.

Two strategies, as in the paper: more images of the people it knows, and new people, each a mixture of three class
codes. The generator learns from the same few images; nothing of the held-out images reaches either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from attrimorph.applications.augment import Made, more_of_each
from attrimorph.applications.identities import MIXED, new_identities
from attrimorph.data.drawn import faces
from attrimorph.data.prepared import PreparedData, open_prepared
from attrimorph.data.writer import write_prepared
from attrimorph.evaluators.fitting import Labelled, from_bytes, of_bytes, photographs
from attrimorph.evaluators.identity_encoder import IdentityEncoder
from attrimorph.evaluators.identity_training import IdentityRecipe, fit_identity_encoder, pairs
from attrimorph.evaluators.verification import verification
from attrimorph.loading import load
from attrimorph.models.model import Model
from attrimorph.pictures import sheet
from attrimorph.reproductions import report
from attrimorph.reproductions.claims import Claim, listed, more, spread
from attrimorph.reproductions.class_data import CHUNK, labels_of
from attrimorph.reproductions.class_models import (
    BATCH,
    Setting,
    by_seed,
    real_images,
    remembered,
    setting,
    trained,
)
from attrimorph.reproductions.outcome import Form, Outcome, Request

NAME = "augmentation"
STRANGERS, OF_A_STRANGER = 300, 4  # drawn people nobody trained on, and images of each
STRANGERS_SEED = 991_003
WORDS = {
    "real": "few real images",
    "known": "and more images of the same people",
    "new": "and images of new people",
}
PUBLISHED = {"new": 0.010}
"""What verification accuracy on LFW gained by 5,000 new people with 100 images each."""
SOURCE = "paper, data augmentation"
SHOWN = 10

Figures = Mapping[str, Sequence[Mapping[str, float]]]


def run(request: Request) -> Outcome:
    """Train recognisers with and without generated images, and measure them on held-out real ones."""
    place = setting(request)
    few = few_images(request, place.data)
    narrow = replace(place, data=few)
    figures: dict[str, list[dict[str, float]]] = {strategy: [] for strategy in WORDS}
    first: Model | None = None
    for seed in request.seeds:
        folder = trained(request, narrow, "cvae-gan", seed)
        model = load(folder, request.device)
        first = first or model
        key = {"model": model.hash, "data": place.data.fingerprint, "form": repr(request.form), "batches": "half real"}
        for strategy in WORDS:

            def measure(model: Model = model, strategy: str = strategy, seed: int = seed) -> dict[str, float]:
                request.say(f"training a recogniser, {WORDS[strategy]}, seed {seed}")
                return measured(place, recogniser(request, few, model, strategy, seed))

            figures[strategy].append(remembered(folder, f"{NAME}-{strategy}", key, measure))
    form = request.form
    outcome = Outcome(
        name=NAME,
        title="Augmentation",
        lead=f"A recogniser learns from {form.few} real images of each of {len(place.classes)} people, with and "
        "without generated ones.",
        protocol={
            "data": place.protocol()["data"],
            "real images": f"{form.few} of each class to train recogniser and CVAE-GAN; top-1 on "
            f"{len(place.data.indices('test')):,} held-out ones; {len(place.data.indices('valid')):,} others choose "
            "the recogniser's best look",
            "same people": f"{form.more} samples of each class",
            "new people": f"{form.strangers} mixtures of {MIXED} class codes, {form.of_a_stranger} samples of each",
            "recogniser": f"{form.presentations:,} presentations in every case, half of them of real images where "
            f"there are generated ones, seeds {listed(request.seeds, 'd')}",
            "verification": strangers_words(place),
        },
        claims=claims(figures, len(pairs(whose_strangers(place), 0)[0]), len(place.data.indices("test"))),
        figures={"by seed": figures, "published gain in verification accuracy on LFW": PUBLISHED},
    )
    outcome.pieces += [report.heading("With and without", "Means over the seeds, and their range."), table(figures)]
    assert first is not None
    images, labels = real_images(narrow, "train")
    rows = [torch.stack([images[labels == label][0] for label in range(min(SHOWN, len(place.classes)))])]
    for strategy in ("known", "new"):
        made, _ = generated(first, few, strategy, replace(form, more=1, strangers=SHOWN, of_a_stranger=1), 0)
        rows.append(from_bytes(made[:SHOWN]))
    outcome.show("generated", sheet(rows, labels=["real", "same people", "new people"], cell=64, clear=True))
    return outcome


def few_images(request: Request, data: PreparedData) -> PreparedData:
    """Return class data with only a few images of each class in the train split; written once."""
    folder = request.out / "data" / f"{data.fingerprint}-few-{request.form.few}"
    if not (folder / "schema.json").is_file():
        train = data.indices("train")
        labels = labels_of(data, train)
        kept = [train[(labels == label).numpy()][: request.form.few] for label in torch.unique(labels)]
        rows = np.sort(np.concatenate([*kept, data.indices("valid"), data.indices("test")]))
        write_prepared(
            folder,
            (np.asarray(data.images[rows[start : start + CHUNK]]) for start in range(0, len(rows), CHUNK)),
            data.schema,
            data.attributes[torch.from_numpy(rows)],
            files=[data.files[row] for row in rows],
            split=data.split[rows].tolist(),
            identity=data.identity[torch.from_numpy(rows)],
            preprocessing=data.preprocessing,
        )
    return open_prepared(folder)


def generated(model: Model, data: PreparedData, strategy: str, form: Form, seed: int) -> tuple[Tensor, Tensor]:
    """Generate images of known or of new people; as in the paper nobody confirms them.

    Args:
        model, data: of classes.
        strategy: "known" or "new".
        form: how many.
        seed: of mixtures and z.

    Returns:
        uint8 [N, 3, S, S], and whose they are: classes for known people, numbers beyond all classes for new ones.
    """
    made: list[Made]
    if strategy == "known":
        made = list(more_of_each(model, form.more, confirm=None, seed=seed))
        labels = torch.cat([part.attributes.argmax(1) for part in made])
    else:
        made = list(new_identities(model, data, form.strangers, form.of_a_stranger, confirm=None, seed=seed))
        numbers = {name: number for number, name in enumerate(dict.fromkeys(part.label for part in made))}
        whose = [numbers[part.label] + data.schema.width for part in made for _ in part.images]
        labels = torch.tensor(whose)
    return torch.from_numpy(np.concatenate([part.images for part in made])).permute(0, 3, 1, 2), labels


def recogniser(request: Request, few: PreparedData, model: Model, strategy: str, seed: int) -> IdentityEncoder:
    """Train a recogniser on the few real images, and on generated ones where the strategy has any."""
    form = request.form
    rows = few.indices("train")
    images, labels = torch.from_numpy(few.images[rows]).permute(0, 3, 1, 2), labels_of(few, rows)
    names = [str(name) for name in few.schema.attributes[0].values]
    if strategy != "real":
        made, whose = generated(model, few, strategy, form, seed)
        images, labels = torch.cat([images, made]), torch.cat([labels, whose])
        names += [f"new {number}" for number in range(form.strangers)] if strategy == "new" else []
    return fit_identity_encoder(
        (
            of_bytes(images.contiguous(), labels, "train"),
            held_out_images(few, "valid"),
            held_out_images(few, "test"),
        ),
        names,
        IdentityRecipe(presentations=form.presentations, seed=seed),
        few.image_size,
        strategy,
        augment=photographs(few.schema),
        half=len(rows),
        progress=lambda done, total, _: request.progress(f"training a recogniser, {strategy}", done, total),
    )


def held_out_images(data: PreparedData, split: str) -> Labelled:
    """Return a split of class data as the recogniser's training takes it."""
    rows = data.indices(split)
    pixels = torch.from_numpy(data.images[rows]).permute(0, 3, 1, 2).contiguous()
    return of_bytes(pixels, labels_of(data, rows), split)


def measured(place: Setting, found: IdentityEncoder) -> dict[str, float]:
    """Measure a recogniser on held-out real images, and verification on people that it never saw."""
    images, labels = real_images(place)
    # New people are no answer to who a known one is.
    guesses = found.cosines(images)[:, : len(place.classes)].argmax(1)
    faces_, whose = strangers(place)
    one, other, same = pairs(whose, 0)
    features = found.features(faces_)
    checked = verification((features[one] * features[other]).sum(1), same)
    return {
        "top-1": float((guesses == labels).double().mean()),
        "verification accuracy": checked.accuracy,
        "verification area": checked.area,
    }


def strangers(place: Setting) -> tuple[Tensor, Tensor]:
    """Return images to verify, and who they show: other drawn people; of other data the held-out images."""
    if place.data.preprocessing.get("drawn") != "faces":
        return real_images(place)
    whose = whose_strangers(place)
    random = torch.Generator().manual_seed(STRANGERS_SEED)
    factors = faces.sample_factors(len(whose), random, identities=whose)
    size = place.data.image_size
    return torch.cat([faces.render(part, size) for part in torch.split(factors, BATCH)]), whose


def whose_strangers(place: Setting) -> Tensor:
    """Return whom the images to verify show, int64 [N]."""
    if place.data.preprocessing.get("drawn") != "faces":
        return labels_of(place.data, place.data.indices("test"))
    # People are numbered from 0: these come after all of them.
    return (len(place.classes) + torch.arange(STRANGERS)).repeat_interleave(OF_A_STRANGER)


def strangers_words(place: Setting) -> str:
    """Say what verification is measured on."""
    if place.data.preprocessing.get("drawn") != "faces":
        return "even pairs of held-out images of the known people, cosine of features, 10 folds"
    return f"even pairs of {STRANGERS} other drawn people, {OF_A_STRANGER} images each, cosine of features, 10 folds"


def claims(figures: Figures, verified_pairs: int, held_out: int) -> list[Claim]:
    """Return what the paper says, held against the figures, which count so many pairs and images."""
    verified, accuracy = by_seed(figures, "verification accuracy"), by_seed(figures, "top-1")
    told = {"known": "More images of the same people", "new": "Images of new people"}
    measures = (
        ("verification", verified, SOURCE, verified_pairs),
        ("recognition of held-out images", accuracy, "ours", held_out),
    )
    return [
        more(
            f"{told[strategy]} improve {what}",
            values[strategy],
            values["real"],
            source=source,
            names=(f"{what}: with them", "without"),
            form=".2%",
            counted=counted,
        )
        for what, values, source, counted in measures
        for strategy in told
    ]


def table(figures: Figures) -> str:
    """Return the figures of all strategies, the published ones beside."""
    without = [one["verification accuracy"] for one in figures["real"]]
    rows = []
    for strategy, each in figures.items():
        verified = [one["verification accuracy"] for one in each]
        gains = [mine - base for mine, base in zip(verified, without, strict=True)]
        rows.append(
            [
                report.text(WORDS[strategy]),
                spread([one["top-1"] for one in each], ".2%"),
                spread(verified, ".2%"),
                "–" if strategy == "real" else spread(gains, "+.2%"),
                f"{PUBLISHED[strategy]:+.1%}" if strategy in PUBLISHED else "–",
                spread([one["verification area"] for one in each], ".4f"),
            ]
        )
    head = ["trained on", "top-1", "verification accuracy", "gain", "published gain, LFW", "area under the curve"]
    return report.table(head, rows, numbers=(1, 2, 3, 4, 5))
