"""edge-alpr: an in-car number-plate reader. A drive goes in, one notification per plate comes out."""

__version__ = "0.1.0"
