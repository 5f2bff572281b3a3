#!/usr/bin/env python3
"""A network written by `blocktrain export`, in PyTorch. Needs torch 1.13 or newer and Python 3.8 or newer.

    from blocktrain_dit import Model

    model = Model.load("RUN/export")                  # or Model.load(folder, device="cuda")
    images = model.sample([0, 1, 2, -1], steps=18)    # [4, channels, height, width], -1 is black and 1 is white
    estimate = model.denoise(z, sigma, labels)        # what the network takes noisy images for

    python blocktrain_dit.py --check [FOLDER]         # does it compute what blocktrain computed? exit code 0 or 1

The network is a row of blocks, each with an interval of noise levels of its own; a noisy image goes through the one block
that owns its level, and no other. A network trained end to end is one block that owns all levels. Labels are classes
counted from 0; -1 stands for no class. Every block is a torch.nn.Module and can be trained further, by block.losses().
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

FORMAT, FORMAT_VERSION = "blocktrain-dit", "1"
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
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: damaged: {error!r}") from error
    return tensors, metadata


def read_export(path):
    """(tensors by name, metadata) of a file that `blocktrain export` wrote."""
    tensors, metadata = read_safetensors(path)
    if metadata.get("format") != FORMAT or metadata.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"{path}: not of the format {FORMAT}, version {FORMAT_VERSION}")
    return tensors, metadata


class Settings:
    """What the metadata of model.safetensors say of the network."""

    def __init__(self, metadata):
        self.channels, self.height, self.width_px = (
            int(metadata[key]) for key in ("image_channels", "image_height", "image_width")
        )
        self.classes, self.patch = int(metadata["classes"]), int(metadata["patch"])
        self.width, self.heads = int(metadata["width"]), int(metadata["heads"])
        self.mlp_ratio, self.noise_features = int(metadata["mlp_ratio"]), int(metadata["noise_features"])
        self.layers_per_block = [int(n) for n in metadata["layers_per_block"].split(",")]
        self.sigma_data = float(metadata["sigma_data"])
        self.target_deviation = float(metadata["target_deviation"])
        self.partition = metadata["partition"]
        self.p_mean, self.p_std = float(metadata["p_mean"]), float(metadata["p_std"])
        # From the highest noise to the lowest; block b owns sigma_edges[b + 1] < sigma <= sigma_edges[b].
        self.sigma_edges = [float(edge) for edge in metadata["sigma_edges"].split(",")]

    @property
    def image_shape(self):
        return (self.channels, self.height, self.width_px)


def grid_positions(rows, columns, width):
    """[rows * columns, width] in double: half of the channels tell the row, half the column; each sines, then cosines."""
    quarter = width // 4
    frequency = torch.tensor([10000.0 ** (-i / quarter) for i in range(quarter)], dtype=torch.float64)
    row = torch.arange(rows, dtype=torch.float64).repeat_interleave(columns).outer(frequency)
    column = torch.arange(columns, dtype=torch.float64).repeat(rows).outer(frequency)
    return torch.cat([row.sin(), row.cos(), column.sin(), column.cos()], dim=1)


def noise_features(sigma, count, dtype=torch.float64):
    """[N, count] from sigma [N], computed in `dtype`: double because the angles reach hundreds of radians."""
    half = count // 2
    frequency = 100 * 10000.0 ** (-torch.arange(half, dtype=dtype, device=sigma.device) / half)
    angle = (sigma.to(dtype).log() / 4).outer(frequency)
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def modulated_norm(x, shift, scale):
    normal = functional.layer_norm(x, x.shape[-1:], eps=NORM_EPSILON)
    return normal * (1 + scale[:, None]) + shift[:, None]


def per_image(values):
    return values[:, None, None, None]


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

    def forward(self, x):
        samples, tokens, width = x.shape
        # [3, N, heads, T, D]
        q, k, v = self.qkv(x).view(samples, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
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

    def forward(self, x, condition):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition).chunk(6, dim=1)
        x = x + gate1[:, None] * self.attention(modulated_norm(x, shift1, scale1))
        return x + gate2[:, None] * self.mlp(modulated_norm(x, shift2, scale2))


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


class ClassEmbedding(nn.Module):
    """The last row of the table stands for no class."""

    def __init__(self, settings):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(settings.classes + 1, settings.width))

    def forward(self, labels):
        return functional.embedding(torch.where(labels < 0, len(self.table) - 1, labels), self.table)


class Output(nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.modulation = nn.Linear(settings.width, 2 * settings.width)
        self.linear = nn.Linear(settings.width, settings.channels * settings.patch**2)

    def forward(self, x, condition):
        shift, scale = self.modulation(condition).chunk(2, dim=1)
        return self.linear(modulated_norm(x, shift, scale))


class Block(nn.Module):
    """A denoiser for one interval of noise levels: D(z; sigma, label) = c_skip z + c_out F(c_in z, sigma, label)."""

    def __init__(self, settings, layers):
        super().__init__()
        self.settings = settings
        self.patch_embedding = nn.Linear(settings.channels * settings.patch**2, settings.width)
        self.noise_embedding = NoiseEmbedding(settings)
        self.class_embedding = ClassEmbedding(settings)
        self.layers = nn.ModuleList([Layer(settings) for _ in range(layers)])
        self.output = Output(settings)
        rows, columns = settings.height // settings.patch, settings.width_px // settings.patch
        self.register_buffer("positions", grid_positions(rows, columns, settings.width).float(), persistent=False)

    def cut(self, images):
        """[N, T, channels * patch * patch] from images: patches row by row, inside them channel, row, column."""
        channels, height, width = self.settings.image_shape
        p = self.settings.patch
        parts = images.reshape(-1, channels, height // p, p, width // p, p)
        return parts.permute(0, 2, 4, 1, 3, 5).reshape(len(images), -1, channels * p * p)

    def join(self, patches):
        """The inverse of cut."""
        channels, height, width = self.settings.image_shape
        p = self.settings.patch
        parts = patches.reshape(-1, height // p, width // p, channels, p, p)
        return parts.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, height, width)

    def forward(self, z, sigma, labels):
        """The denoised estimate of z [N, channels, height, width]; sigma [N], labels [N]."""
        data = self.settings.sigma_data
        total = sigma**2 + data**2
        c_skip, c_out, c_in = (
            per_image(c).to(z.dtype) for c in (data**2 / total, sigma * data / total.sqrt(), total.rsqrt())
        )
        condition = functional.silu(self.noise_embedding(sigma) + self.class_embedding(labels))
        x = self.patch_embedding(self.cut(c_in * z))
        x = x + self.positions.to(x.dtype)  # bfloat16 under autocast, and so are the sums of all layers
        for layer in self.layers:
            x = layer(x, condition)
        return c_skip * z + c_out * self.join(self.output(x, condition))

    def losses(self, estimate, images, sigma):
        """(loss [N], squared error [N]) of the estimate D of images + sigma * noise. The loss is the error weighted by
        (sigma^2 + sigma_data^2) / (sigma * sigma_data)^2; blocktrain trains by its mean (objective.weighting: edm).
        """
        data = self.settings.sigma_data
        error = (estimate - images).square().flatten(1).mean(dim=1)
        return (sigma**2 + data**2) / (sigma * data) ** 2 * error, error


class Model(nn.Module):
    """The whole network: blocks[0] owns the highest noise."""

    def __init__(self, settings):
        super().__init__()
        self.settings = settings
        self.blocks = nn.ModuleList([Block(settings, layers) for layers in settings.layers_per_block])

    @staticmethod
    def load(folder, device="cpu"):
        """The network in FOLDER/model.safetensors."""
        path = os.path.join(folder, "model.safetensors")
        tensors, metadata = read_export(path)
        try:
            model = Model(Settings(metadata))
            model.load_parameters(tensors)
        except (KeyError, ValueError, RuntimeError, ZeroDivisionError) as error:
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
            stored = {name: self.stored_name(b, name) for name in block.state_dict()}
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

    def denoise(self, z, sigma, labels, guidance=1.0):
        """D(z; sigma, label), each image by the block that owns its noise level.

        z [N, channels, height, width]; sigma a number or N of them; labels N integers, -1 for no class. guidance g
        other than 1 gives D_none + g (D_label - D_none) (classifier-free guidance).
        """
        count, device = len(z), z.device
        # As Python's numbers, which are double: where blocks meet, float32 might fall to the neighbour.
        levels = torch.as_tensor(sigma, dtype=torch.float64).reshape(-1).expand(count).tolist()
        labels = torch.as_tensor(labels, dtype=torch.long, device=device).reshape(-1).expand(count)
        if any(label >= self.settings.classes for label in labels.tolist()):
            raise ValueError(f"labels: this network knows classes 0 to {self.settings.classes - 1}, and -1 for none")
        if guidance == 0:
            labels = torch.full_like(labels, -1)
        elif guidance != 1:
            none = self.denoise(z, sigma, -1)
            return none + guidance * (self.denoise(z, sigma, labels) - none)

        owners = [self.owner(level) for level in levels]
        sigma = torch.tensor(levels, dtype=torch.float32, device=device)
        out = torch.empty_like(z)
        for b in sorted(set(owners)):
            rows = torch.tensor([i for i, owner in enumerate(owners) if owner == b], device=device)
            out[rows] = self.blocks[b](z[rows], sigma[rows], labels[rows])
        return out

    def levels(self, steps):
        """steps + 1 noise levels from the highest to the lowest, equally spaced as the blocks' edges are."""
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

    @torch.no_grad()
    def sample(self, labels, steps, noise=None, guidance=1.0):
        """Generates an image for each label, by Euler steps from noise. With as many steps as blocks, or a multiple,
        every block works equally often. `noise`: standard normal [N, channels, height, width]; drawn by torch.randn
        when left out.
        """
        if steps < 1:
            raise ValueError(f"steps: found {steps}; accepted: 1 or more")
        device = self.blocks[0].positions.device
        labels = torch.as_tensor(labels, dtype=torch.long).reshape(-1)
        if noise is None:
            noise = torch.randn(len(labels), *self.settings.image_shape, device=device)
        levels = self.levels(steps)
        z = noise.to(device) * math.hypot(self.settings.target_deviation, levels[0])
        for sigma, after in zip(levels[:-2], levels[1:]):
            kept = after / sigma
            z = kept * z + (1 - kept) * self.denoise(z, sigma, labels, guidance)
        return self.denoise(z, levels[-2], labels, guidance)


def relative_error(found, expected, least_scale):
    """The largest difference of any row, relative to the row's largest value (at least least_scale)."""
    if found.shape != expected.shape:
        return math.inf
    error = (found.double() - expected.double()).abs().flatten(1).amax(dim=1)
    scale = expected.double().abs().flatten(1).amax(dim=1).clamp(min=least_scale)
    worst = (error / scale).max().item()
    return math.inf if math.isnan(worst) else worst


@torch.no_grad()
def check(folder, device="cpu"):
    """Compares with FOLDER/reference.safetensors, what blocktrain itself computed. Prints and returns 0, or 1."""
    model = Model.load(folder, device)
    settings = model.settings
    path = os.path.join(folder, "reference.safetensors")
    reference, metadata = read_export(path)
    try:
        guidance, steps = float(metadata["guidance"]), int(metadata["steps"])
        z, sigma = reference["denoise.z"].to(device), reference["denoise.sigma"]
        labels, noise = reference["denoise.label"], reference["sample.noise"]
        sample_labels, levels = reference["sample.label"], model.levels(steps)
        blocks = len({model.owner(level) for level in sigma.tolist()})
        comparisons = [
            (
                f"noise levels of {steps} steps",
                torch.tensor(levels, dtype=torch.float64).reshape(-1, 1),
                reference["sample.levels"].reshape(-1, 1),
                0.0,
            ),
            (
                f"{len(z)} estimates by {blocks} block{'' if blocks == 1 else 's'}",
                model.denoise(z, sigma, labels),
                reference["denoise.estimate"],
                settings.sigma_data,
            ),
            (
                f"{len(z)} estimates with guidance {guidance:g}",
                model.denoise(z, sigma, labels, guidance),
                reference["denoise.guided"],
                settings.sigma_data,
            ),
            (
                f"{len(sample_labels)} images generated in {steps} steps",
                model.sample(sample_labels, steps, noise),
                reference["sample.image"],
                settings.sigma_data,
            ),
        ]
    except (KeyError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: does not fit model.safetensors: {error}") from error
    failed = 0
    for what, found, expected, least_scale in comparisons:
        error = relative_error(found.cpu(), expected, least_scale)
        right = error < LARGEST_ERROR
        failed += not right
        print(f"{'ok    ' if right else 'DIFFERS'} {what}: relative error {error:.1e} (below {LARGEST_ERROR:g})")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=os.path.dirname(os.path.abspath(__file__)), metavar="FOLDER",
                        help="what blocktrain export wrote (default: where this file is)")  # fmt: skip
    parser.add_argument("--check", action="store_true", help="compare with what blocktrain computed")
    parser.add_argument("--device", default="cpu", help="of PyTorch, such as cuda (default: cpu)")
    arguments = parser.parse_args()
    if not arguments.check:
        parser.error("say --check, or import this file: see --help")
    try:
        return check(arguments.folder, arguments.device)
    except (OSError, ValueError) as error:
        print(f"blocktrain_dit.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
