"""The workstation tool that makes a release of a clean tree at a tag, and checks one that was made."""
