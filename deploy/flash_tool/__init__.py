"""Flashes a board at the bench: NVIDIA's initrd flash with two root file systems and a data partition."""
