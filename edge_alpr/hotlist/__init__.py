"""Hot lists: plates to look for, and how sure it is that a read is one of them. See docs/hotlists.md."""
