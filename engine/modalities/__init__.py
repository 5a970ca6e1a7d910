"""Physical rasters to the range of a joint diffusion model and back. No torch, apart from ``published``."""
