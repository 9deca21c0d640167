"""What keeps an installation up to date: `edge-alpr update`."""
