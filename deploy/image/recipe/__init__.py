"""The recipe of the image: see ../build."""
