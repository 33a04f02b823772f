"""Models in ONNX files: black boxes that judge."""
