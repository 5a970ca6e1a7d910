"""A picture to draw plots on: rectangles, curves and short texts, without a graphics library."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Place = tuple[int, int, int, int]
GLYPH_WIDTH, GLYPH_HEIGHT, _ADVANCE = 5, 7, 6
# Seven rows of five pixels each, the highest bit at the left.
_GLYPHS = {
    "A": "0E11111F111111", "B": "1E11111E11111E", "C": "0E11101010110E", "D": "1E11111111111E",
    "E": "1F10101E10101F", "F": "1F10101E101010", "G": "0E11101711110E", "H": "1111111F111111",
    "I": "0E04040404040E", "J": "0101010111110E", "K": "11121418141211", "L": "1010101010101F",
    "M": "111B1515111111", "N": "11191513111111", "O": "0E11111111110E", "P": "1E11111E101010",
    "Q": "0E11111115120D", "R": "1E11111E141211", "S": "0F10100E01011E", "T": "1F040404040404",
    "U": "1111111111110E", "V": "11111111110A04", "W": "111111151515" "0A", "X": "11110A040A1111",
    "Y": "11110A04040404", "Z": "1F01020408101F", "0": "0E11131519110E", "1": "040C040404040E",
    "2": "0E11010608101F", "3": "1E01010E01011E", "4": "02060A121F0202", "5": "1F101E0101110E",
    "6": "0608101E11110E", "7": "1F010204080808", "8": "0E11110E11110E", "9": "0E11110F01020C",
    ".": "00000000000C0C", ",": "00000000" "0C0408", ":": "000C0C000C0C00", "-": "0000000E000000",
    "_": "0000000000001F", "+": "0004041F040400", "%": "18190204081303", "(": "02040808080402",
    ")": "08040202020408", "/": "01010204081010", "<": "02040810080402", ">": "08040201020408",
    "'": "04040800000000", "=": "00001F001F0000", " ": "00000000000000",
}  # fmt: skip


class Canvas:
    """(4, H, W) uint8 RGBA picture, opaque."""

    def __init__(self, width: int, height: int, colour: Colour) -> None:
        self.pixels = np.full((4, height, width), 255, dtype=np.uint8)
        self.fill((0, 0, width, height), colour)

    def fill(self, place: Place, colour: Colour) -> None:
        """Paints x, y, width, height; what lies outside the picture is left out."""
        x, y, width, height = place
        rows, cols = slice(max(y, 0), max(y + height, 0)), slice(max(x, 0), max(x + width, 0))
        self.pixels[:3, rows, cols] = np.array(colour, dtype=np.uint8)[:, None, None]

    def paste(self, picture: NDArray[np.uint8], x: int, y: int) -> None:
        """Puts (4, h, w) RGBA at x, y; transparent pixels leave what is there."""
        _, height, width = picture.shape
        part = self.pixels[:3, y : y + height, x : x + width]
        part[...] = np.where(picture[3] > 0, picture[:3], part)

    def text(self, words: str, x: int, y: int, colour: Colour, scale: int = 1) -> None:
        """Writes capitals, the first one's upper left corner at x, y."""
        for number, letter in enumerate(words.upper()):
            for row, bits in enumerate(bytes.fromhex(_GLYPHS.get(letter, _GLYPHS["-"]))):
                for col in range(GLYPH_WIDTH):
                    if bits >> (GLYPH_WIDTH - 1 - col) & 1:
                        left = x + (number * _ADVANCE + col) * scale
                        self.fill((left, y + row * scale, scale, scale), colour)

    def curve(
        self, values: NDArray[np.float64], place: Place, limits: tuple[float, float], colour: Colour
    ) -> None:
        """Draws values over the place's width; a column spans all the values in it."""
        x, y, width, height = place
        low, high = limits
        heights = (high - np.clip(values, low, high)) / (high - low) * (height - 1)
        for col in range(width):
            first = col * len(values) // width
            last = max((col + 1) * len(values) // width, first + 1)
            span = heights[first : last + 1]
            span = span[np.isfinite(span)]
            if len(span):
                top, bottom = round(span.min()), round(span.max())
                self.fill((x + col, y + top, 1, max(bottom - top, 1)), colour)


def text_width(words: str, scale: int = 1) -> int:
    """Pixels that ``Canvas.text`` takes."""
    return (len(words) * _ADVANCE - 1) * scale
