"""Broken inputs, each with what must be said about it."""

from .case import Case, Kit, Outcome, judge, make_kit, run_case
from .commands import COMMANDS
from .data import DATA
from .images import IMAGES
from .labels import LABELS
from .models import MODELS
from .places import PLACES
from .recipes import RECIPES
from .runs import RUNS

CASES: tuple[Case, ...] = (*COMMANDS, *IMAGES, *LABELS, *DATA, *RECIPES, *MODELS, *RUNS, *PLACES)

__all__ = ["CASES", "Case", "Kit", "Outcome", "judge", "make_kit", "run_case"]
