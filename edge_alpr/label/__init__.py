"""The page where a person marks plates: corners first, then texts. What it writes is a data set for `training/`."""
