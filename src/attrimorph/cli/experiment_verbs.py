"""experiment."""

from pathlib import Path

from attrimorph.cli.app import LAYOUT, MAKE, Device, Layout, Whole, app, chosen, seed_numbers, tell_stand_in


@app.command(group=MAKE)
def experiment(
    name: str | None = None,
    /,
    *,
    quick: bool = False,
    data: Path | None = None,
    layout: Layout = LAYOUT,
    classes: str | None = None,
    model: str | None = None,
    other_model: str | None = None,
    seeds: Whole | None = None,
    images: Whole | None = None,
    out: Path = Path("runs/experiments"),
    csv: Path | None = None,
    latex: Path | None = None,
    device: Device = "auto",
) -> None:
    """Repeat a figure or table of a paper: its picture, its numbers beside the published ones or our bars, verdicts.

    The same command goes on with an interrupted experiment.

    Parameters
    ----------
    name
        Which, by name or letter; without it they are listed. A paper's name, or all: one after another.
    quick
        The small form: minutes on two cores.
    data
        A prepared folder or a folder of images in any known layout; by default people are drawn. Attribute2Image's
        train on synthetic faces, these or others.
    classes
        The attribute that tells the classes, or identity; by default the first categorical one, or the identities.
    model
        A model of such data to look at, where one is needed, in place of training it; several with commas, where
        methods are compared.
    other_model
        A second one, where two are compared: the CVAE (drift), the GAN (inversion), the CVAE-GAN (completion), the
        GAN and the WGAN-GP with a comma (growing); who judges photographs of other data (photographs).
    seeds
        How many; by default 3, quick 1.
    images
        Length of every training in place of the recipe's.
    out
        The folder; results go to OUT/NAME, data and models that experiments share beside it.
    csv
        A file for all verdicts with their margins as a CSV table.
    latex
        A file for the same as a LaTeX tabular (booktabs).
    """
    from attrimorph.console import Meter, table
    from attrimorph.reproductions import EXPERIMENTS, names_of, runs

    if name is None:
        print(table([(each.paper, each.letter, key, each.about) for key, each in EXPERIMENTS.items()]))
        return
    layout.needs(data)
    names = names_of(name)
    from attrimorph.metrics.tables import Cell, check_tables, write_tables
    from attrimorph.reproductions.claims import COLUMNS, decide
    from attrimorph.reproductions.frame import FULL, QUICK, Request, write_outcome

    check_tables(csv, latex)
    if names != ["ring"]:  # points, no images
        tell_stand_in(data)
    rows: list[list[Cell]] = []
    does = runs()
    for each in names:
        with Meter(each) as meter:

            def show(what: str, done: int, total: int, unit: str = "images", meter: Meter = meter) -> None:
                meter.title, meter.unit = what, unit
                meter.update(done, total)

            request = Request(
                out=out,
                data=None if data is None else layout.of(data),
                classes=classes,
                model=model,
                other_model=other_model,
                seeds=seed_numbers(seeds or (1 if quick else 3)),
                form=QUICK if quick else FULL,
                images=images,
                device=chosen(device),
                say=meter.say,
                progress=show,
            )
            outcome = does[each](request)
            page = write_outcome(outcome, out)
        decisions = decide(outcome.claims)
        print(table([(one.verdict, one.claim.words, f"{one.claim.evidence}; {one.why}") for one in decisions]))
        rows += [[each, *decision.row()] for decision in decisions]
        print("\n".join(map(str, [*write_tables(("experiment", *COLUMNS), rows, csv, latex), page])))
