"""The shipped models, each an ONNX file with its card."""
