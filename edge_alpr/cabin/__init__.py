"""What is heard in the car: a process of its own, which watches the store. See `edge_alpr.cabin.run`."""
