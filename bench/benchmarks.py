"""`make bench`: runs each part with a private PostgreSQL and Redis of its own, then writes docs/benchmarks.md."""

import os
import subprocess
import sys
import time
from pathlib import Path

from report import ORDER
from report import main as write_report

HERE = Path(__file__).parent


def main() -> int:
    chosen = os.environ.get("PARTS", "").split() or ORDER
    if unknown := set(chosen) - set(ORDER):
        print(f"there is no part {' '.join(sorted(unknown))}; there are: {' '.join(ORDER)}", file=sys.stderr)
        return 2
    failed = []
    for part in chosen:
        print(f"=== {part}", flush=True)
        start = time.monotonic()
        servers = [sys.executable, "deploy/local/servers.py", "run", "--temporary", "--durable", "--"]
        status = subprocess.call([*servers, sys.executable, f"bench/parts/{part}.py"], cwd=HERE.parent)
        print(f"=== {part}: {'done' if status == 0 else 'FAILED'} in {time.monotonic() - start:.0f} s", flush=True)
        if status:
            failed.append(part)
    write_report()
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
