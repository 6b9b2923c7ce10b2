"""The entropy-coded archive `.nwz`: an ONNX file in fewer bytes, given back bit for bit."""
