"""How well plates are found, read and told, against labelled pictures and rides.

Scoring is pure: whoever calls hands over what was found in a picture or confirmed in a ride. What draws pictures
(`edge_alpr.evaluate.drawing`) wants matplotlib and is imported only where it is asked for.
"""

from edge_alpr.evaluate.calibration import Bin, Calibration, Statement, calibrate
from edge_alpr.evaluate.compare import Change, Comparison, Crossed, compare, pairs
from edge_alpr.evaluate.conditions import conditions
from edge_alpr.evaluate.dataset import kind_of, load_dataset, write_labels
from edge_alpr.evaluate.document import comparison_json, headlines, load_report, report_json, rides_json
from edge_alpr.evaluate.figures import GROUPS, Conditions, Figures, Outcome, figures
from edge_alpr.evaluate.labels import LabelledImage, LabelledPlate, Legibility
from edge_alpr.evaluate.overtime import OverTime, Sight, Totals, Tracked, over_time, sights, totals, tracked
from edge_alpr.evaluate.report import render_comparison, render_report, render_rides
from edge_alpr.evaluate.rides import Confirmed, Passage, RideReport, Told, WrongText, passages, score_events
from edge_alpr.evaluate.stills import (
    Failure,
    PlateFound,
    Report,
    Stray,
    Unreadable,
    evaluate_stills,
    score_image,
)

__all__ = [
    "GROUPS",
    "Bin",
    "Calibration",
    "Change",
    "Comparison",
    "Conditions",
    "Confirmed",
    "Crossed",
    "Failure",
    "Figures",
    "LabelledImage",
    "LabelledPlate",
    "Legibility",
    "Outcome",
    "OverTime",
    "Passage",
    "PlateFound",
    "Report",
    "RideReport",
    "Sight",
    "Statement",
    "Stray",
    "Told",
    "Totals",
    "Tracked",
    "Unreadable",
    "WrongText",
    "calibrate",
    "compare",
    "comparison_json",
    "conditions",
    "evaluate_stills",
    "figures",
    "headlines",
    "kind_of",
    "load_dataset",
    "load_report",
    "over_time",
    "pairs",
    "passages",
    "render_comparison",
    "render_report",
    "render_rides",
    "report_json",
    "rides_json",
    "score_events",
    "score_image",
    "sights",
    "totals",
    "tracked",
    "write_labels",
]
