"""The command line: parse, call, print. What the verbs do is done elsewhere."""

from attrimorph.cli import making, measuring, using  # noqa: F401 - which put their verbs into the app
from attrimorph.cli.app import app, main, run

__all__ = ["app", "main", "run"]
