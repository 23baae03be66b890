"""The documents do not drift: tables come from the code, commands exist, links lead somewhere."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from attrimorph.cli import app
from attrimorph.data.readers import FORMATS
from attrimorph.methods.cvae_gan.recipe import METHODS, Method
from attrimorph.methods.logged import FIGURES, NETWORKS
from attrimorph.methods.recipes import RECIPES

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COLUMNS = ("classifier", "discriminator", "generator", "encoder", "code_discriminator", "code_classifier")
HEAD = "| method | C learns from | D | G | E | of codes | notes |"


def row(name: str, method: Method) -> str:
    """One line of the table in docs/methods.md."""
    cells = [" ".join(f"`{term.loss}`" for term in method.terms if column in term.learns) for column in COLUMNS]
    notes = [
        "" if method.conditional else "unconditional",
        "D is given y" if method.judged_with_condition else "",
        f"{method.critic_steps} steps of D" if method.critic_steps > 1 else "",
        f"D clipped to {method.clip:g}" if method.clip else "",
        "RMSProp" if method.optimiser == "rmsprop" else "",
        "a class head on D's trunk" if method.class_head else "",
        f"D compares means and {method.components} components of covariances" if method.components else "",
        f"{len(method.phases)} phases in turn" if method.phases else "",
    ]
    cells[4:] = [" ".join(cell for cell in cells[4:] if cell)]
    return f"| `{name}` | {' | '.join(cells)} | {', '.join(note for note in notes if note)} |"


def family_table() -> str:
    return "\n".join([HEAD, "|---|---|---|---|---|---|---|", *(row(name, method) for name, method in METHODS.items())])


def test_the_family_table_is_the_code() -> None:
    page = (ROOT / "docs" / "methods.md").read_text()
    assert family_table() in page, "docs/methods.md must hold this table:\n" + family_table()


def figure_table() -> str:
    """The table of the log's figures in docs/methods.md."""
    rows = [
        f"| `{name}` | {each.words} | {each.learns or '-'} | {each.meaning} | {each.healthy} |"
        for name, each in FIGURES.items()
    ]
    return "\n".join(
        ["| in the log | with the bar | learns | what it is | goes well |", "|---|---|---|---|---|", *rows]
    )


def test_the_table_of_the_logs_figures_is_the_code() -> None:
    page = (ROOT / "docs" / "methods.md").read_text()
    assert figure_table() in page, "docs/methods.md must hold this table:\n" + figure_table()
    assert " ".join(NETWORKS.split()) in " ".join(page.split())


def commands(page: Path) -> Iterator[list[str]]:
    """Every attrimorph command of a page, in a bash block or indented."""
    text = page.read_text()
    lines = [line for block in re.findall(r"```bash\n(.*?)```", text, flags=re.S) for line in block.splitlines()]
    lines += [line[4:] for line in text.splitlines() if line.startswith("    ")]
    for line in lines:
        if line.startswith("attrimorph "):
            yield shlex.split(line, comments=True)[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_parses(page: Path) -> None:
    for words in commands(page):
        if "VERB" in words or "PATH" in words:
            continue
        app.parse_args(words, exit_on_error=False, print_error=False)
        if words[0] == "train" and not words[1].endswith(".yaml"):
            assert words[1] in RECIPES


def test_every_verb_and_format_is_told() -> None:
    verbs = (ROOT / "docs" / "command-line.md").read_text()
    for verb in [name for name in app if not name.startswith("-") and name != "data"]:
        assert f"`{verb}" in verbs, verb
    layouts = (ROOT / "docs" / "data.md").read_text()
    for name in FORMATS:
        assert f"`{name.partition('-')[0]}`" in layouts, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"<!--.*?-->", "", page.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
