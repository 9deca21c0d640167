"""Model sets in a drive that runs: another one reads from some frame on, or reads beside, on trial."""

from edge_alpr.hotswap.renewal import Renewal
from edge_alpr.hotswap.shadow import Shadow

__all__ = ["Renewal", "Shadow"]
