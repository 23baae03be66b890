"""Give the command line broken inputs; does it answer each with one clear sentence, exit code 2 and no half a file?

    python benchmarks/broken_inputs.py [--only TEXT] [--verbose]

Every case is another input or another verb. Most run inside this process, for speed; those that need another user, a
limit or a clean start are processes of their own. A case passes when the exit code is 2, stderr holds one sentence that
starts with `attrimorph:` and names the culprit, there is no traceback, and every file that is new is complete. Prints
JSON; exits with 1 when any case fails.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import torch
from broken import CASES, judge, make_kit, run_case
from broken.places import let_go, unmount

MEMORY = 16 * 2**30  # what the whole process may take: a bomb then is an error, not the end of the machine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--verbose", action="store_true", help="show what each one says")
    options = parser.parse_args()
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
    os.environ.pop("ATTRIMORPH_TRACEBACK", None)
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    begin = time.monotonic()
    failed, skipped, clear, real = [], [], 0, 0
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        home.chmod(0o755)
        kit = make_kit(home / "kit")
        for number, case in enumerate(CASES):
            if options.only not in case.name:
                continue
            if case.needs:
                skipped.append(f"{case.name}: {case.needs}")
                continue
            folder = home / f"case{number}"
            folder.mkdir()
            try:
                outcome = run_case(case, kit, folder)
                wrong = judge(case, outcome)
                if list(home.rglob("OWNED")):
                    wrong.append("code from the file was run")
                said = outcome.err
            except Exception as error:
                wrong, said = [f"{type(error).__name__}: {error}"], ""
            finally:
                let_go()
                unmount(folder)
            clear += not wrong
            real += bool(case.real or case.prefix)
            if wrong:
                failed.append({"case": case.name, "wrong": wrong, "said": said[-1500:]})
            if wrong or options.verbose:
                verdict = "FAILED" if wrong else "ok"
                print(f"{verdict} {case.name}: {wrong or ''} {said.strip()[-600:]}", file=sys.stderr, flush=True)
    result = {
        "cases": clear + len(failed),
        "clear": clear,
        "failed": failed,
        "skipped": skipped,
        "as processes of their own": real,
        "minutes": round((time.monotonic() - begin) / 60, 1),
    }
    print(json.dumps(result, indent=2, ensure_ascii=False))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
