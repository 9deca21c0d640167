"""The boot test in qemu: see ../boot."""
