"""What goes on beside the drive: hard examples kept for training, and the watch on drift."""
