"""`python -m flash_tool`, as `deploy/flash` runs it."""

from flash_tool.commands import main

if __name__ == "__main__":
    main()
