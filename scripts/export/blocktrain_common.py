"""What the loaders of all architectures have in common: files, noise levels, transformer layers, the command line.

`blocktrain export` writes one file per run: in it this module's text stands where the loader imports it
(trainer/export/embed_loader.cmake).
"""

import argparse
import json
import math
import os
import struct
import sys
from statistics import NormalDist

import torch
from torch import nn
from torch.nn import functional

FORMAT_VERSION = "1"
NORM_EPSILON = 1e-6
LARGEST_ERROR = 1e-4  # of --check, relative to the size of the values


def read_safetensors(path):
    """(tensors by name, metadata) of a file: 8 bytes with the length of a JSON header, the header, the numbers."""
    types = {"F32": torch.float32, "F64": torch.float64, "I32": torch.int32}
    with open(path, "rb") as file:
        start = file.read(8)
        left = os.path.getsize(path) - 8
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 0 < length <= left:
            raise ValueError(f"{path}: not a safetensors file")
        header, data = file.read(length), bytearray(file.read())
    try:
        entries = json.loads(header.decode("utf-8"))
        metadata = entries.pop("__metadata__", {})
        tensors = {}
        for name, entry in entries.items():
            dtype, shape, (begin, end) = types[entry["dtype"]], entry["shape"], entry["data_offsets"]
            count = math.prod(shape)
            size = torch.empty(0, dtype=dtype).element_size()
            if not 0 <= begin <= end <= len(data) or end - begin != count * size:
                raise ValueError(f"tensor {name} lies outside the file")
            tensors[name] = torch.frombuffer(data, dtype=dtype, count=count, offset=begin).reshape(shape)
        if not isinstance(metadata, dict) or any(not isinstance(text, str) for text in metadata.values()):
            raise ValueError("metadata are no texts")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: damaged: {error!r}") from error
    return tensors, metadata


def read_export(path, expected):
    """(tensors by name, metadata) of a file that `blocktrain export` wrote in the format `expected`."""
    tensors, metadata = read_safetensors(path)
    if metadata.get("format") != expected or metadata.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"{path}: not of the format {expected}, version {FORMAT_VERSION}")
    return tensors, metadata


class Settings:
    """What the metadata of model.safetensors say of the network."""

    def __init__(self, metadata):
        self.classes = int(metadata["classes"])
        self.width, self.heads = int(metadata["width"]), int(metadata["heads"])
        self.mlp_ratio = int(metadata["mlp_ratio"])
        self.dropout = float(metadata.get("dropout", 0))
        self.layers_per_block = [int(n) for n in metadata["layers_per_block"].split(",")]

    def read_noise(self, metadata):
        self.noise_features, self.sigma_data = int(metadata["noise_features"]), float(metadata["sigma_data"])
        self.partition = metadata["partition"]
        self.p_mean, self.p_std = float(metadata["p_mean"]), float(metadata["p_std"])
        # From the highest noise to the lowest; block b owns sigma_edges[b + 1] < sigma <= sigma_edges[b].
        self.sigma_edges = [float(edge) for edge in metadata["sigma_edges"].split(",")]
        # Of equal_information: what noise hides of the class, at levels equally spaced in ln sigma from the lowest.
        self.information = [float(nats) for nats in metadata.get("information", "").split(",") if nats]
        if self.partition == "equal_information" and len(self.information) < 2:
            raise ValueError("no information")


class ImageSettings(Settings):
    """Of a network that cuts images into patches."""

    def __init__(self, metadata):
        super().__init__(metadata)
        self.channels, self.height, self.width_px = (
            int(metadata[key]) for key in ("image_channels", "image_height", "image_width")
        )
        self.patch = int(metadata["patch"])

    @property
    def image_shape(self):
        return (self.channels, self.height, self.width_px)

    @property
    def grid(self):
        """Rows and columns of patches."""
        return self.height // self.patch, self.width_px // self.patch


def grid_positions(rows, columns, width):
    """[rows * columns, width] in double: half of the channels tell the row, half the column; each sines, then cosines."""
    quarter = width // 4
    frequency = torch.tensor([10000.0 ** (-i / quarter) for i in range(quarter)], dtype=torch.float64)
    row = torch.arange(rows, dtype=torch.float64).repeat_interleave(columns).outer(frequency)
    column = torch.arange(columns, dtype=torch.float64).repeat(rows).outer(frequency)
    return torch.cat([row.sin(), row.cos(), column.sin(), column.cos()], dim=1)


def cut(images, p):
    """[N, T, channels * p * p] from images: patches of p x p row by row, inside them channel, row, column."""
    count, channels, height, width = images.shape
    parts = images.reshape(count, channels, height // p, p, width // p, p)
    return parts.permute(0, 2, 4, 1, 3, 5).reshape(count, -1, channels * p * p)


def rotary_angles(tokens, head_width):
    """[tokens, head_width] in double: cosines and sines by which token t turns the pair i of a head of D numbers, of the
    angle t * 10000^(-2i/D).
    """
    half = head_width // 2
    turns = torch.tensor([10000.0 ** (-i / half) for i in range(half)], dtype=torch.float64)
    angle = torch.arange(tokens, dtype=torch.float64).outer(turns)
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def turned(x, angles):
    """x [N, heads, T, D] at the positions of its tokens: pairs (i, i + D/2) turn by angles [T, D]."""
    cosine, sine = angles.chunk(2, dim=1)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1).to(x.dtype)


def noise_features(sigma, count, dtype=torch.float64):
    """[N, count] from sigma [N], computed in `dtype`: double because the angles reach hundreds of radians."""
    half = count // 2
    frequency = 100 * 10000.0 ** (-torch.arange(half, dtype=dtype, device=sigma.device) / half)
    angle = (sigma.to(dtype).log() / 4).outer(frequency)
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def modulated_norm(x, shift, scale):
    normal = functional.layer_norm(x, x.shape[-1:], eps=NORM_EPSILON)
    return normal * (1 + scale[:, None]) + shift[:, None]


def attention(q, k, v):
    """softmax(q k^T / sqrt(D)) v for [N, heads, T, D]."""
    if hasattr(functional, "scaled_dot_product_attention"):  # from PyTorch 2.0
        return functional.scaled_dot_product_attention(q, k, v)
    return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1) @ v


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, x, angles=None):
        """angles: of rotary positions; without, positions are not known here."""
        samples, tokens, width = x.shape
        # [3, N, heads, T, D]
        q, k, v = self.qkv(x).view(samples, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if angles is not None:
            q, k = turned(q, angles), turned(k, angles)
        return self.projection(attention(q, k, v).transpose(1, 2).reshape(samples, tokens, width))


class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.input = nn.Linear(width, hidden)
        self.output = nn.Linear(hidden, width)

    def forward(self, x):
        return self.output(functional.gelu(self.input(x), approximate="tanh"))


class Layer(nn.Module):
    """A transformer layer whose norms and residuals are steered by the condition (adaLN)."""

    def __init__(self, settings):
        super().__init__()
        self.modulation = nn.Linear(settings.width, 6 * settings.width)
        self.attention = Attention(settings.width, settings.heads)
        self.mlp = Mlp(settings.width, settings.mlp_ratio * settings.width)
        self.dropout = settings.dropout

    def forward(self, x, condition, angles=None):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition).chunk(6, dim=1)
        change = self.attention(modulated_norm(x, shift1, scale1), angles)
        x = x + gate1[:, None] * functional.dropout(change, self.dropout, self.training)
        change = self.mlp(modulated_norm(x, shift2, scale2))
        return x + gate2[:, None] * functional.dropout(change, self.dropout, self.training)


class NoiseEmbedding(nn.Module):
    angle_dtype = torch.float64  # float32 is faster where the last digits do not matter

    def __init__(self, settings):
        super().__init__()
        self.features = settings.noise_features
        self.input = nn.Linear(settings.noise_features, settings.width)
        self.output = nn.Linear(settings.width, settings.width)

    def forward(self, sigma):
        features = noise_features(sigma, self.features, self.angle_dtype).to(self.input.weight.dtype)
        return self.output(functional.silu(self.input(features)))


class OutputNorm(nn.Module):
    """The norm behind the last layer."""

    def __init__(self, width):
        super().__init__()
        self.modulation = nn.Linear(width, 2 * width)

    def forward(self, x, condition):
        return modulated_norm(x, *self.modulation(condition).chunk(2, dim=1))


class Output(OutputNorm):
    def __init__(self, width, numbers):
        super().__init__(width)
        self.linear = nn.Linear(width, numbers)

    def forward(self, x, condition):
        """[N, T, numbers] from x [N, T, width]."""
        return self.linear(super().forward(x, condition))


class BlocksInARow(nn.Module):
    """A whole network: blocks[0] owns the highest noise. A loader's Model says `format`, `settings_type` and
    `make_block`, which takes settings and the number of layers.
    """

    def __init__(self, settings):
        super().__init__()
        self.settings = settings
        self.blocks = nn.ModuleList([self.make_block(settings, layers) for layers in settings.layers_per_block])

    @classmethod
    def load(cls, folder, device="cpu"):
        """The network in FOLDER/model.safetensors."""
        path = os.path.join(folder, "model.safetensors")
        tensors, metadata = read_export(path, cls.format)
        try:
            model = cls(cls.settings_type(metadata))
            edges = getattr(model.settings, "sigma_edges", None)
            if edges is not None:
                falling = all(high > low > 0 for high, low in zip(edges, edges[1:]))
                if len(edges) != len(model.blocks) + 1 or not falling:
                    raise ValueError("sigma_edges are not those of so many blocks")
            model.load_parameters(tensors)
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
            raise ValueError(f"{path}: damaged: {error}") from error
        return model.to(device).eval()

    def stored_name(self, b, name):
        """The name in the file of a parameter of block b: blocks.B.PART of what a block has alone, layers.L.PART of its
        layers, counted through the network.
        """
        if not name.startswith("layers."):
            return f"blocks.{b}.{name}"
        _, layer, part = name.split(".", 2)
        return f"layers.{sum(self.settings.layers_per_block[:b]) + int(layer)}.{part}"

    def load_parameters(self, tensors):
        """Each block's own, from all of them by the names in the file."""
        taken = set()
        for b, block in enumerate(self.blocks):
            stored = {}
            for name in block.state_dict():
                own = self.stored_name(b, name)
                # What is the same in all blocks stands there once, under its name alone.
                stored[name] = name if own not in tensors and name in tensors else own
            block.load_state_dict({name: tensors[other] for name, other in stored.items()})
            taken.update(stored.values())
        unknown = sorted(set(tensors) - taken)
        if unknown:
            raise ValueError(f"tensors that no block has: {', '.join(unknown[:3])}")

    def owner(self, sigma):
        """Index of the block that owns a noise level."""
        edges = self.settings.sigma_edges
        if not edges[-1] * (1 - 1e-6) <= sigma <= edges[0] * (1 + 1e-6):
            raise ValueError(f"sigma {sigma}: this network knows noise levels from {edges[-1]} to {edges[0]}")
        return sum(edge >= sigma for edge in edges[1:-1])

    def by_owner(self, sigma, count, device):
        """(sigma [count], list of (block, indices of its rows) for the blocks that own one of them), from sigma, a number
        or count of them.
        """
        # As Python's numbers, which are double: where blocks meet, float32 might fall to the neighbour.
        levels = torch.as_tensor(sigma, dtype=torch.float64).reshape(-1).expand(count).tolist()
        owners = [self.owner(level) for level in levels]
        rows = {b: torch.tensor([i for i, o in enumerate(owners) if o == b], device=device) for b in sorted(set(owners))}
        return torch.tensor(levels, dtype=torch.float32, device=device), [(self.blocks[b], rows[b]) for b in rows]

    def levels(self, steps):
        """steps + 1 noise levels from the highest to the lowest, equally spaced as the blocks' edges are."""
        if steps < 1:
            raise ValueError(f"steps: found {steps}; accepted: 1 or more")
        s, blocks = self.settings, len(self.blocks)
        return [
            # Where blocks meet, exactly the edge: it decides who owns the level.
            s.sigma_edges[i * blocks // steps] if i * blocks % steps == 0 else self._level(i / steps)
            for i in range(steps + 1)
        ]

    def _level(self, fraction):
        s = self.settings
        high, low = s.sigma_edges[0], s.sigma_edges[-1]
        if s.partition == "uniform":
            return high + fraction * (low - high)
        if s.partition == "uniform_log":
            return math.exp(math.log(high) + fraction * (math.log(low) - math.log(high)))
        if s.partition == "equal_information":
            return self._level_of_information(fraction)
        if s.partition != "equal_probability":
            raise ValueError(f"unknown partition '{s.partition}'")

        def place(sigma):
            return (math.log(sigma) - s.p_mean) / (s.p_std * math.sqrt(2))

        # Probability below the level and above it: near 1 only the other one still tells levels apart.
        top, bottom = place(high), place(low)
        below = (math.erfc(-top) + fraction * (math.erfc(-bottom) - math.erfc(-top))) / 2
        above = (math.erfc(top) + fraction * (math.erfc(bottom) - math.erfc(top))) / 2
        quantile = NormalDist().inv_cdf(below) if below <= 0.5 else -NormalDist().inv_cdf(above)
        return math.exp(s.p_mean + s.p_std * quantile)

    def _level_of_information(self, fraction):
        """Where noise hides so much less than at the highest level, linear in ln sigma between the tabulated levels."""
        edges, nats = self.settings.sigma_edges, self.settings.information
        low, high = math.log(edges[-1]), math.log(edges[0])
        wanted = nats[-1] + fraction * (nats[0] - nats[-1])
        above = next((i for i, n in enumerate(nats) if n >= wanted), len(nats) - 1)
        if above == 0:
            return edges[-1]
        place = above - 1 + (wanted - nats[above - 1]) / (nats[above] - nats[above - 1])
        return math.exp(low + place / (len(nats) - 1) * (high - low))


def column(numbers):
    """Numbers that relative_error compares one by one."""
    return torch.as_tensor(numbers, dtype=torch.float64).reshape(-1, 1)


def relative_error(found, expected, least_scale):
    """The largest difference of any row, relative to the row's largest value (at least least_scale)."""
    if found.shape != expected.shape:
        return math.inf
    error = (found.double() - expected.double()).abs().flatten(1).amax(dim=1)
    scale = expected.double().abs().flatten(1).amax(dim=1).clamp(min=least_scale)
    worst = (error / scale).max().item()
    return math.inf if math.isnan(worst) else worst


@torch.no_grad()
def check(model_type, compare, folder, device="cpu"):
    """Compares with FOLDER/reference.safetensors, what blocktrain itself computed. Prints and returns 0, or 1.
    compare(model, reference, metadata, device) gives (what it is, found, expected, least scale) of each comparison.
    """
    model = model_type.load(folder, device)
    path = os.path.join(folder, "reference.safetensors")
    reference, metadata = read_export(path, model_type.format)
    try:
        comparisons = compare(model, reference, metadata, device)
    except (KeyError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: does not fit model.safetensors: {error}") from error
    failed = 0
    for what, found, expected, least_scale in comparisons:
        error = relative_error(found.cpu(), expected, least_scale)
        right = error < LARGEST_ERROR
        failed += not right
        print(f"{'ok    ' if right else 'DIFFERS'} {what}: relative error {error:.1e} (below {LARGEST_ERROR:g})")
    return 1 if failed else 0


def run(loader, description, model_type, compare):
    """The command line of a loader; the exit code."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=os.path.dirname(os.path.abspath(__file__)), metavar="FOLDER",
                        help="what blocktrain export wrote (default: where this file is)")  # fmt: skip
    parser.add_argument("--check", action="store_true", help="compare with what blocktrain computed")
    parser.add_argument("--device", default="cpu", help="of PyTorch, such as cuda (default: cpu)")
    arguments = parser.parse_args()
    if not arguments.check:
        parser.error("say --check, or import this file: see --help")
    try:
        return check(model_type, compare, arguments.folder, arguments.device)
    except (OSError, ValueError) as error:
        print(f"{loader}: {error}", file=sys.stderr)
        return 1
