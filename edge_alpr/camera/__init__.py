"""Frame sources: GStreamer pipelines and recorded frames."""
