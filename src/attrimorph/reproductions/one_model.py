"""Experiments d, e, h to l of the CVAE-GAN paper: what one CVAE-GAN does with held-out images of its classes."""

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate

from attrimorph.applications.filling import averaged, inpaint, superresolve
from attrimorph.applications.gallery import gallery_of
from attrimorph.applications.latent_map import latent_map, thumbnails
from attrimorph.applications.neighbours import nearest, nearest_images
from attrimorph.applications.paths import linear
from attrimorph.charts import chart
from attrimorph.data.drawn import PICTURE, faces
from attrimorph.evaluators.judge import judge_for
from attrimorph.metrics.similarity import perceptual_distance, psnr
from attrimorph.models.model import Code, Model, decisions
from attrimorph.pictures import to_bytes
from attrimorph.reproductions import report
from attrimorph.reproductions.contexts import ClassContext, class_context, decoded, encoding, labels_of, samples
from attrimorph.reproductions.frame import Claim, Outcome, Request, claim, describe, outcome_of, plain

IMAGES = 200  # that are measured: pairs of a morph, holes, small images, queries, samples
FOUND = 5  # neighbours of each, as in the paper
SHOWN = 6
KEPT = 0.95  # of the ends', or of samples', top-1 that images on the way, and transferred ones, must keep


def looked_at(request: Request) -> tuple[ClassContext, Model, dict[str, str]]:
    """Return the classes, the one model, and how every page's protocol begins."""
    context = class_context(request)
    model = context.model()
    return context, model, {**context.protocol(), "model": describe(model)}


def sharpness(images: Tensor) -> Tensor:
    """Return the mean square of the Laplacian of each grey image, [B]: what blur takes away first.

    Args:
        images: [B, 3, H, W] in [-1, 1].
    """
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])[None, None]
    return conv2d(images.mean(1, keepdim=True), kernel).square().mean((1, 2, 3))


def difference(one: Tensor, others: Tensor) -> float:
    """Return the root mean squared difference of each, [Q, ...], to its others, [Q, K, ...], mean over all pairs."""
    return float((one[:, None] - others).square().flatten(2).mean(2).sqrt().mean())


# --- d: from one image of a class to another, z = (1 - a) z1 + a z2

STEPS = 9
JUMP = 2.0  # the longest step, in mean steps, that still is gradual


def morphing(request: Request) -> Outcome:
    """Go from one held-out image to another of its class, through z and, for comparison, through pixels."""
    context, model, protocol = looked_at(request)
    first, second, classes = pairs(context)
    y, encode = context.labels(classes), encoding(model).encode
    codes = linear(encode(first, y).z, encode(second, y).z, STEPS)
    trajectory = torch.stack([decoded(model, Code(z, y)) for z in codes])  # [STEPS, N, 3, S, S]
    share = torch.linspace(0, 1, STEPS)[:, None, None, None, None]
    pixels = (1 - share) * trajectory[:1] + share * trajectory[-1:]
    distance = perceptual_distance(context.identity_encoder)
    figures: dict[str, list[float]] = {"perceptual length of each step": [
        float(distance(a, b).mean()) for a, b in pairwise(trajectory)
    ]}  # fmt: skip
    for words, steps in (("", trajectory), (" through pixels", pixels)):
        figures[f"top-1 along the way{words}"] = [context.top_1(step, classes) for step in steps]
        figures[f"sharpness along the way{words}"] = [float(sharpness(step).mean()) for step in steps]
    outcome = outcome_of(
        "morphing", morphing_claims(figures, len(classes)), figures, protocol,
        count=len(classes), steps=STEPS, identity_encoder=context.identity_encoder,
    )  # fmt: skip
    count = min(SHOWN, len(classes))
    rows = [images[:, pair] for pair in range(count) for images in (trajectory, pixels)]
    outcome.sheet("morphs", rows, "One pair in two rows.", labels=["through z", "through pixels"] * count)
    shares = [step / (STEPS - 1) for step in range(STEPS)]
    charts = []
    for what in ("top-1", "sharpness"):
        series = {
            name: list(zip(shares, figures[f"{what} along the way{words}"], strict=True))
            for name, words in (("z", ""), ("pixels", " through pixels"))
        }
        charts.append(chart(what, series, x_label="share of the way"))
    outcome.pieces.append(report.curves(charts))
    return outcome


def pairs(context: ClassContext) -> tuple[Tensor, Tensor, Tensor]:
    """Return held-out images, another one of its class for each, and the classes; an image stands in one pair."""
    images, classes = context.images()
    first, second = [], []
    for label in range(len(context.classes)):
        rows = (classes == label).nonzero()[:, 0].tolist()
        first += rows[0 : len(rows) // 2 * 2 : 2]
        second += rows[1::2]
    return images[first[:IMAGES]], images[second[:IMAGES]], classes[first[:IMAGES]]


def morphing_claims(figures: dict[str, list[float]], count: int) -> list[Claim]:
    """Return what the paper shows, held against the figures of the one model on so many pairs."""
    recognised, lengths = figures["top-1 along the way"], figures["perceptual length of each step"]
    half, mixed = (
        figures[f"sharpness along the way{words}"][STEPS // 2] / figures[f"sharpness along the way{words}"][0]
        for words in ("", " through pixels")
    )
    return [
        claim("morphing", "kept", min(recognised), (recognised[0] + recognised[-1]) / 2, counted=(count, 2 * count),
              times=KEPT),
        claim("morphing", "gradual", max(lengths) / (sum(lengths) / len(lengths)), JUMP),
        claim("morphing", "sharper", half, mixed),
    ]  # fmt: skip


# --- e: a hole of 50x50 in 128x128, filled again and again

TIMES = 10
SIDE = 50 / 128  # of the hole, as a share of the image's
COLUMNS = (0, 1, 2, 3, 5, 10)  # steps of the picture
RECOGNISED = 0.9  # of the untouched images' top-1


def inpainting(request: Request) -> Outcome:
    """Cut a hole into held-out images, fill it, and measure what stands in it after every iteration."""
    context, model, protocol = looked_at(request)
    images, classes = context.images(most=IMAGES)
    side = round(SIDE * images.shape[-1])
    masks = holes(len(images), images.shape[-1], side)
    done = inpaint(model, images, masks, context.labels(classes), TIMES)
    in_hole = [float(psnr(images, step, masks).mean()) for step in done.steps]
    recognised = [context.top_1(step, classes) for step in done.steps]
    untouched, judge = context.top_1(images, classes), context.identity_encoder
    figures = {
        "PSNR in the hole by step": in_hole,
        "top-1 by step": recognised,
        "top-1 of the untouched images": [untouched],
    }
    claims = [
        claim("inpainting", "filled", in_hole[-1], in_hole[0]),
        claim("inpainting", "improved", in_hole[-1], in_hole[1], steps=TIMES),
        claim("inpainting", "recognised", recognised[-1], untouched, counted=len(images), times=RECOGNISED,
              identity_encoder=judge),
    ]  # fmt: skip
    outcome = outcome_of("inpainting", claims, figures, protocol, side=side, count=len(images))
    rows = []
    for row in range(min(SHOWN, len(images))):
        holed = torch.where(masks[row] > 0, torch.zeros(()), images[row])
        rows.append(torch.stack([images[row], holed, *(done.steps[step, row] for step in COLUMNS)]))
    words = ["image", "hole", "filling", *map(str, COLUMNS[1:])]
    outcome.sheet("inpainted", rows, "Numbers: iterations.", columns=words)
    charts = [
        chart(name, {"steps": list(enumerate(figures[name]))}, x_label="iterations")
        for name in ("PSNR in the hole by step", "top-1 by step")
    ]
    outcome.pieces.append(report.curves(charts))
    return outcome


def holes(count: int, size: int, side: int) -> Tensor:
    """Return masks with a square hole at a random place each, [N, 1, S, S], 1 = hole; always the same ones."""
    random, masks = torch.Generator().manual_seed(0), torch.zeros(count, 1, size, size)
    for mask, (top, left) in zip(masks, torch.randint(0, size - side + 1, (count, 2), generator=random), strict=True):
        mask[:, top : top + side, left : left + side] = 1
    return masks


# --- l: small images enlarged by a model that knows what they show

LARGER = 4


def superresolution(request: Request) -> Outcome:
    """Shrink held-out images, enlarge them again, and compare with the images and with bicubic interpolation."""
    context, model, protocol = looked_at(request)
    images, classes = context.images(most=IMAGES)
    done = superresolve(model, averaged(images, images.shape[-1] // LARGER), context.labels(classes))
    made = {"bicubic": done.bicubic, "model": done.images}
    words = {"bicubic": "bicubic interpolation", "model": "the model"}
    figures = {
        name: {
            "top-1": context.top_1(each, classes),
            "PSNR": float(psnr(images, each).mean()),
            "sharpness": float(sharpness(each).mean() / sharpness(images).mean()),
        }
        for name, each in made.items()
    }
    outcome = outcome_of(
        "superresolution",
        [
            claim("superresolution", name, figures["model"][name], figures["bicubic"][name],
                  counted=len(images) if name == "top-1" else None)
            for name in ("top-1", "sharpness", "PSNR")
        ],
        {**figures, "real": {"top-1": context.top_1(images, classes)}},
        protocol, count=len(images), larger=LARGER, disagreement=float(done.disagreement.max()),
    )  # fmt: skip
    head = {"PSNR": "PSNR in dB", "sharpness": "sharpness (image = 1)"}
    rows = {words[name]: {head.get(key, key): value for key, value in each.items()} for name, each in figures.items()}
    outcome.pieces.append(report.figures(rows, ".3f", "enlarged by"))
    small = interpolate(done.low, scale_factor=LARGER, mode="nearest")
    shown = [each[: SHOWN + 2] for each in (small, *made.values(), images)]
    outcome.sheet("enlarged", shown, labels=["small image", *words.values(), "image"])
    return outcome


# --- i: the z of one image decoded under other classes

SOURCES = 300  # images whose z is measured


def transferring(request: Request) -> Outcome:
    """Decode held-out images under another class each, and see what is kept."""
    context, model, protocol = looked_at(request)
    images, classes = context.images(most=SOURCES)
    random, many = torch.Generator().manual_seed(0), len(context.classes)
    targets = (classes + torch.randint(1, many, classes.shape, generator=random)) % many
    made, every = transferred(model, context, images, classes, targets), context.every_class
    figures = {
        "top-1 of the target class": context.top_1(made, targets),
        "top-1 of the source's class": context.top_1(made, classes),
        "top-1 of samples": context.top_1(samples(model, every), every),
        "finds its source": found_again(made, images),
        "finds its source by chance": 1 / len(images),
    }
    claims = [
        claim("transferring", "class", figures["top-1 of the target class"], figures["top-1 of samples"],
              counted=(len(images), len(every)), times=KEPT),
        claim("transferring", "kept", figures["finds its source"], 10 * figures["finds its source by chance"],
              counted=len(images)),
    ]  # fmt: skip
    outcome = outcome_of("transferring", claims, figures, protocol, count=len(images))
    rows, shown = [], torch.linspace(0, many - 1, min(SHOWN + 2, many)).long()
    for row in range(0, len(images), max(1, len(images) // (SHOWN + 2)))[: SHOWN + 2]:
        one = images[row].expand(len(shown), -1, -1, -1)
        rows.append(torch.cat([one[:1], transferred(model, context, one, classes[row].expand(len(shown)), shown)]))
    columns = ["source", *(context.classes[int(label)][:12] for label in shown)]
    outcome.sheet("transfers", rows, "The first image of a row is the source.", columns=columns)
    return outcome


def transferred(model: Model, context: ClassContext, images: Tensor, classes: Tensor, targets: Tensor) -> Tensor:
    """Return G(E(x, c), c'), [N, 3, S, S]."""
    code = encoding(model).encode(images, context.labels(classes))
    return decoded(model, Code(code.z, context.labels(targets)))


def found_again(made: Tensor, sources: Tensor) -> float:
    """Return the share of images whose nearest source in pixel L2 is their own."""
    own = torch.cdist(made.flatten(1), sources.flatten(1)).argmin(1)
    return float((own == torch.arange(len(made))).double().mean())


# --- h: all latent vectors in the plane of their two principal components

ACTIVE = 0.01  # variance of the means of a column that holds something (Burda et al. 2016)
MOST_TOLD = 0.2  # of the columns, one in twenty of which is told by chance
SIMULATED = 1_000


def latents(request: Request) -> Outcome:
    """Project the latent vectors of training images, and see what neighbours in the plane share."""
    context, model, protocol = looked_at(request)
    images, classes, z = context.codes(model, context.data.indices("train"))
    held_out, held_out_classes, held_out_z = context.codes(model, context.data.indices("test"))
    found = latent_map(z)
    near = nearest(found.points, found.points, 2).rows
    # The nearest of all is the point itself, but for equal points.
    neighbour = torch.where(near[:, 0] == torch.arange(len(near)), near[:, 1], near[:, 0])
    drawn = torch.randint(0, len(z), (len(z), 1), generator=torch.Generator().manual_seed(0))
    pixels = "difference of pixels"
    columns = held_out_z[:, held_out_z.var(0) > ACTIVE]
    apart, by_chance = gaussian_distances(columns), chance_distance(len(held_out_z))
    figures = {
        "columns of z that vary": float(columns.shape[1]),
        "distance of a column from a Gaussian": float(apart.mean()) if len(apart) else float("nan"),
        "that distance, of Gaussian columns, exceeded by one in twenty": by_chance,
        "columns told from Gaussian ones": float((apart > by_chance).double().mean()) if len(apart) else float("nan"),
        "variance in the plane": float(found.plane.explained.sum()),
        "axes that the variance spreads over": found.spread,
        f"{pixels}, neighbours in the plane": difference(images, images[neighbour[:, None]]),
        f"{pixels}, drawn at random": difference(images, images[drawn]),
        "class told from z": by_centre(z, classes, held_out_z, held_out_classes),
        "class told from pixels": by_centre(images.flatten(1), classes, held_out.flatten(1), held_out_classes),
        "class told by chance": 1 / len(context.classes),
    }
    claims = [
        claim("latents", "gaussian", figures["columns told from Gaussian ones"], MOST_TOLD,
              counted=columns.shape[1] or None, most=MOST_TOLD, chance=by_chance,
              distance=figures["distance of a column from a Gaussian"]),
        claim("latents", "alike", figures[f"{pixels}, drawn at random"], figures[f"{pixels}, neighbours in the plane"]),
        claim("latents", "class", figures["class told from pixels"], figures["class told from z"],
              counted=len(held_out)),
    ]  # fmt: skip
    outcome = outcome_of(
        "latents", claims, plain(figures), protocol, count=len(z), held_out=len(held_out_z), active=ACTIVE
    )
    picture = thumbnails(found.points, gallery_of(context.data, "train"))
    outcome.show("plane", picture, "At each place an image nearby.")
    return outcome


def gaussian_distances(columns: Tensor) -> Tensor:
    """Return the Kolmogorov-Smirnov distance of each column, scaled to mean 0 and variance 1, from N(0, 1).

    sup |F_N(x) - Phi(x)|, of columns [N, K]: [K] float64.
    """
    values = columns.double().sort(0).values
    below = torch.special.ndtr((values - values.mean(0)) / values.std(0))
    steps = torch.arange(len(values) + 1, dtype=torch.float64)[:, None] / len(values)
    return torch.maximum((steps[1:] - below).amax(0), (below - steps[:-1]).amax(0))


def chance_distance(count: int) -> float:
    """Return the distance that one in twenty columns of `count` Gaussian numbers exceeds (Lilliefors), as simulated."""
    drawn = torch.randn(count, SIMULATED, generator=torch.Generator().manual_seed(0))
    return float(gaussian_distances(drawn).quantile(0.95))


def by_centre(train: Tensor, classes: Tensor, test: Tensor, test_classes: Tensor) -> float:
    """Return the accuracy of the nearest class centre."""
    known = torch.unique(classes)
    centres = torch.stack([train[classes == each].mean(0) for each in known])
    return float((known[nearest(test, centres).rows[:, 0]] == test_classes).double().mean())


# --- j: the nearest in z among images of other classes


def retrieval(request: Request) -> Outcome:
    """Take held-out images and find those training images of other classes whose z is nearest."""
    context, model, protocol = looked_at(request)
    queries, gallery = context.data.indices("test")[:IMAGES], context.data.indices("train")
    images, classes, z = context.codes(model, queries)
    base, base_classes, base_z = context.codes(model, gallery)
    found = of_other_classes(z, classes, base_z, base_classes)
    drawn = torch.randint(0, len(base), found.shape, generator=torch.Generator().manual_seed(0))
    compared = {"pixels": (images, base)}
    # Those factors of drawn faces that belong to the picture and not to the person.
    if context.data.factors is not None and set(PICTURE) <= set(context.data.factor_names):
        factors = torch.from_numpy(context.data.factors[:, [context.data.factor_names.index(name) for name in PICTURE]])
        compared["factors"] = factors[torch.from_numpy(queries)], factors[torch.from_numpy(gallery)]
    figures = {
        f"difference of {what}, {how}": difference(mine, theirs[rows])
        for what, (mine, theirs) in compared.items()
        for how, rows in (("retrieved", found), ("drawn at random", drawn))
    }
    claims = [
        claim("retrieval", what, figures[f"difference of {what}, drawn at random"],
              figures[f"difference of {what}, retrieved"])
        for what in compared
    ]  # fmt: skip
    amounts = {"queries": len(queries), "gallery": len(gallery), "found": FOUND}
    outcome = outcome_of("retrieval", claims, figures, protocol, **amounts)
    rows = [torch.cat([images[row : row + 1], base[found[row]]]) for row in range(min(SHOWN, len(images)))]
    columns = ["query", *(str(rank) for rank in range(1, FOUND + 1))]
    outcome.sheet("retrieved", rows, "All of other classes than the query.", columns=columns)
    return outcome


def of_other_classes(z: Tensor, classes: Tensor, base: Tensor, base_classes: Tensor) -> Tensor:
    """Return the rows of the nearest codes whose class is another, int64 [Q, FOUND]."""
    found = torch.empty(len(z), FOUND, dtype=torch.long)
    for label in torch.unique(classes):
        mine, others = classes == label, (base_classes != label).nonzero()[:, 0]
        found[mine] = others[nearest(z[mine], base[others], FOUND).rows]
    return found


# --- k: the training images nearest to samples, to see that samples are no copies

SAME_CLASS = 0.5  # of the samples at least, whose nearest training image is of their class
OTHERWISE = 0.5  # of the attributes in which two images of a person differ
COPY = 0.5  # a copy lies less than this share as far from its original as from the next image


def copies(request: Request) -> Outcome:
    """Search the train split for the images nearest to samples, and, for comparison, to held-out images."""
    context, model, protocol = looked_at(request)
    made, (real, _) = samples(model, torch.arange(IMAGES) % len(context.classes)), context.images(most=IMAGES)
    rows = context.data.indices("train")
    figures, near = {}, {}
    for name, images in (("samples", made), ("held-out images", real)):
        near[name] = nearest_images(to_bytes(images), context.data.images, rows, FOUND)
        ratio = ratios(near[name].distances)
        figures[f"median distance, {name}"] = float(near[name].distances[:, 0].median())
        figures[f"least ratio, {name}"] = float(ratio.min())
        figures[f"median ratio, {name}"] = float(ratio.median())
    theirs = context.data.batch(rows[near["samples"].rows[:, 0].numpy()])[1].argmax(1)
    same = (theirs == torch.arange(IMAGES) % len(context.classes)).double().mean()
    figures["nearest image of the sample's class"] = float(same)
    figures["of its class by chance"] = 1 / len(context.classes)
    judge = judge_for(faces.SCHEMA, model.image_size, model.device)
    if judge is not None and context.data.factors is not None:
        nearest_one = context.data.batch(rows[near["samples"].rows[:, 0].numpy()])[0]
        base, random = labels_of(context.data, rows), torch.Generator().manual_seed(0)
        # One image of the sample's class, drawn at random.
        others = [pick(base, label, random) for label in (torch.arange(IMAGES) % len(context.classes)).tolist()]
        any_one = context.data.batch(rows[others])[0]
        seen = [decisions(judge(each), faces.SCHEMA) for each in (made, nearest_one, any_one)]
        figures["attributes otherwise than in the nearest"] = float((seen[0] != seen[1]).double().mean())
        figures["attributes otherwise than in any image of the class"] = float((seen[0] != seen[2]).double().mean())
    outcome = outcome_of("copies", copies_claims(figures), figures, protocol, count=len(rows))
    lines = []
    for sample in range(SHOWN):
        found, _ = context.data.batch(rows[near["samples"].rows[sample].numpy()])
        lines.append(torch.cat([made[sample : sample + 1], found]))
    outcome.sheet("nearest", lines, columns=["sample", *(str(rank) for rank in range(1, FOUND + 1))])
    return outcome


def ratios(distances: Tensor) -> Tensor:
    """Return the distance to the nearest as a share of that to the second nearest, [Q]; 0 where an image is equal."""
    return distances[:, 0] / distances[:, 1].clamp_min(1e-9)


def pick(labels: Tensor, label: int, random: torch.Generator) -> int:
    """Return a row of a class, drawn at random."""
    own = (labels == label).nonzero()[:, 0]
    return int(own[torch.randint(len(own), (1,), generator=random)])


def copies_claims(figures: dict[str, float]) -> list[Claim]:
    """Return what the paper shows, held against the figures of the one model."""
    nearest_one, any_one = (
        figures.get(f"attributes otherwise than in {which}", float("nan"))
        for which in ("the nearest", "any image of the class")
    )
    return [
        claim("copies", "copy", figures["least ratio, samples"], COPY, distance=figures["median distance, samples"],
              others=figures["median distance, held-out images"], ratio=figures["least ratio, held-out images"]),
        claim("copies", "person", figures["nearest image of the sample's class"], SAME_CLASS, counted=IMAGES,
              chance=figures["of its class by chance"]),
        claim("copies", "attributes", nearest_one, any_one, counted=IMAGES, times=OTHERWISE),
    ]  # fmt: skip
