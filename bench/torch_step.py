"""The peer of bench/step.cpp: the networks of scripts/export/blocktrain_*.py, trained in PyTorch for speed.

A server for bench/compare_step.py, which speaks as bench/peer.py says. On a GPU a step brings its batch along from
pinned memory, beside the step before, and nothing waits inside a row of steps. With --machine it measures what the
machine can do at most, instead.
"""

import argparse
import json
import math
import os
import statistics
import sys
import time

import torch
import torch.nn.attention
import torch.nn.functional as F
from torch import nn

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scripts", "export"))
import blocktrain_dit  # noqa: E402
import blocktrain_masked  # noqa: E402
import blocktrain_vit  # noqa: E402


def resident_bytes(key):
    for line in open("/proc/self/status"):
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return 0


def sizes_of(a):
    """What an export's metadata would say of the network."""
    image = dict(image_channels=a.channels, image_height=a.size, image_width=a.size, classes=a.classes)
    return dict(image, patch=a.patch, width=a.width, heads=a.heads, mlp_ratio=4, noise_features=256, layers_per_block=str(a.layers),
                sigma_data=0.5, p_mean=-1.2, p_std=1.2)


class DitTraining(nn.Module):
    """One block with private embeddings and output, or all layers: the network of the loader that `blocktrain export`
    ships, with the draws of a training step.
    """

    def __init__(self, a):
        super().__init__()
        noise = dict(target_deviation=0.5, partition="equal_probability", sigma_edges="80,0.002")
        self.block = blocktrain_dit.Block(blocktrain_dit.DitSettings(dict(sizes_of(a), **noise)), a.layers)
        self.block.noise_embedding.angle_dtype = torch.float32

    def draw_levels(self, count, device):
        return torch.exp(-1.2 + 1.2 * torch.randn(count, device=device))

    def loss(self, y, label, sigma):
        z = y + blocktrain_dit.per_image(sigma) * torch.randn_like(y)
        dropped = torch.where(torch.rand_like(sigma) < 0.1, -1, label)
        loss, _ = self.block.losses(self.block(z, sigma, dropped), y, sigma)
        return loss.mean()


class VitTraining(nn.Module):
    """The same of vit, by the defaults of its keys: a block with analytic evidence and a frozen table, or the plain
    classifier of all layers.
    """

    def __init__(self, a):
        super().__init__()
        noise = dict(evidence="analytic", target_embedding="frozen", partition="uniform_log", sigma_edges="6,0.03", dropout=0.1)
        training = "end_to_end" if a.end_to_end else "block_local"
        self.block = blocktrain_vit.Model(blocktrain_vit.VitSettings(dict(sizes_of(a), **noise, training=training))).blocks[0]
        if a.end_to_end:
            return
        self.block.noise_embedding.angle_dtype = torch.float32
        nn.init.normal_(self.block.target_embedding.table)

    def draw_levels(self, count, device):
        return torch.exp(math.log(0.03) + math.log(6 / 0.03) * torch.rand(count, device=device))

    def loss(self, image, label, sigma):
        if not self.block.settings.denoises:
            return self.block.losses(self.block(image), label).mean()
        z = self.block.noisy(label, sigma, torch.randn(len(label), self.block.settings.width, device=image.device))
        return self.block.losses(self.block(image, z, sigma), label).mean()


class MaskedTraining(nn.Module):
    """The same of masked: one block as the last of two would draw, or all layers for all levels. Each sample has its own
    number of masked tokens, drawn apart from the others'. Logits are made of the masked ones alone where nothing is compiled
    or captured; else shapes have to stay, and they are made of all tokens.
    """

    def __init__(self, a):
        super().__init__()
        sizes = dict(context=a.context, classes=a.classes, width=a.width, heads=a.heads, mlp_ratio=4, noise_features=256,
                     layers_per_block=str(a.layers))
        self.block = blocktrain_masked.Block(blocktrain_masked.MaskedSettings(sizes), a.layers)
        self.block.noise_embedding.angle_dtype = torch.float32
        self.most = a.context if a.end_to_end else a.context // 2
        self.shapes_stay = a.variant != "eager" or a.cuda

    def draw_levels(self, count, device):
        return torch.randint(1, self.most + 1, (count,), device=device) / self.block.settings.context

    def loss(self, tokens, level):
        order = torch.rand(tokens.shape, device=tokens.device).argsort(dim=1).argsort(dim=1)
        m = (level * tokens.shape[1]).round()
        masked = order < m[:, None]
        noisy = torch.where(masked, self.block.settings.mask, tokens)
        if not self.shapes_stay:
            return self.block.losses(noisy, level, tokens).mean()
        logits = self.block(noisy, level)
        each = F.cross_entropy(logits.flatten(0, 1).float(), tokens.flatten(), reduction="none").view(tokens.shape)
        return ((each * masked).sum(dim=1) / m).mean()


TRAININGS = {"dit": DitTraining, "vit": VitTraining, "masked": MaskedTraining}
VARIANTS = {  # name: mode of torch.compile, None without
    "eager": None,
    "compiled": "default",
    "reduce-overhead": "reduce-overhead",  # forward and backward as CUDA graphs
    "max-autotune": "max-autotune",        # the same, and products chosen by trying
    "whole-graph": "default",              # compiled, and the whole step with its optimizer as one CUDA graph
}


def attention_seconds(backend, batch, tokens, heads, width):
    """Forward and backward of one layer's attention, or infinity where the backend does not serve it."""
    qkv = torch.randn(batch, tokens, 3, heads, width // heads, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    dout = torch.randn(batch, tokens, width, device="cuda", dtype=torch.bfloat16)
    times = []
    try:
        with torch.nn.attention.sdpa_kernel(backend):
            for _ in range(8):
                begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                begin.record()
                q, k, v = qkv.permute(2, 0, 3, 1, 4)
                F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(dout.shape).backward(dout)
                end.record()
                end.synchronize()
                times.append(begin.elapsed_time(end) * 1e-3)
    except RuntimeError as error:
        print("attention by", backend, "does not work here:", error, file=sys.stderr)
        return float("inf")
    return statistics.median(times[3:])


def choose_attention(name, batch, tokens, heads, width):
    """Leaves one backend of attention on, with "auto" the fastest at this shape; says which."""
    kinds = torch.nn.attention.SDPBackend
    backends = {"flash": kinds.FLASH_ATTENTION, "cudnn": kinds.CUDNN_ATTENTION, "efficient": kinds.EFFICIENT_ATTENTION}
    if name == "auto":
        times = {n: attention_seconds(b, batch, tokens, heads, width) for n, b in backends.items()}
        name = min(times, key=times.get)
        if times[name] == float("inf"):
            return "default"
        torch.cuda.empty_cache()
    for n, enable in dict(flash=torch.backends.cuda.enable_flash_sdp, cudnn=torch.backends.cuda.enable_cudnn_sdp,
                          efficient=torch.backends.cuda.enable_mem_efficient_sdp).items():
        enable(n == name)
    torch.backends.cuda.enable_math_sdp(False)
    return name


def time_of(work, device, repetitions=10, calls=10):
    """Median seconds of one call."""
    times = []
    for _ in range(repetitions + 2):
        if device == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(calls):
            work()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append((time.perf_counter() - begin) / calls)
    return statistics.median(times[2:])


def measure_machine(cuda):
    """The fastest of some large matrix products, and a copy of memory (bytes read and written)."""
    device, dtype = ("cuda", torch.bfloat16) if cuda else ("cpu", torch.float32)
    shapes = [(8192, 8192, 8192), (16384, 8192, 8192), (32768, 4096, 4096)] if cuda else [(512, 512, 512)]
    rates = {}
    for m, n, k in shapes:
        a, b = torch.randn(m, k, device=device, dtype=dtype), torch.randn(k, n, device=device, dtype=dtype)
        out = torch.empty(m, n, device=device, dtype=dtype)
        rates["%dx%dx%d" % (m, n, k)] = 2 * m * n * k / time_of(lambda: torch.matmul(a, b, out=out), device) * 1e-12
    x = torch.zeros(2**28 if cuda else 2**24, dtype=torch.uint8, device=device)
    y = torch.empty_like(x)
    copy = 2 * x.numel() / time_of(lambda: y.copy_(x), device) * 1e-9
    return dict(device=torch.cuda.get_device_name() if cuda else "cpu", torch=torch.__version__, matmul_dtype=str(dtype),
                matmul_tflops=max(rates.values()), matmul_tflops_by_shape=rates, copy_gb_per_second=copy)


class Input:
    """The batch where a step reads it; on a GPU each step has it brought from pinned memory, beside the step before."""

    def __init__(self, a, device):
        if a.architecture == "masked":
            self.host = [torch.arange(a.batch * a.context).view(a.batch, a.context) % a.classes]
        else:
            self.host = [torch.randn(a.batch, a.channels, a.size, a.size), torch.arange(a.batch) % a.classes]
        self.cuda = device.type == "cuda"
        if self.cuda:
            self.host = [t.pin_memory() for t in self.host]
            self.arriving = [t.to(device) for t in self.host]
            self.side = torch.cuda.Stream()
        self.fields = [t.to(device) for t in self.host]

    def bring(self):
        if not self.cuda:
            return
        ops = torch.cuda.current_stream()
        with torch.cuda.stream(self.side):
            for to, source in zip(self.arriving, self.host):
                to.copy_(source, non_blocking=True)
        ops.wait_stream(self.side)
        for to, source in zip(self.fields, self.arriving):
            to.copy_(source)
        self.side.wait_stream(ops)


def make_step(a, device):
    """What takes one step, and brings its input."""
    cuda, mode = device.type == "cuda", VARIANTS[a.variant]
    model = TRAININGS[a.architecture](a).to(device)
    whole = a.variant == "whole-graph"
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0, fused=True, capturable=whole)
    loss_of = model.loss if mode is None else torch.compile(model.loss, mode=mode, dynamic=False)
    inputs = Input(a, device)

    def step():
        if mode in ("reduce-overhead", "max-autotune"):
            torch.compiler.cudagraph_mark_step_begin()
        sigma = model.draw_levels(a.batch, device)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=cuda):
            loss = loss_of(*inputs.fields, sigma)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()

    if whole:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(aside)
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()  # the graph takes memory of its own
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        step = graph.replay

    def take():
        inputs.bring()
        step()

    return take


def take_row(step, steps, cuda):
    """A row of steps without a wait inside: the seconds of each, and of the row."""
    if not cuda:
        marks = [time.perf_counter()]
        for _ in range(steps):
            step()
            marks.append(time.perf_counter())
        return dict(seconds=[b - a for a, b in zip(marks, marks[1:])])
    events = [torch.cuda.Event(enable_timing=True) for _ in range(steps + 1)]
    torch.cuda.synchronize()
    begin = time.perf_counter()
    events[0].record()
    for event in events[1:]:
        step()
        event.record()
    torch.cuda.synchronize()
    row = time.perf_counter() - begin
    return dict(seconds=[a.elapsed_time(b) * 1e-3 for a, b in zip(events, events[1:])], row=row)


def say(**values):
    print(json.dumps(values), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in dict(layers=8, width=64, heads=4, patch=2, batch=128, channels=1, size=8, classes=10, context=256,
                               threads=1).items():
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("--architecture", choices=list(TRAININGS), default="dit")
    parser.add_argument("--end-to-end", action="store_true", help="all layers are one network, trained end to end")
    parser.add_argument("--variant", choices=list(VARIANTS), default="eager")
    parser.add_argument("--attention", choices=["auto", "default", "flash", "cudnn", "efficient"], default="auto",
                        help="on a GPU; auto: the fastest here")
    parser.add_argument("--cuda", action="store_true", help="on the first GPU, in bfloat16 (autocast)")
    parser.add_argument("--machine", action="store_true", help="measure the machine's matrix products and copies instead")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    if a.machine:
        say(**measure_machine(a.cuda))
        return
    if not a.cuda and a.variant not in ("eager", "compiled"):
        parser.error("--variant %s needs --cuda" % a.variant)
    device = torch.device("cuda" if a.cuda else "cpu")
    free = torch.cuda.mem_get_info()[0] if a.cuda else 0  # with the driver's context there already
    if a.cuda:
        torch.set_float32_matmul_precision("high")
    warm = torch.randn(64, 64, requires_grad=True, device=device)
    (warm @ warm).sum().backward()  # the libraries are loaded now
    idle = resident_bytes("VmRSS")
    attention = "default"
    if a.cuda and a.attention != "default":
        tokens = a.context if a.architecture == "masked" else (a.size // a.patch) ** 2 + (a.architecture == "vit")
        attention = choose_attention(a.attention, a.batch, tokens, a.heads, a.width)
    say(idle=idle, torch=torch.__version__, variant=a.variant, attention=attention, batch=a.batch)

    step = None
    for line in sys.stdin:
        step = step or make_step(a, device)
        answer = take_row(step, int(line), a.cuda)
        answer["peak"] = resident_bytes("VmHWM")
        if a.cuda:
            answer.update(device_bytes=free - torch.cuda.mem_get_info()[0], max_allocated=torch.cuda.max_memory_allocated(),
                          max_reserved=torch.cuda.max_memory_reserved())
        say(**answer)


if __name__ == "__main__":
    main()
