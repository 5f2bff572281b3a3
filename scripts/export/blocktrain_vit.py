#!/usr/bin/env python3
"""A network written by `blocktrain export`, in PyTorch. Needs torch 1.13 or newer and Python 3.8 or newer.

    from blocktrain_vit import Model

    model = Model.load("RUN/export")                  # or Model.load(folder, device="cuda")
    logits = model.classify(images, steps=4)          # [N, classes]; images [N, channels, height, width], from -1 to 1
    logits = model.evaluate(images, z, sigma)         # what the block that owns sigma makes of noisy embeddings z

    python blocktrain_vit.py --check [FOLDER]         # does it compute what blocktrain computed? exit code 0 or 1

The network is a row of blocks that find the class of an image by denoising its embedding, each with an interval of noise
levels of its own. A network trained end to end is one block that reads the image alone, in a single step. Classes count
from 0. Every block is a torch.nn.Module and can be trained further, by the mean of its losses().
"""

import math
import sys

import torch
from torch import nn
from torch.nn import functional

from blocktrain_common import (
    NORM_EPSILON,
    Attention,
    BlocksInARow,
    ImageSettings,
    Layer,
    Mlp,
    NoiseEmbedding,
    Output,
    column,
    cut,
    grid_positions,
    run,
)


class VitSettings(ImageSettings):
    def __init__(self, metadata):
        super().__init__(metadata)
        self.denoises = metadata["training"] != "end_to_end"
        if not self.denoises:
            return
        self.read_noise(metadata)
        self.evidence, self.target_embedding = metadata["evidence"], metadata["target_embedding"]
        if self.evidence not in ("learned", "analytic"):
            raise ValueError(f"unknown evidence '{self.evidence}'")

    @property
    def target_deviation(self):
        """Of a component of an embedding, which has unit length."""
        return 1 / math.sqrt(self.width)


class LearntNorm(nn.Module):
    """Layer norms of one token each, with shifts and scales that do not depend on the sample."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.Parameter(torch.zeros(2 * width))

    def forward(self, x):
        return learnt_norm(x, *self.norm.chunk(2))


def learnt_norm(x, shift, scale):
    return functional.layer_norm(x, x.shape[-1:], 1 + scale, shift, NORM_EPSILON)


class PlainLayer(nn.Module):
    """A transformer layer without a condition: norms first, and nothing scales what is added."""

    def __init__(self, settings):
        super().__init__()
        self.norms = nn.Parameter(torch.zeros(4 * settings.width))
        self.attention = Attention(settings.width, settings.heads)
        self.mlp = Mlp(settings.width, settings.mlp_ratio * settings.width)
        self.dropout = settings.dropout

    def forward(self, x):
        shift1, scale1, shift2, scale2 = self.norms.chunk(4)
        x = x + functional.dropout(self.attention(learnt_norm(x, shift1, scale1)), self.dropout, self.training)
        return x + functional.dropout(self.mlp(learnt_norm(x, shift2, scale2)), self.dropout, self.training)


class VitBlock(nn.Module):
    """What both kinds of blocks have: a token to read the answer from, followed by those of the image's patches."""

    def __init__(self, settings, layers):
        super().__init__()
        self.settings = settings
        self.patch_embedding = nn.Linear(settings.channels * settings.patch**2, settings.width)
        self.layers = nn.ModuleList([self.layer_type(settings) for _ in range(layers)])
        self.classifier = nn.Linear(settings.width, settings.classes)
        self.register_buffer("positions", grid_positions(*settings.grid, settings.width).float(), persistent=False)

    def tokens(self, first, images):
        """[N, 1 + patches, width] from the first tokens [N, width]."""
        patches = self.patch_embedding(cut(images, self.settings.patch))
        x = torch.cat([first[:, None].to(patches.dtype), patches + self.positions.to(patches.dtype)], dim=1)
        return functional.dropout(x, self.settings.dropout, self.training)

    def losses(self, logits, labels):
        """Cross-entropy [N]; blocktrain trains by its mean."""
        return functional.cross_entropy(logits.float() if logits.dtype == torch.bfloat16 else logits, labels, reduction="none")


class Classifier(VitBlock):
    """A network trained end to end: an image's logits, without noise."""

    layer_type = PlainLayer

    def __init__(self, settings, layers):
        super().__init__(settings, layers)
        self.class_token = nn.Parameter(torch.zeros(1, settings.width))
        self.output = LearntNorm(settings.width)

    def forward(self, images):
        x = self.tokens(self.class_token.expand(len(images), -1), images)
        for layer in self.layers:
            x = layer(x)
        return self.classifier(self.output(x[:, 0]))


class TargetEmbedding(nn.Module):
    """The table of class embeddings, whose rows are used at unit length."""

    def __init__(self, settings):
        super().__init__()
        trained = settings.target_embedding != "frozen"
        self.table = nn.Parameter(torch.zeros(settings.classes, settings.width), requires_grad=trained)

    def rows(self):
        return functional.normalize(self.table, dim=1)


class Denoiser(VitBlock):
    """Finds an image's class for one interval of noise levels, from a noisy embedding of it: z = E[class] + sigma * noise."""

    layer_type = Layer

    def __init__(self, settings, layers):
        super().__init__(settings, layers)
        self.label_embedding = nn.Linear(settings.width, settings.width)
        self.noise_embedding = NoiseEmbedding(settings)
        self.output = Output(settings.width, settings.width)
        self.target_embedding = TargetEmbedding(settings)

    def noisy(self, labels, sigma, noise):
        """z [N, width] of labels [N]; noise standard normal [N, width]."""
        return self.target_embedding.rows()[labels] + sigma[:, None].to(noise.dtype) * noise

    def forward(self, images, z, sigma):
        """Logits [N, classes] from images, z [N, width] and sigma [N]."""
        deviation, data = self.settings.target_deviation, self.settings.sigma_data
        condition = functional.silu(self.noise_embedding(sigma))
        c_in = (sigma**2 + deviation**2).rsqrt().to(z.dtype)
        x = self.tokens(self.label_embedding(c_in[:, None] * z), images)
        for layer in self.layers:
            x = layer(x, condition)
        f = self.output(x[:, :1], condition)[:, 0]
        if self.settings.evidence == "analytic":
            return self.classifier(f) + self.evidence(z, sigma)
        total = sigma**2 + data**2
        c_skip, c_out = (c[:, None].to(z.dtype) for c in (data**2 / total, sigma * data / total.sqrt()))
        return self.classifier(c_skip * z + c_out * f)

    def evidence(self, z, sigma):
        """What z itself says of the classes, exactly: z E^T / sigma^2, never in less than float32."""
        with torch.autocast(z.device.type, enabled=False):
            return (z / (sigma**2)[:, None].to(z.dtype)) @ self.target_embedding.rows().t()

    def denoised(self, logits):
        """The expected embedding [N, width]."""
        return logits.softmax(dim=1) @ self.target_embedding.rows()


class Model(BlocksInARow):
    """The whole network: blocks[0] owns the highest noise."""

    format, settings_type = "blocktrain-vit", VitSettings

    @staticmethod
    def make_block(settings, layers):
        return (Denoiser if settings.denoises else Classifier)(settings, layers)

    def evaluate(self, images, z, sigma):
        """Logits of noisy embeddings z [N, width], each by the block that owns its noise level: sigma, a number or N."""
        self.require_noise()
        sigma, owners = self.by_owner(sigma, len(z), z.device)
        logits = z.new_empty(len(z), self.settings.classes)
        for block, rows in owners:
            logits[rows] = block(images[rows], z[rows], sigma[rows])
        return logits

    def require_noise(self):
        if not self.settings.denoises:
            raise ValueError("a network that was trained end to end knows no noise levels")

    @torch.no_grad()
    def classify(self, images, steps=None, noise=None):
        """Logits [N, classes] of images: after Euler steps from noise the answer of the last one, end to end of the image
        at once. steps: as many as there are blocks, where it is left out; with a multiple of them every block works
        equally often. `noise`: standard normal [N, width]; drawn by torch.randn when left out.
        """
        if not self.settings.denoises:
            return self.blocks[0](images)
        levels = self.levels(len(self.blocks) if steps is None else steps)
        if noise is None:
            noise = torch.randn(len(images), self.settings.width, device=images.device)
        z = noise.to(images.device) * math.hypot(self.settings.target_deviation, levels[0])
        for sigma, after in zip(levels[:-2], levels[1:]):
            kept = after / sigma
            block = self.blocks[self.owner(sigma)]
            z = kept * z + (1 - kept) * block.denoised(self.evaluate(images, z, sigma))
        return self.evaluate(images, z, levels[-2])


def compare(model, reference, metadata, device):
    """What --check compares: (what it is, found, expected, least scale) of each."""
    images, expected = reference["classify.image"].to(device), reference["classify.logits"]
    if not model.settings.denoises:
        return [(f"logits of {len(images)} images", model.classify(images), expected, 1.0)]
    steps, z, sigma = int(metadata["steps"]), reference["evaluate.z"].to(device), reference["evaluate.sigma"]
    blocks = len({model.owner(level) for level in sigma.tolist()})
    return [
        (f"noise levels of {steps} steps", column(model.levels(steps)), column(reference["classify.levels"]), 0.0),
        (
            f"{len(z)} rows of logits by {blocks} block{'' if blocks == 1 else 's'}",
            model.evaluate(reference["evaluate.image"].to(device), z, sigma),
            reference["evaluate.logits"],
            1.0,
        ),
        (
            f"logits of {len(images)} images after {steps} steps",
            model.classify(images, steps, reference["classify.noise"]),
            expected,
            1.0,
        ),
    ]


def main():
    return run("blocktrain_vit.py", __doc__, Model, compare)


if __name__ == "__main__":
    sys.exit(main())
