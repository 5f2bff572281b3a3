#!/usr/bin/env python3
"""A trained blocktrain network of architecture `dit` in PyTorch. Needs PyTorch 1.13 or newer and nothing else.

    python3 blocktrain_dit.py --check                      compare with the outputs that blocktrain wrote beside the weights
    python3 blocktrain_dit.py --sample 3,1,4 --steps 18    draw images of these classes as text, or --save FILE.pt

    from blocktrain_dit import load
    network = load("model.safetensors")
    images = network.sample([3, 1, 4], steps=18)           # [3, channels, height, width], about [-1, 1]
    d = network.denoise(z, sigma, label)                   # the estimate of the clean image

The network is a chain of blocks that were trained independently. Each owns an interval of noise levels and denoises there
alone, so at any noise level exactly one block runs. Blocks count from 0, which has the highest noise.
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

TORCH_TYPES = {"F32": torch.float32, "F64": torch.float64, "I32": torch.int32}


def read_safetensors(path):
    """Tensors by name, and the metadata: 8 bytes length, a JSON header, then the numbers."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(data, dtype=TORCH_TYPES[entry["dtype"]], count=math.prod(entry["shape"]), offset=begin)
        if flat.numel() * flat.element_size() != end - begin:
            raise ValueError(f"{path}: the size of {name} does not fit its shape")
        tensors[name] = flat.reshape(entry["shape"]).clone()
    return tensors, metadata


def grid_positions(rows, columns, width):
    """Sines and cosines of row and column, [rows * columns, width]."""
    frequency = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))

    def along(places):
        angle = places.reshape(-1, 1).to(torch.float64) * frequency
        return torch.cat([angle.sin(), angle.cos()], dim=1)

    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.cat([along(row), along(column)], dim=1).to(torch.float32)


def noise_features(sigma, count):
    """Cosines and sines of c_noise = ln(sigma) / 4, [N, count]."""
    frequency = 100.0 * 10000.0 ** (-torch.arange(count // 2, dtype=torch.float64, device=sigma.device) / (count // 2))
    angle = (sigma.to(torch.float64).log() / 4).unsqueeze(1) * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def modulate(x, shift, scale):
    return functional.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, x):
        samples, tokens, width = x.shape
        split = (samples, tokens, self.heads, width // self.heads)
        q, k, v = (part.reshape(split).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=2))
        weights = (q @ k.transpose(2, 3) / math.sqrt(width // self.heads)).softmax(dim=-1)
        return self.projection((weights @ v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.input = nn.Linear(width, hidden)
        self.output = nn.Linear(hidden, width)

    def forward(self, x):
        return self.output(functional.gelu(self.input(x), approximate="tanh"))


class Layer(nn.Module):
    """Attention and MLP, each shifted, scaled and gated by what the block is conditioned on (adaLN)."""

    def __init__(self, width, heads, mlp_ratio):
        super().__init__()
        self.modulation = nn.Linear(width, 6 * width)
        self.attention = Attention(width, heads)
        self.mlp = Mlp(width, mlp_ratio * width)

    def forward(self, x, condition):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition).chunk(6, dim=1)
        x = x + gate1.unsqueeze(1) * self.attention(modulate(x, shift1, scale1))
        return x + gate2.unsqueeze(1) * self.mlp(modulate(x, shift2, scale2))


class Block(nn.Module):
    """A denoiser of its own: layers, and private embeddings and output."""

    def __init__(self, spec, layers):
        super().__init__()
        width, patch = spec["model_width"], spec["patch"]
        patch_elements = spec["channels"] * patch * patch
        self.spec = spec
        self.patch_embedding = nn.Linear(patch_elements, width)
        self.noise_embedding = nn.ModuleDict(
            {"input": nn.Linear(spec["noise_features"], width), "output": nn.Linear(width, width)}
        )
        # The last row stands for "no class".
        self.class_embedding = nn.ParameterDict({"table": nn.Parameter(torch.zeros(spec["classes"] + 1, width))})
        self.layers = nn.ModuleList(Layer(width, spec["heads"], spec["mlp_ratio"]) for _ in range(layers))
        self.output = nn.ModuleDict(
            {"modulation": nn.Linear(width, 2 * width), "linear": nn.Linear(width, patch_elements)}
        )
        positions = grid_positions(spec["height"] // patch, spec["width"] // patch, width)
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, z, sigma, label):
        """D(z; sigma, label). z [N, channels, height, width]; sigma [N]; label [N], -1 for none."""
        spec, patch, deviation = self.spec, self.spec["patch"], self.spec["sigma_data"]

        def per_image(values):
            return values.reshape(-1, 1, 1, 1)

        total = sigma**2 + deviation**2
        patches = functional.unfold(z / per_image(total.sqrt()), kernel_size=patch, stride=patch).transpose(1, 2)
        x = self.patch_embedding(patches) + self.positions

        features = noise_features(sigma, spec["noise_features"]).to(z.dtype)
        condition = self.noise_embedding["output"](functional.silu(self.noise_embedding["input"](features)))
        rows = label.long().masked_fill(label < 0, spec["classes"])
        condition = functional.silu(condition + self.class_embedding["table"][rows])
        for layer in self.layers:
            x = layer(x, condition)

        shift, scale = self.output["modulation"](condition).chunk(2, dim=1)
        f = self.output["linear"](modulate(x, shift, scale)).transpose(1, 2)
        f = functional.fold(f, output_size=(spec["height"], spec["width"]), kernel_size=patch, stride=patch)
        return per_image(deviation**2 / total) * z + per_image(sigma * deviation / total.sqrt()) * f


class Network(nn.Module):
    """All blocks."""

    def __init__(self, spec):
        super().__init__()
        self.spec = spec
        self.edges = spec["edges"]  # sigma_max = edges[0] > ... > edges[B] = sigma_min
        self.blocks = nn.ModuleList(Block(spec, layers) for layers in spec["layers"])

    def block_of(self, sigma):
        """The block that owns a noise level: b with edges[b + 1] < sigma <= edges[b], the last one sigma_min too."""
        if not self.edges[-1] <= sigma <= self.edges[0]:
            raise ValueError(f"sigma {sigma} is outside {self.edges[-1]} .. {self.edges[0]}")
        return next((b for b, low in enumerate(self.edges[1:]) if sigma > low), len(self.blocks) - 1)

    def levels(self, steps):
        """steps + 1 noise levels from sigma_max to sigma_min, equally spaced in the partition's coordinate."""
        high, low, partition = self.edges[0], self.edges[-1], self.spec["partition"]
        mean, std = self.spec["p_mean"], self.spec["p_std"]

        def tails(sigma):  # probability below and above
            x = (math.log(sigma) - mean) / std / math.sqrt(2)
            return 0.5 * math.erfc(-x), 0.5 * math.erfc(x)

        levels = []
        for i in range(1, steps):
            t = i / steps
            if partition == "uniform":
                levels.append(high + t * (low - high))
            elif partition == "uniform_log":
                levels.append(math.exp(math.log(high) + t * (math.log(low) - math.log(high))))
            else:  # through the smaller tail, where double keeps its digits
                below, above = ((1 - t) * a + t * b for a, b in zip(tails(high), tails(low)))
                x = NormalDist().inv_cdf(below) if below < above else -NormalDist().inv_cdf(above)
                levels.append(math.exp(mean + std * x))
        return [high, *levels, low]

    @torch.no_grad()
    def denoise(self, z, sigma, label, guidance=1.0):
        """The estimate of the clean images [N, ...] in z = clean + sigma * noise. One sigma (a number); label [N] or a
        list, -1 for none. guidance g: D_none + g (D_label - D_none)."""
        label = torch.as_tensor(label, device=z.device)
        sigmas = torch.full((z.shape[0],), float(sigma), dtype=z.dtype, device=z.device)
        block = self.blocks[self.block_of(sigma)]
        d = block(z, sigmas, label)
        if guidance == 1:
            return d
        none = block(z, sigmas, torch.full_like(label, -1))
        return none + guidance * (d - none)

    @torch.no_grad()
    def sample(self, labels, steps=18, guidance=1.0, noise=None, generator=None):
        """One image per label, by Euler steps. noise: unit normal numbers to start from; drawn when not given."""
        spec, reference = self.spec, self.blocks[0].positions
        shape = (len(labels), spec["channels"], spec["height"], spec["width"])
        if noise is None:
            noise = torch.randn(shape, generator=generator).to(reference.device)
        levels = self.levels(steps)
        z = noise * math.hypot(spec["target_deviation"], levels[0])
        for sigma, following in zip(levels[:-2], levels[1:-1]):
            d = self.denoise(z, sigma, labels, guidance)
            z = d + following / sigma * (z - d)
        return self.denoise(z, levels[-2], labels, guidance)


def load(path):
    """The network in a model.safetensors that `blocktrain export` wrote."""
    tensors, metadata = read_safetensors(path)
    if metadata.get("format") != "blocktrain-dit" or metadata.get("version") != "1":
        raise ValueError(f"{path}: found format {metadata.get('format')!r} version {metadata.get('version')!r}, "
                         "expected blocktrain-dit version 1")
    network = Network(json.loads(metadata["network"]))
    # The file counts layers through the whole network, a block from its first.
    place = {}
    for b, layers in enumerate(network.spec["layers"]):
        for i in range(layers):
            place[len(place)] = f"blocks.{b}.layers.{i}."
    state = {}
    for name, tensor in tensors.items():
        if name.startswith("layers."):
            _, layer, rest = name.split(".", 2)
            name = place[int(layer)] + rest
        state[name] = tensor
    network.load_state_dict(state)
    return network.eval()


def check(network, folder):
    """Compares with reference.safetensors; True when all agrees."""
    tensors, metadata = read_safetensors(os.path.join(folder, "reference.safetensors"))
    tolerance = float(metadata["tolerance"])
    agrees = True

    def compare(what, ours, theirs, limit):
        nonlocal agrees
        difference = (ours - theirs).abs().max().item()
        good = difference <= limit  # a NaN is not
        agrees = agrees and good
        print(f"{what:<44} largest difference {difference:.2e}  (limit {limit:.0e})  {'ok' if good else 'WRONG'}")

    edges = torch.tensor(network.edges, dtype=torch.float64)
    levels = torch.tensor(network.levels(len(network.blocks)), dtype=torch.float64)
    compare("noise levels of one step per block, relative", levels / edges, torch.ones_like(edges), 1e-9)
    label, sigma = tensors["denoise/label"], tensors["denoise/sigma"]
    for i, s in enumerate(sigma.tolist()):
        d = network.denoise(tensors["denoise/z"][i : i + 1], s, label[i : i + 1])
        what = f"D at sigma {s:.4g}, label {label[i].item()}, block {network.block_of(s)}"
        compare(what, d, tensors["denoise/d"][i : i + 1], tolerance)
    steps = int(metadata["sample_steps"])
    made = network.sample(tensors["sample/label"].tolist(), steps, noise=tensors["sample/noise"])
    compare(f"images after {steps} Euler steps", made, tensors["sample/images"], tolerance * 10)
    return agrees


def draw(images):
    """Images as text, one channel after the other side by side."""
    shades = " .:-=+*#%@"
    for image in images:
        for row in torch.cat(list(image), dim=1).tolist():
            print("".join(2 * shades[min(9, max(0, int((value + 1) * 5)))] for value in row))
        print()


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description="A trained blocktrain network in PyTorch.")
    parser.add_argument("--model", default=os.path.join(here, "model.safetensors"), help="default: beside this script")
    parser.add_argument("--check", action="store_true", help="compare with reference.safetensors; exit 1 when it differs")
    parser.add_argument("--sample", metavar="LABELS", help="classes, e.g. 3,1,4")
    parser.add_argument("--steps", type=int, default=18)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", metavar="FILE.pt", help="save the images [N, channels, height, width] instead of drawing them")
    arguments = parser.parse_args()
    network = load(arguments.model)
    if arguments.sample:
        labels = [int(label) for label in arguments.sample.split(",")]
        generator = torch.Generator().manual_seed(arguments.seed)
        images = network.sample(labels, arguments.steps, arguments.guidance, generator=generator)
        if arguments.save:
            torch.save(images, arguments.save)
        else:
            draw(images)
    if arguments.check:
        return 0 if check(network, os.path.dirname(os.path.abspath(arguments.model))) else 1
    if not arguments.sample:
        print(json.dumps(network.spec, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
