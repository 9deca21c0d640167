"""What this device can do, and what is missing with the command that mends it."""

from edge_alpr.doctor.examine import PROBES, Probe, examine, render, worst
from edge_alpr.doctor.finding import Finding, Status

__all__ = ["PROBES", "Finding", "Probe", "Status", "examine", "render", "worst"]
