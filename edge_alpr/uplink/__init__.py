"""Links out of the car: MQTT, webhooks, metrics. A process of its own; the reader never waits for it."""
