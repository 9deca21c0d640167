"""`edge-alpr build`: compile the networks for this board, and prove each plan before it is used."""
