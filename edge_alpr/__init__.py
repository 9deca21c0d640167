"""edge-alpr: an in-car number-plate reader. A drive goes in, one notification per plate comes out."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("edge-alpr")  # of the tag that the wheel was built at; of a linked tree, when it was linked
except PackageNotFoundError:
    __version__ = "0.0.0"  # a tree that nobody installed
