"""axes fit, axes add, axes show; studio, export; quickstart, doctor, attributes."""

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from attrimorph.cli.app import FIND, USE, Device, ModelName, Whole, app, chosen, speaks
from attrimorph.errors import AttrimorphError, extra
from attrimorph.requests import DEFAULT_MODEL

if TYPE_CHECKING:
    from attrimorph.evaluators.judge import Judge, OwnClassifier
    from attrimorph.models.model import Model

axes_app = App(name="axes", help="Find latent directions (axes) that change one attribute each.", group=USE)
app.command(axes_app)

Generator = Annotated[str, Parameter(help="A run folder, a model file, a shipped model, or a .onnx or .pt2 file.")]
Pack = Annotated[Path | None, Parameter(help="The axis pack; by default beside the model, or in runs/axes.")]
SHIPPED = ("portraits-128", DEFAULT_MODEL, "homointerp-drawn-64", "discvae-drawn-64", "pggan-drawn-64")
"""What opens when nothing is named: the shipped models, the first of them shown."""
REACHED = "edit.target_reached"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class LookOptions:
    """How every verb of axes looks at a generator's pictures."""

    judge: Annotated[
        str | None, Parameter(help="An attribute classifier (judge) or a model with one; by default the shipped one.")
    ] = None
    values: Annotated[
        Literal["-1..1", "0..1", "0..255"], Parameter(help="The range of the images of a .onnx or .pt2 file.")
    ] = "-1..1"
    run_program: Annotated[
        bool, Parameter(help="Run the .pt2 file that is named: a program that may do whatever you may. Prefer .onnx.")
    ] = False
    device: Device = "auto"

    def generator(self, model: str) -> "Model":
        """Return the generator of that name."""
        from attrimorph.applications.axes.choosing import generator_named

        return generator_named(model, chosen(self.device), values=self.values, program=self.run_program)

    def judge_of(self, generator: "Model") -> "Judge | OwnClassifier":
        """Return who judges its pictures."""
        from attrimorph.applications.axes.choosing import judge_named

        return judge_named(self.judge, generator)


LOOK = LookOptions()


@axes_app.command
def fit(
    model: Generator,
    /,
    *,
    attributes: str | None = None,
    labels: Path | None = None,
    samples: Whole = 50_000,
    method: Literal["linear", "ridge", "logistic"] = "linear",
    link: Literal["arctanh", "none"] = "arctanh",
    seed: Whole = 0,
    out: Pack = None,
    look: LookOptions = LOOK,
) -> None:
    """Draw codes, generate, judge, and fit one axis for each attribute, a straight and a curved one.

    Interrupted while it draws, the same command goes on.

    Parameters
    ----------
    attributes
        Which, with commas: Smiling,Young; by default all that the attribute classifier knows and sees vary.
    labels
        A table of labels that people gave to drawn pictures, in place of a judge.
    samples
        How many codes are drawn.
    method
        Least squares, ridge regression, or logistic regression.
    link
        What least squares and ridge aim at: arctanh of the classifier's outputs, as in TL-GAN, or the outputs.
    seed
        Of the codes.
    """
    from attrimorph.applications.axes import save_pack
    from attrimorph.applications.axes.choosing import pack_path
    from attrimorph.applications.axes.fitting import FitOptions, fit_axes, judged_by, labelled, with_curved
    from attrimorph.console import Meter, table
    from attrimorph.files import beside
    from attrimorph.models.batches import sharing
    from attrimorph.requests import parse_names
    from attrimorph.training import processes, world

    if labels is not None and look.judge is not None:
        raise AttrimorphError("either --judge or --labels must be given, not both; leave one out")
    path = out or pack_path(model)
    with processes(), sharing(), Meter("drawing and judging") as meter:
        generator = look.generator(model)
        if labels is not None:
            judged = labelled(generator, labels, seed=seed)
        else:
            # Several processes could not agree where they stopped.
            kept, told = path if world() == 1 else None, meter.update if speaks() else None
            judged = judged_by(
                generator, look.judge_of(generator), count=samples, seed=seed, progress=told, result=kept
            )
    if not speaks():
        return
    names = None if attributes is None else parse_names(attributes)
    pack = fit_axes(generator, judged, names, FitOptions(method, link))
    try:
        with Meter("fitting curved axes", "epochs") as meter:
            pack = with_curved(pack, judged, progress=meter.update)
    except AttrimorphError as error:
        # The straight ones are whole without them.
        print(f"no curved axes: {error}")
    except KeyboardInterrupt:
        save_pack(pack, path)
        print(f"the straight axes are in {path}", file=sys.stderr)
        raise
    save_pack(pack, path)
    beside(path).unlink(missing_ok=True)
    rows: list[tuple[str, ...]] = [
        (f"{axis.facts['expected when set']:.0%}", f"{axis.facts['expected when taken away']:.0%}", name)
        for name, axis in pack.axes.items()
    ]
    print(table(rows, ("set", "taken away", "attribute (expected to be seen so)")))
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in pack.about["seconds"].items())
    print(f"{spent}; {pack.about['samples']:,} pictures")
    if pack.curved is not None:
        print(f"the curved axes tell {pack.curved.explained:.0%} of the variance of what is said of others")
    print(path)


@axes_app.command
def add(
    model: Generator,
    name: str,
    /,
    *,
    examples: Path | None = None,
    positive: list[Path] | None = None,
    negative: list[Path] | None = None,
    by: Literal["features", "codes"] = "features",
    samples: Whole = 4_000,
    axes: Pack = None,
    look: LookOptions = LOOK,
) -> None:
    """Add an axis from a few labelled pictures, ten of each kind will do, and say how sure it is.

    Parameters
    ----------
    name
        Of the new attribute.
    examples
        A folder with two folders: with and without.
    positive
        Pictures with the attribute, or a folder of them.
    negative
        Pictures without it, or a folder of them.
    by
        features: the examples teach a probe that judges drawn pictures; codes: their own codes are separated.
    samples
        How many pictures are drawn for the probe.
    """
    from attrimorph.applications.axes import AxisPack, load_pack, save_pack
    from attrimorph.applications.axes.choosing import examples_in, find_pack, pack_path, pictures_of
    from attrimorph.applications.axes.examples import axis_from_codes, axis_from_examples, draw_pool, sentence
    from attrimorph.applications.inputs import encoder
    from attrimorph.console import Meter

    generator = look.generator(model)
    path = axes or pack_path(model)
    try:
        pack = load_pack(axes or find_pack(model))
    except AttrimorphError:
        if (axes or path).exists():
            raise
        pack = AxisPack(generator.hash, generator.recipe.name, {})
    pack.check(generator)
    if (examples is None) == (positive is None and negative is None):
        raise AttrimorphError("examples are given by --examples FOLDER, or by --positive and --negative; give one")
    if examples is not None:
        files = examples_in(examples)
    else:
        files = pictures_of(positive or []), pictures_of(negative or [])
    some, others = (generator.prepared(each) for each in files)
    if by == "codes":
        axis = axis_from_codes(generator, name, encoder(generator, "axes add --by codes").encode, some, others)
    else:
        who = look.judge_of(generator)
        named = f"features of {who.name}"
        with Meter("drawing and judging") as meter:
            pool = draw_pool(generator, who.features, by=named, count=samples, progress=meter.update)
        axis = axis_from_examples(generator, name, who.features, some, others, by=named, pool=pool)
    save_pack(pack.with_axis(axis), path)
    print(sentence(axis))
    print(path)


@axes_app.command
def show(
    model: Generator,
    /,
    *,
    axes: Pack = None,
    lock: str | None = None,
    out: Path = Path("runs/axes"),
    look: LookOptions = LOOK,
) -> None:
    """Write a page: overlap before and after untangling, response of each axis, strips of pictures.

    Parameters
    ----------
    lock
        Attributes that are locked, with commas; by default all but the edited one.
    out
        The folder of the page.
    """
    from attrimorph.applications.axes import load_pack
    from attrimorph.applications.axes.choosing import find_pack
    from attrimorph.console import Meter
    from attrimorph.reproductions.axes_report import write_axes_report
    from attrimorph.requests import parse_names

    generator = look.generator(model)
    pack = load_pack(axes or find_pack(model))
    locks = None if lock is None else parse_names(lock)
    pack.rows(locks or [])
    with Meter("moving along axes", "axes") as meter:
        page = write_axes_report(generator, pack, look.judge_of(generator), out, locks=locks, progress=meter.update)
    print(page)


@app.command(group=USE)
def studio(
    *models: Annotated[str, Parameter(help="Run folders, model files or shipped models; by default the shipped ones.")],
    port: Whole | None = None,
    host: str = "127.0.0.1",
    no_label: bool = False,
    certificate: Path | None = None,
    key: Path | None = None,
    runs: Path = Path("runs"),
    data: list[Path] | None = None,
    training: Annotated[bool | None, Parameter(negative="--no-training")] = None,
    open_: Annotated[bool, Parameter(name="--open")] = False,
    device: Device = "auto",
) -> None:
    """Open a page with sliders on this machine: move one, and the face follows.

    Who asks it must know its token, which stands in the printed address: a new one each time, or the word of at
    least 16 letters and digits in the environment variable ATTRIMORPH_TOKEN.

    Parameters
    ----------
    port
        Where it listens; by default the first free one from 8710 on.
    host
        The address that it listens on; 0.0.0.0 lets other machines in, who know the token.
    no_label
        Leave out of saved pictures what says that they were edited: text tag, XMP and Content Credentials.
    certificate
        A PEM file with the certificates that sign Content Credentials (extra `c2pa`), the signing one first; without
        one nothing is signed.
    key
        A PEM file with the private key of the certificate.
    runs
        The folder of trainings that the page shows.
    data
        A folder with data that trainings begun on the page may learn from; as often as there are such folders.
    training
        Whether trainings can be seen, started and stopped on the page; by default with a --host of this machine alone.
    open
        Open the page in this machine's browser.
    """
    from attrimorph.models import shipped

    with extra("studio", "the studio"):
        from attrimorph.applications.provenance import signature_of
        from attrimorph.studio.access import checked_token, is_loopback
        from attrimorph.studio.connections import listen, serve
        from attrimorph.studio.server import create_app, open_page
    token = checked_token(os.environ)
    served = create_app(
        models or [name for name in SHIPPED if name in shipped()],
        device=chosen(device),
        host=host,
        token=token,
        label=not no_label,
        signature=signature_of(certificate, key),
        runs=runs if (is_loopback(host) if training is None else training) else None,
        data=data or (),
    )
    at = listen(host, port)
    entrance = f"http://{f'[{host}]' if ':' in host else host}:{at.getsockname()[1]}/?token={token}"
    with tempfile.TemporaryDirectory() as own:

        def ready() -> None:
            print(f"the studio is open: {entrance}  (stop it with Ctrl+C)", flush=True)
            if open_:
                open_page(entrance, Path(own))

        serve(served, at, ready)
    print("the studio is closed", flush=True)


@app.command(group=USE)
def export(
    model: ModelName = DEFAULT_MODEL, /, *, out: Path, part: Literal["generator", "encoder", "classifier"] = "generator"
) -> None:
    """Write a part of a model as a program for other runtimes, and check it against the model's own output.

    Parameters
    ----------
    out
        A .pt2 file (torch.export) or an .onnx file (needs the extra `export`).
    part
        generator: z and attributes to images; encoder: images and attributes to z; classifier: images to probabilities.
    """
    from attrimorph.hub import export as write
    from attrimorph.loading import load

    written = write(load(model), out, part=part)
    for name, shape in (*written.inputs.items(), *written.outputs.items()):
        print(f"{name}: float32 [{', '.join(['batch', *map(str, shape[1:])])}]")
    print(f"it differs from the model by at most {written.difference:.1e}")
    print(written.path)


@app.command(group=FIND)
def quickstart(*, out: Path = Path("runs/quickstart")) -> None:
    """Draw faces, train on them, measure, edit, and write a report: minutes on two cores.

    Parameters
    ----------
    out
        The folder for it all.
    """
    from attrimorph.reproductions.quickstart import quickstart as run

    run(out, say=lambda line: print(line, flush=True))


@app.command(group=FIND)
def doctor() -> None:
    """Look at this machine: packages, speed, memory, disk, extras, models."""
    from attrimorph.doctor import examine

    bad = False
    for finding in examine():
        bad = bad or finding.bad
        print(f"{finding.name + ':':<19}{finding.text}", flush=True)
        if finding.remedy:
            print(f"{'':<19}-> {finding.remedy}")
    if bad:
        raise AttrimorphError("this installation cannot work as it is; see the arrows above")


@app.command(group=FIND)
def attributes(model: str = DEFAULT_MODEL, /, *, evaluation: Path | None = None, json: bool = False) -> None:
    """List a model's attributes: names, kinds, values, what it can change, and how well.

    Parameters
    ----------
    model
        A run folder, a model file or a shipped model; several CycleGANs with commas.
    evaluation
        What `attrimorph evaluate` wrote of this model, where the model's own file tells no figures.
    json
        Print JSON instead of a table.
    """
    from dataclasses import asdict
    from json import dumps

    from attrimorph.applications.axes.choosing import pack_of
    from attrimorph.applications.axes.editor import AxisEditor
    from attrimorph.loading import load
    from attrimorph.metrics.figures import card_figures
    from attrimorph.models.model import Edits, Moves, attributes_of
    from attrimorph.reproductions.evaluation import read_evaluation

    report = None if evaluation is None else read_evaluation(evaluation)
    loaded = load(model)
    if not isinstance(loaded, Edits) and (pack := pack_of(model)) is not None:
        loaded = AxisEditor(loaded, pack)
    if report is not None and report["about"].get("model sha256") != loaded.hash:
        raise AttrimorphError(f"{evaluation} was measured on another model than {model}; evaluate this one")
    figures, protocols = card_figures(loaded.card) if report is None else (report["figures"], report["protocols"])
    found = attributes_of(loaded, figures)
    if json:
        print(dumps([asdict(each) for each in found.facts], indent=2))
        return
    print(f"{loaded!r}"[1:-1])
    print(found)
    if any(each.reached_when_set is not None for each in found.facts):
        told = protocols.get(REACHED, "").removeprefix("mean over attributes; ")
        print(f"reached: share of edits after which it is so; {told}")
    elif isinstance(loaded, Moves):
        print(f"how well: attrimorph axes show {model}")
    elif any(each.edits for each in found.facts):
        print(f"how well: not measured; run attrimorph evaluate {model}, then add --evaluation with its folder")
    for topic, text in loaded.card.get("words", {}).items():
        print(f"{topic}: {text}")
