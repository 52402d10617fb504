"""`python -m auditor_flows`: what `auditor serve` turns into.

The `auditor` package never imports the flows; its command replaces itself by this process.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from auditor.errors import AuditorError
from auditor.formats.escape import terminal
from auditor_flows.serving import serve


def main() -> int:
    """Serve until Ctrl-C; 0 then, 2 for a set-up that cannot be used."""
    parser = argparse.ArgumentParser(prog="auditor serve")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--interval", type=int)
    parser.add_argument("--cron")
    given = parser.parse_args()
    try:
        serve(config=given.config, interval=given.interval, cron=given.cron)
    except AuditorError as error:
        sys.stderr.write(f"auditor: {terminal(str(error), 1000)}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
