"""Rasters: open, align on one grid, read windows, write mosaics."""
