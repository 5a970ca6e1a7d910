"""A seeded simulator of a small place on Earth: terrain, land cover, what Sentinel-1 and Sentinel-2 see.

The demo, the tests and the benchmarks run on it, so that none of them needs outside data. ``landscape``
erodes the terrain, ``settlements`` and ``land_cover`` put people and plants on it, ``radar`` looks at it from
the side, ``optical`` from above; ``scene`` is the main path.
"""
