"""Checks that need a GPU, as one program: python -m export.gpu_checks (what each line means: docs/gpu-checks.md)."""
