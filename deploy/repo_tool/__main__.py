"""Run as a command: typed errors become one line and exit code 2."""

from __future__ import annotations

import sys


def main() -> None:
    """What `deploy/repo` starts."""
    try:
        from deploy.repo_tool.commands import app  # noqa: PLC0415
    except ModuleNotFoundError as error:
        print(f"deploy/repo: {error.name} is not installed: pip install -e '.[repo]'", file=sys.stderr)
        sys.exit(2)
    from edge_alpr.errors import EdgeAlprError  # noqa: PLC0415

    try:
        app(prog_name="deploy/repo")
    except EdgeAlprError as error:
        print(f"deploy/repo: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
