#!/usr/bin/env python3
"""A network written by `blocktrain export`, in PyTorch. Needs torch 1.13 or newer and Python 3.8 or newer.

    from blocktrain_masked import Model

    model = Model.load("RUN/export")                  # or Model.load(folder, device="cuda")
    noisy, level = model.masked(tokens, m)            # [N, context], [N]; m of the tokens of each sample are masked
    logits = model.evaluate(noisy, level)             # [N, context, classes], each by the block that owns its level
    nats = model.bound(tokens)                        # [N]: a draw of the bound of -log p(tokens) / context

    python blocktrain_masked.py --check [FOLDER]      # does it compute what blocktrain computed? exit code 0 or 1

The network is a row of blocks that find masked tokens again, each where another share of them is masked; a network trained
end to end is one block for all of them. Tokens count from 0, and the number of symbols stands for a masked one. Every
block is a torch.nn.Module and can be trained further, by the mean of its losses().
"""

import sys

import torch
from torch import nn
from torch.nn import functional

from blocktrain_common import (
    BlocksInARow,
    Layer,
    NoiseEmbedding,
    OutputNorm,
    Settings,
    rotary_angles,
    run,
)


class MaskedSettings(Settings):
    def __init__(self, metadata):
        super().__init__(metadata)
        self.context, self.noise_features = int(metadata["context"]), int(metadata["noise_features"])

    @property
    def mask(self):
        """Stands for a masked token."""
        return self.classes


class TokenEmbedding(nn.Module):
    """The last row of the table stands for a masked token."""

    def __init__(self, settings):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(settings.classes + 1, settings.width))

    def forward(self, tokens):
        return functional.embedding(tokens, self.table)


class Block(nn.Module):
    """Finds tokens again for one interval of levels: the share of the tokens that is masked."""

    def __init__(self, settings, layers):
        super().__init__()
        self.settings = settings
        self.token_embedding = TokenEmbedding(settings)
        self.noise_embedding = NoiseEmbedding(settings)
        self.layers = nn.ModuleList([Layer(settings) for _ in range(layers)])
        self.output = OutputNorm(settings.width)
        self.head = nn.Linear(settings.width, settings.classes)
        angles = rotary_angles(settings.context, settings.width // settings.heads)
        self.register_buffer("angles", angles.float(), persistent=False)

    def features(self, noisy, level):
        """[N, context, width], of which logits are made."""
        condition = functional.silu(self.noise_embedding(level))
        x = functional.dropout(self.token_embedding(noisy), self.settings.dropout, self.training)
        for layer in self.layers:
            x = layer(x, condition, self.angles)
        return self.output(x, condition)

    def forward(self, noisy, level):
        """Logits [N, context, classes] of tokens [N, context], some of them masked, at levels [N]."""
        return self.head(self.features(noisy, level))

    def losses(self, noisy, level, tokens):
        """Mean cross-entropy [N] of the masked tokens of each sample; blocktrain trains by its mean. Logits are made of
        the masked ones alone.
        """
        masked = noisy == self.settings.mask
        logits = self.head(self.features(noisy, level)[masked])
        logits = logits.float() if logits.dtype == torch.bfloat16 else logits
        each = functional.cross_entropy(logits, tokens[masked].long(), reduction="none")
        sums = torch.zeros(masked.shape, dtype=each.dtype, device=each.device).masked_scatter(masked, each).sum(dim=1)
        return sums / masked.sum(dim=1)


class Model(BlocksInARow):
    """The whole network: blocks[0] owns the levels at which most is masked."""

    format, settings_type, make_block = "blocktrain-masked", MaskedSettings, Block

    def owner(self, level):
        """Index of the block that owns a level m / context."""
        context, blocks = self.settings.context, len(self.blocks)
        m = round(level * context)
        if not 1 <= m <= context:
            raise ValueError(f"level {level}: this network knows levels from 1/{context} to 1")
        return next(b for b in range(blocks) if m > context * (blocks - b - 1) // blocks)

    def evaluate(self, noisy, level):
        """Logits [N, context, classes] of partly masked tokens, each by the block that owns its level: a number or N."""
        level, owners = self.by_owner(level, len(noisy), noisy.device)
        logits = self.blocks[0].head.weight.new_empty(*noisy.shape, self.settings.classes)
        for block, rows in owners:
            logits[rows] = block(noisy[rows], level[rows])
        return logits

    def masked(self, tokens, m):
        """(tokens [N, context] of which m are masked, [N] or a number, at random places, their levels [N])."""
        m = torch.as_tensor(m, device=tokens.device).expand(len(tokens))
        order = torch.rand(tokens.shape, device=tokens.device).argsort(dim=1).argsort(dim=1)
        return torch.where(order < m[:, None], self.settings.mask, tokens), m / self.settings.context

    @torch.no_grad()
    def bound(self, tokens):
        """Nats per token [N], whose mean over many calls and texts bounds the cross-entropy of the texts."""
        m = torch.randint(1, self.settings.context + 1, (len(tokens),), device=tokens.device)
        noisy, level = self.masked(tokens, m)
        each = functional.cross_entropy(self.evaluate(noisy, level).transpose(1, 2), tokens.long(), reduction="none")
        return (each * (noisy == self.settings.mask)).sum(dim=1) / m


def compare(model, reference, metadata, device):
    """What --check compares: (what it is, found, expected, least scale) of each."""
    noisy, level = reference["evaluate.noisy"].to(device), reference["evaluate.level"]
    blocks = len({model.owner(each) for each in level.tolist()})
    return [
        (
            f"logits of {len(noisy)} texts by {blocks} block{'' if blocks == 1 else 's'}",
            model.evaluate(noisy, level),
            reference["evaluate.logits"],
            1.0,
        )
    ]


def main():
    return run("blocktrain_masked.py", __doc__, Model, compare)


if __name__ == "__main__":
    sys.exit(main())
