#!/usr/bin/env python3
"""Draws claim-light.svg and claim-dark.svg, the picture at the top of README.md, beside this script.

    python3 docs/images/make_claim.py

Only the standard library is needed. The digit is a real one (tests/fixtures/digits); its noise levels lie in the
intervals that configs/quickstart.yaml gives its four blocks. Equal input gives equal files.
"""

import gzip
import pathlib
import random
import struct

HERE = pathlib.Path(__file__).resolve().parent
DIGITS = HERE.parents[1] / "tests/fixtures/digits/train-images-idx3-ubyte.gz"
DIGIT = 2  # which image of the file

# Edges of four blocks by equal probability, and a level inside each to draw (blocks/noise/schedule.hpp).
INTERVALS = (("80", "0.677", 1.6), ("0.677", "0.301", 0.6), ("0.301", "0.134", 0.28), ("0.134", "0.002", 0.08))

THEMES = {
    "light": dict(ink="#1f2328", soft="#59636e", line="#d1d9e0", box="#f6f8fa", forward="#0969da", backward="#cf222e",
                  good="#1a7f37"),
    "dark": dict(ink="#f0f6fc", soft="#9198a1", line="#3d444d", box="#151b23", forward="#4493f8", backward="#f85149",
                 good="#3fb950"),
}
WIDTH, HEIGHT = 1000, 500
TILE, BOX_WIDTH, BOX_HEIGHT = 56, 150, 60
ROWS = tuple(96 + 96 * i for i in range(4))  # upper edges of the boxes
PIXEL = TILE / 8


def read_digit():
    """Pixels of the chosen image, in [-1, 1]."""
    data = gzip.decompress(DIGITS.read_bytes())
    _, count, height, width = struct.unpack(">IIII", data[:16])
    assert (height, width) == (8, 8) and DIGIT < count
    return [b / 255 * 2 - 1 for b in data[16 + 64 * DIGIT:16 + 64 * (DIGIT + 1)]]


class Drawing:
    def __init__(self, theme):
        self.c = theme
        self.parts = []

    def add(self, text):
        self.parts.append(text)

    def text(self, x, y, words, size=14, color="ink", anchor="middle", weight="normal"):
        self.add(f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{self.c[color]}" text-anchor="{anchor}" '
                 f'font-weight="{weight}">{words}</text>')

    def box(self, x, y, title, detail):
        self.add(f'<rect x="{x:g}" y="{y:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8" fill="{self.c["box"]}" '
                 f'stroke="{self.c["line"]}" stroke-width="1.5"/>')
        self.text(x + BOX_WIDTH / 2, y + 26, title, 15, weight="600")
        self.text(x + BOX_WIDTH / 2, y + 46, detail, 13, "soft")

    def arrow(self, x1, y1, x2, y2, color, width=2.5):
        length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
        ux, uy = (x2 - x1) / length, (y2 - y1) / length
        bx, by = x2 - 9 * ux, y2 - 9 * uy
        self.add(f'<line x1="{x1:g}" y1="{y1:g}" x2="{bx:g}" y2="{by:g}" stroke="{self.c[color]}" '
                 f'stroke-width="{width}"/>')
        self.add(f'<polygon points="{x2:g},{y2:g} {bx - 5 * uy:g},{by + 5 * ux:g} {bx + 5 * uy:g},{by - 5 * ux:g}" '
                 f'fill="{self.c[color]}"/>')

    def tile(self, x, y, pixels):
        for i, value in enumerate(pixels):
            level = round((min(max(value, -1.0), 1.0) + 1) * 127.5)
            self.add(f'<rect x="{x + PIXEL * (i % 8):g}" y="{y + PIXEL * (i // 8):g}" width="{PIXEL + 0.3:g}" '
                     f'height="{PIXEL + 0.3:g}" fill="#{level:02x}{level:02x}{level:02x}"/>')
        self.add(f'<rect x="{x:g}" y="{y:g}" width="{TILE}" height="{TILE}" fill="none" stroke="{self.c["line"]}"/>')


def noisy(clean, sigma, numbers):
    return [p + sigma * n for p, n in zip(clean, numbers)]


def draw(theme, clean, numbers):
    d = Drawing(theme)
    d.text(240, 32, "End to end", 20, weight="600")
    d.text(240, 56, "one loss; every step crosses all GPUs, there and back", 14, "soft")
    d.text(750, 32, "blocktrain", 20, weight="600")
    d.text(750, 56, "a loss, a noise interval and an update for each block", 14, "soft")
    d.add(f'<line x1="490" y1="16" x2="490" y2="{HEIGHT - 16}" stroke="{theme["line"]}"/>')

    x = 165
    for i, y in enumerate(ROWS):
        d.box(x, y, f"GPU {i}", f"layers {2 * i} and {2 * i + 1}")
        if i < 3:
            d.arrow(x + 55, y + BOX_HEIGHT, x + 55, ROWS[i + 1], "forward")
            d.arrow(x + 95, ROWS[i + 1], x + 95, y + BOX_HEIGHT, "backward")
            d.text(x + 45, y + BOX_HEIGHT + 23, "activations", 13, "forward", "end")
            d.text(x + 105, y + BOX_HEIGHT + 23, "gradients", 13, "backward", "start")
    middle = TILE / 2 - BOX_HEIGHT / 2
    d.tile(52, ROWS[0] - middle, noisy(clean, 0.6, numbers[0]))
    d.arrow(114, ROWS[0] + 30, x - 4, ROWS[0] + 30, "forward")
    d.arrow(x + BOX_WIDTH + 2, ROWS[3] + 20, 366, ROWS[3] + 20, "forward")
    d.arrow(366, ROWS[3] + 40, x + BOX_WIDTH + 4, ROWS[3] + 40, "backward")
    d.tile(372, ROWS[3] - middle, clean)

    x = 690
    for i, (high, low, sigma) in enumerate(INTERVALS):
        y = ROWS[i]
        d.tile(584, y - middle, noisy(clean, sigma, numbers[i]))
        d.arrow(646, y + 30, x - 4, y + 30, "forward")
        d.box(x, y, f"GPU {i}", f"layers {2 * i} and {2 * i + 1}")
        d.arrow(x + BOX_WIDTH + 2, y + 20, x + BOX_WIDTH + 46, y + 20, "forward")
        d.arrow(x + BOX_WIDTH + 46, y + 40, x + BOX_WIDTH + 4, y + 40, "backward")
        d.tile(x + BOX_WIDTH + 52, y - middle, clean)
        d.text(572, y + 26, f"σ {high}", 13, "soft", "end")
        d.text(572, y + 44, f"to {low}", 13, "soft", "end")
        if i < 3:
            line = y + BOX_HEIGHT + 18
            for left, right in ((510, 722), (808, 976)):
                d.add(f'<line x1="{left}" y1="{line}" x2="{right}" y2="{line}" stroke="{theme["good"]}" '
                      f'stroke-width="1.5" stroke-dasharray="4 5"/>')
            d.text(765, line + 5, "0 bytes", 14, "good", weight="600")
    d.text(240, HEIGHT - 14, "noise in, image out, gradient back through all blocks", 13, "soft")
    d.text(750, HEIGHT - 14, "noise in, image out, gradient back through this block alone", 13, "soft")
    title = ("Left: end-to-end training; activations and gradients cross from GPU to GPU in every step. Right: "
             "blocktrain; each block denoises images of its own noise interval, with 0 bytes between the blocks.")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'role="img" font-family="system-ui, -apple-system, \'Segoe UI\', Helvetica, Arial, sans-serif">\n'
            f'<title>{title}</title>\n' + "\n".join(d.parts) + "\n</svg>\n")


def main():
    source = random.Random(7)
    numbers = [[source.gauss(0, 1) for _ in range(64)] for _ in INTERVALS]
    clean = read_digit()
    for name, theme in THEMES.items():
        (HERE / f"claim-{name}.svg").write_text(draw(theme, clean, numbers), encoding="utf-8")


if __name__ == "__main__":
    main()
