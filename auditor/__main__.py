"""`python -m auditor`."""

import sys

# Python looks into the working directory first, where the data of strangers may lie: a `typer.py`
# among it would run. `python -P` leaves it out by itself.
if not sys.flags.safe_path:
    del sys.path[0]

from auditor.cli import main

main()
