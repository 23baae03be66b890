"""The API keeps to its schema, as schemathesis sees it: a real studio, some 2,000 requests made from the schema.

schemathesis is a program of its own here (`make schema` sets it up): its plugin and pytest do not always go together.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import TINY
from tests.studio.browsing import TOKEN, studio

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
CONFIG = Path(__file__).parent / "schema.toml"
PROGRAM = "ATTRIMORPH_SCHEMATHESIS"


def test_the_api_keeps_to_its_schema(models: list[str], tmp_path: Path) -> None:
    program = os.environ.get(PROGRAM) or shutil.which("schemathesis")
    if program is None:
        pytest.skip(f"there is no schemathesis; run `make schema`, or name the program in {PROGRAM}")
    from attrimorph.cli import run

    assert run(["data", "synthetic", str(tmp_path / "data"), "--count", "40", "--size", "16"]) == 0
    # "0" is the first name that is tried, so that there is something to look at.
    words = [*TINY, "--data", str(tmp_path / "data"), "--out", str(tmp_path / "runs" / "0")]
    assert run(["train", "cvae-gan-edit", *words]) == 0
    with studio(tmp_path, *models) as (address, _):
        command = [
            program, "--config-file", str(CONFIG), "run", f"{address}/api/openapi.json", "--checks", "all",
            "--phases", "coverage,fuzzing", "--max-examples", "20", "--seed", "1", "--request-timeout", "60",
            "--header", f"Authorization: Bearer {TOKEN}",
            "--continue-on-failure", "--no-color",
        ]  # fmt: skip
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1500)
    print(found.stdout[-3000:])
    assert found.returncode == 0, found.stdout[-8000:] + found.stderr[-2000:]
