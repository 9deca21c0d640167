"""The sample drive that ships with the package."""
