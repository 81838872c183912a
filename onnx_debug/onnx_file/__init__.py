"""ONNX files: loading and running them, comparing values, a light copy for display. Trial processes; display also where it is drawn."""
