"""Paired rasters, read as tensors."""
