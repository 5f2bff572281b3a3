"""The peer of bench/step.cpp: the same network and training step in PyTorch, as a user would write it for speed.

Prints "ready IDLE_BYTES", then for every line "N" on standard input takes N steps and answers with the seconds of each
and the peak of its memory. IDLE_BYTES is what the process held before the network was made.
"""

import argparse
import math
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


def resident_bytes(key):
    for line in open("/proc/self/status"):
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return 0


def sincos_positions(side, width):
    quarter = width // 4
    frequency = 1.0 / 10000 ** (torch.arange(quarter) / quarter)
    place = torch.arange(side)[:, None] * frequency
    axis = torch.cat([place.sin(), place.cos()], dim=1)
    rows = axis[:, None, :].expand(side, side, -1)
    columns = axis[None, :, :].expand(side, side, -1)
    return torch.cat([rows, columns], dim=2).reshape(side * side, width)


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.modulation = nn.Linear(width, 6 * width)
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x, condition):
        samples, tokens, width = x.shape
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition)[:, None].chunk(6, dim=2)
        h = F.layer_norm(x, (width,), eps=1e-6) * (1 + scale1) + shift1
        q, k, v = self.qkv(h).view(samples, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(samples, tokens, width)
        x = x + gate1 * self.projection(h)
        h = F.layer_norm(x, (width,), eps=1e-6) * (1 + scale2) + shift2
        return x + gate2 * self.narrow(F.gelu(self.widen(h), approximate="tanh"))


class Dit(nn.Module):
    """One block with private embeddings and output, or all layers."""

    def __init__(self, layers, width, heads, patch, channels, size, classes, sigma_data=0.5):
        super().__init__()
        self.patch, self.side, self.channels, self.sigma_data = patch, size // patch, channels, sigma_data
        self.embed = nn.Linear(channels * patch * patch, width)
        self.register_buffer("positions", sincos_positions(self.side, width))
        self.register_buffer("frequencies", 100.0 * 10000.0 ** (-torch.arange(128) / 128.0))
        self.noise = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        self.labels = nn.Embedding(classes + 1, width)
        self.layers = nn.ModuleList([Layer(width, heads) for _ in range(layers)])
        self.modulation = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, channels * patch * patch)

    def loss(self, y, label, sigma):
        samples, channels, size, _ = y.shape
        p, side = self.patch, self.side
        s, sd = sigma[:, None, None, None], self.sigma_data
        z = y + s * torch.randn_like(y)
        total = s * s + sd * sd
        x = (z * total.rsqrt()).view(samples, channels, side, p, side, p).permute(0, 2, 4, 1, 3, 5).reshape(samples, side * side, -1)
        x = self.embed(x) + self.positions
        angles = (sigma.log() / 4)[:, None] * self.frequencies
        dropped = torch.where(torch.rand_like(sigma) < 0.1, self.labels.num_embeddings - 1, label)
        condition = F.silu(self.noise(torch.cat([angles.cos(), angles.sin()], dim=1)) + self.labels(dropped))
        for layer in self.layers:
            x = layer(x, condition)
        shift, scale = self.modulation(condition)[:, None].chunk(2, dim=2)
        x = self.output(F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift)
        flow = x.view(samples, side, side, channels, p, p).permute(0, 3, 1, 4, 2, 5).reshape(samples, channels, size, size)
        denoised = sd * sd / total * z + s * sd * total.rsqrt() * flow
        weight = (total / (s * sd) ** 2).view(samples)
        return (weight * (denoised - y).square().flatten(1).mean(dim=1)).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in dict(layers=8, width=64, heads=4, patch=2, batch=128, channels=1, size=8, classes=10, threads=1).items():
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--cuda", action="store_true", help="on the first GPU, in bfloat16 (autocast)")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    device = torch.device("cuda" if a.cuda else "cpu")
    warm = torch.randn(64, 64, requires_grad=True, device=device)
    (warm @ warm).sum().backward()  # the libraries are loaded now
    idle = resident_bytes("VmRSS")

    model = Dit(a.layers, a.width, a.heads, a.patch, a.channels, a.size, a.classes).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.0, fused=True)
    y = torch.randn(a.batch, a.channels, a.size, a.size, device=device)
    label = torch.arange(a.batch, device=device) % a.classes
    loss_of = torch.compile(model.loss) if a.compile else model.loss

    def step():
        sigma = torch.exp(-1.2 + 1.2 * torch.randn(a.batch, device=device))
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=a.cuda):
            loss = loss_of(y, label, sigma)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    print("ready", idle, flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            begin = time.perf_counter()
            step()
            if a.cuda:
                torch.cuda.synchronize()
            times.append(time.perf_counter() - begin)
        print(*("%.9f" % t for t in times), resident_bytes("VmHWM"), flush=True)


if __name__ == "__main__":
    main()
