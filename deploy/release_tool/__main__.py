"""`python -m release_tool`, as `scripts/release` runs it."""

from release_tool.commands import main

if __name__ == "__main__":
    main()
