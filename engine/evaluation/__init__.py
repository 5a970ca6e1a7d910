"""How good a result is: scores of images, of classes, of positions and dates, and of whole sets of images.

Pixel, class and set scores need NumPy alone; scores that look through a trained network need the extra
``evaluate`` and a file with that network's weights. Nothing here downloads.
"""
