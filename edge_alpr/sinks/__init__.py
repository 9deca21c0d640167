"""Where events go: the store first, then everybody else."""
