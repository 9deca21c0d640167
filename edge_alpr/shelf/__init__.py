"""The verb `models`: list, verify, compare and swap model packages."""
