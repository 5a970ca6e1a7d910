"""EO Translate engine: headless inference. Never imports qgis or training."""

__version__ = "0.1.0"
