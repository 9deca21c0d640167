"""What can go wrong at the server side."""

from __future__ import annotations

from edge_alpr.errors import EdgeAlprError


class RepoError(EdgeAlprError):
    """What is asked cannot be done; what is served is as it was."""


class KeyUnreachableError(RepoError):
    """A key is not here: its file or token is elsewhere."""
