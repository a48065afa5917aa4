"""Our engines beside those that others would use for the same work, over one finished study; results must be
equal: of the responses every row, of the rules the number of failing rows.

    python benchmarks/peers/compare.py HOME

Prints processor and wall seconds, and the processor time of ours as a multiple of the peer's: below 1 we are cheaper.
Each engine runs in a process of its own, over tables in memory, without its imports.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
WORK = {
    "RECIST responses, both series, with reasons": ("recist.py", ("pandas", "polars")),
    "thirty rules": ("rules.py", ("gx",)),
}
NAMES = {"gx": "Great Expectations on pandas", "ours": "restage"}


def measured(script: str, home: Path, engine: str) -> dict[str, Any]:
    """What one engine took and counted; ends here when it fails."""
    command = [sys.executable, str(HERE / script), str(home), engine]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{script} {engine}: {done.stderr.strip()}")
    return dict(json.loads(done.stdout))


def compare(home: Path) -> None:
    for what, (script, peers) in WORK.items():
        found = {engine: measured(script, home, engine) for engine in ("ours", *peers)}
        ours = found["ours"]
        print(f"\n{what}: {sum(ours['counts'].values()):,} rows, the same by all")
        for engine, one in found.items():
            different = sorted(k for k, _ in set(one["counts"].items()) ^ set(ours["counts"].items()))
            if different:
                sys.exit(f"{engine} and ours differ in {', '.join(different)}")
            ratio = "" if one is ours else f"   ours / this: {ours['cpu'] / one['cpu']:.2f}"
            name = NAMES.get(engine, engine)
            print(f"  {name:28} {one['cpu']:8.2f} s cpu {one['wall']:8.2f} s wall{ratio}")


if __name__ == "__main__":
    compare(Path(sys.argv[1]).resolve())
