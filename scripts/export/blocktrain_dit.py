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

import math
import sys

import torch
from torch import nn
from torch.nn import functional

from blocktrain_common import (
    BlocksInARow,
    ImageSettings,
    Layer,
    NoiseEmbedding,
    Output,
    column,
    cut,
    grid_positions,
    run,
)


class DitSettings(ImageSettings):
    def __init__(self, metadata):
        super().__init__(metadata)
        self.read_noise(metadata)
        self.target_deviation = float(metadata["target_deviation"])


def per_image(values):
    return values[:, None, None, None]


class ClassEmbedding(nn.Module):
    """The last row of the table stands for no class."""

    def __init__(self, settings):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(settings.classes + 1, settings.width))

    def forward(self, labels):
        return functional.embedding(torch.where(labels < 0, len(self.table) - 1, labels), self.table)


class Block(nn.Module):
    """A denoiser for one interval of noise levels: D(z; sigma, label) = c_skip z + c_out F(c_in z, sigma, label)."""

    def __init__(self, settings, layers):
        super().__init__()
        self.settings = settings
        self.patch_embedding = nn.Linear(settings.channels * settings.patch**2, settings.width)
        self.noise_embedding = NoiseEmbedding(settings)
        self.class_embedding = ClassEmbedding(settings)
        self.layers = nn.ModuleList([Layer(settings) for _ in range(layers)])
        self.output = Output(settings.width, settings.channels * settings.patch**2)
        self.register_buffer("positions", grid_positions(*settings.grid, settings.width).float(), persistent=False)

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
        x = self.patch_embedding(cut(c_in * z, self.settings.patch))
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


class Model(BlocksInARow):
    """The whole network: blocks[0] owns the highest noise."""

    format, settings_type, make_block = "blocktrain-dit", DitSettings, Block

    def denoise(self, z, sigma, labels, guidance=1.0):
        """D(z; sigma, label), each image by the block that owns its noise level.

        z [N, channels, height, width]; sigma a number or N of them; labels N integers, -1 for no class. guidance g
        other than 1 gives D_none + g (D_label - D_none) (classifier-free guidance).
        """
        count, device = len(z), z.device
        labels = torch.as_tensor(labels, dtype=torch.long, device=device).reshape(-1).expand(count)
        if any(label >= self.settings.classes for label in labels.tolist()):
            raise ValueError(f"labels: this network knows classes 0 to {self.settings.classes - 1}, and -1 for none")
        if guidance == 0:
            labels = torch.full_like(labels, -1)
        elif guidance != 1:
            none = self.denoise(z, sigma, -1)
            return none + guidance * (self.denoise(z, sigma, labels) - none)

        sigma, owners = self.by_owner(sigma, count, device)
        out = torch.empty_like(z)
        for block, rows in owners:
            out[rows] = block(z[rows], sigma[rows], labels[rows])
        return out

    @torch.no_grad()
    def sample(self, labels, steps, noise=None, guidance=1.0):
        """Generates an image for each label, by Euler steps from noise. With as many steps as blocks, or a multiple,
        every block works equally often. `noise`: standard normal [N, channels, height, width]; drawn by torch.randn
        when left out.
        """
        levels = self.levels(steps)
        device = self.blocks[0].positions.device
        labels = torch.as_tensor(labels, dtype=torch.long).reshape(-1)
        if noise is None:
            noise = torch.randn(len(labels), *self.settings.image_shape, device=device)
        z = noise.to(device) * math.hypot(self.settings.target_deviation, levels[0])
        for sigma, after in zip(levels[:-2], levels[1:]):
            kept = after / sigma
            z = kept * z + (1 - kept) * self.denoise(z, sigma, labels, guidance)
        return self.denoise(z, levels[-2], labels, guidance)


def compare(model, reference, metadata, device):
    """What --check compares: (what it is, found, expected, least scale) of each."""
    guidance, steps = float(metadata["guidance"]), int(metadata["steps"])
    z, sigma = reference["denoise.z"].to(device), reference["denoise.sigma"]
    labels, noise, sample_labels = reference["denoise.label"], reference["sample.noise"], reference["sample.label"]
    blocks, scale = len({model.owner(level) for level in sigma.tolist()}), model.settings.sigma_data
    return [
        (f"noise levels of {steps} steps", column(model.levels(steps)), column(reference["sample.levels"]), 0.0),
        (
            f"{len(z)} estimates by {blocks} block{'' if blocks == 1 else 's'}",
            model.denoise(z, sigma, labels),
            reference["denoise.estimate"],
            scale,
        ),
        (
            f"{len(z)} estimates with guidance {guidance:g}",
            model.denoise(z, sigma, labels, guidance),
            reference["denoise.guided"],
            scale,
        ),
        (
            f"{len(sample_labels)} images generated in {steps} steps",
            model.sample(sample_labels, steps, noise),
            reference["sample.image"],
            scale,
        ),
    ]


def main():
    return run("blocktrain_dit.py", __doc__, Model, compare)


if __name__ == "__main__":
    sys.exit(main())
