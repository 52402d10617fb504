"""Where results are kept: the three roots, runs that appear whole or not at all, the site key.

A run is staged in private folders and then renamed into place. Nothing becomes visible before
the ledger has its verdict; whatever a killed process leaves is finished or removed by the next.
"""

from auditor.workspace.recovery import Journal, Recovered
from auditor.workspace.roots import Workspace
from auditor.workspace.stage import RunStage, Visible

__all__ = ["Journal", "Recovered", "RunStage", "Visible", "Workspace"]
