"""python loader_test.py FOLDER: tests the loader in an exported folder, whose files it spoils on the way."""

import contextlib
import importlib
import io
import json
import os
import struct
import sys

import torch

torch.set_num_threads(1)  # threads that wait for each other would cost more than these networks
folder = sys.argv[1]
sys.dont_write_bytecode = True
sys.path.insert(0, folder)
(script,) = (name for name in os.listdir(folder) if name.endswith(".py"))
loader = importlib.import_module(script[:-3])

model_path = os.path.join(folder, "model.safetensors")
with open(model_path, "rb") as file:
    original = file.read()
(length,) = struct.unpack("<Q", original[:8])
header = json.loads(original[8 : 8 + length])
names = [name for name in header if name != "__metadata__"]


def write(data):
    with open(model_path, "wb") as file:
        file.write(data)


def check():
    """(exit code, what was said) of --check."""
    said = io.StringIO()
    sys.argv = [script, "--check", folder]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = loader.main()
    return code, said.getvalue()


def expect(condition, what):
    if not condition:
        sys.exit(f"loader_test.py: {what}")


def refused(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except ValueError:
        return True
    return False


def test_check(comparisons):
    code, said = check()
    print(said, end="")
    expect(code == 0 and said.count("ok") == comparisons, "the export as it is does not pass")
    fused = torch.nn.functional.__dict__.pop("scaled_dot_product_attention", None)  # as in PyTorch 1.13
    code, said = check()
    expect(code == 0 and said.count("ok") == comparisons, f"without fused attention it does not pass: {said}")
    if fused is not None:
        torch.nn.functional.scaled_dot_product_attention = fused


def test_every_tensor_counts():
    for name in names:
        begin, end = (8 + length + offset for offset in header[name]["data_offsets"])
        values = torch.frombuffer(bytearray(original[begin:end]), dtype=torch.float32)
        values = values + 0.05 * torch.cos(torch.arange(len(values), dtype=torch.float32))
        write(original[:begin] + struct.pack(f"<{len(values)}f", *values.tolist()) + original[end:])
        code, said = check()
        expect(code == 1 and "DIFFERS" in said, f"a change of {name} went unnoticed: {said}")
    write(original)


def with_header(changed):
    text = json.dumps(changed).encode()
    return struct.pack("<Q", len(text)) + text + original[8 + length :]


def with_metadata(**changed):
    return with_header({**header, "__metadata__": {**header["__metadata__"], **changed}})


def test_damage(own):
    """A damaged file is an error, never a traceback."""
    damaged = {
        "an empty file": b"",
        "a file cut in its header": original[: 8 + length // 2],
        "a file cut in its numbers": original[:-4],
        "no JSON": original[:8] + b"x" * length + original[8 + length :],
        "another format": with_metadata(format="other"),
        "a newer version": with_metadata(format_version="2"),
        "a wrong width": with_metadata(width="20"),
        "a tensor missing": with_header({name: header[name] for name in header if name != names[0]}),
        "a tensor too many": with_header({**header, "more": header[names[0]]}),
        "an unknown type": with_header({**header, names[0]: {**header[names[0]], "dtype": "F16"}}),
        "a tensor outside": with_header({**header, names[0]: {**header[names[0]], "data_offsets": [0, 1 << 40]}}),
        **own,
    }
    for what, data in damaged.items():
        write(data)
        code, said = check()
        expect(code == 1 and f"{script}: " in said and "model.safetensors" in said, f"{what}: {said}")
    write(original)
    with open(os.path.join(folder, "reference.safetensors"), "r+b") as file:
        file.truncate(100)
    expect(check()[0] == 1, "a damaged reference passes")


def test_owners(model):
    edges = model.settings.sigma_edges
    for b, edge in enumerate(edges[:-1]):
        expect(model.owner(edge) == b, f"edge {b} belongs to block {model.owner(edge)}")
    levels = model.levels(2 * len(model.blocks))
    expect(levels[::2] == edges, "the blocks' edges are not among twice as many levels")
    expect(all(a > b for a, b in zip(levels, levels[1:])), "levels do not fall")
    expect(refused(model.levels, 0), "no steps were taken")


def test_dit(model):
    """What --check does not use."""
    settings = model.settings
    images = model.sample([0, 1, -1], steps=4, guidance=1.5)
    expect(tuple(images.shape) == (3, *settings.image_shape) and bool(images.isfinite().all()), "sample without noise")
    z, high, low = torch.randn(4, *settings.image_shape), settings.sigma_edges[0], settings.sigma_edges[-1]
    mixed = model.denoise(z, [high, low, high, low], [0, 1, 2, -1])
    for i, sigma in enumerate([high, low, high, low]):
        alone = model.denoise(z[i : i + 1], sigma, [i if i < 3 else -1])
        expect(torch.allclose(mixed[i], alone[0], rtol=1e-4, atol=1e-5), "an image depends on others of its batch")
    none = model.denoise(z, high, -1)
    expect(torch.equal(model.denoise(z, high, 0, guidance=0), none), "guidance 0 is not the estimate of no class")
    expect(not torch.equal(model.denoise(z, high, 0), none), "the label has no effect")
    expect(refused(model.denoise, z, 2 * high, 0), "a noise level above all was taken")
    expect(refused(model.denoise, z, high, settings.classes), "a class too many was taken")
    expect(refused(model.sample, [0], steps=0), "no steps were taken")
    # Where sigma is sigma_data, the weight is 2 / sigma_data^2.
    levels = torch.full((4,), settings.sigma_data)
    loss, error = model.blocks[0].losses(z + torch.arange(4.0)[:, None, None, None], z, levels)
    expect(torch.allclose(error, torch.arange(4.0) ** 2, atol=1e-4), "the squared error is another")
    expect(torch.allclose(loss, error * 2 / settings.sigma_data**2, rtol=1e-5), "the loss is not the weighted error")
    trained = model.blocks[0]  # can be trained further
    levels = torch.full((4,), high)
    trained.losses(trained(z, levels, torch.zeros(4, dtype=torch.long)), z, levels)[0].mean().backward()
    expect(all(p.grad is not None for p in trained.parameters()), "a parameter has no gradient")


def test_vit(model):
    settings, block = model.settings, model.blocks[0]
    images, labels = torch.randn(4, *settings.image_shape), torch.arange(4) % settings.classes
    logits = model.classify(images)
    expect(tuple(logits.shape) == (4, settings.classes) and bool(logits.isfinite().all()), "classify without noise")
    if settings.denoises:
        z, high, low = torch.randn(4, settings.width), settings.sigma_edges[0], settings.sigma_edges[-1]
        with torch.no_grad():
            mixed = model.evaluate(images, z, [high, low, high, low])
            alone = [model.evaluate(images[i : i + 1], z[i : i + 1], (high, low)[i % 2])[0] for i in range(4)]
        expect(torch.allclose(mixed, torch.stack(alone), rtol=1e-4, atol=1e-4), "an image depends on others of its batch")
        expect(refused(model.evaluate, images, z, 2 * high), "a noise level above all was taken")
        sigma = torch.full((4,), settings.sigma_edges[1])
        noisy = block.noisy(labels, sigma, torch.zeros(4, settings.width))
        expect(torch.allclose(noisy.norm(dim=1), torch.ones(4)), "an embedding is not of unit length")
        answer = lambda: block(images, noisy, sigma)  # noqa: E731
    else:
        expect(refused(model.evaluate, images, None, 1.0), "a noise level was taken")
        answer = lambda: block(images)  # noqa: E731
    block.train()  # can be trained further, and drops then
    expect(torch.equal(answer(), answer()) == (settings.dropout == 0), "dropout")
    loss = block.losses(answer(), labels)
    expect(tuple(loss.shape) == (4,) and bool((loss > 0).all()), "the losses are not cross-entropies")
    loss.mean().backward()
    missing = [name for name, p in block.named_parameters() if p.requires_grad and p.grad is None]
    expect(not missing, f"parameters without a gradient: {missing}")


torch.manual_seed(1)
own_tests = {
    # Comparisons of --check where noise is drawn, damage of its own, test.
    "blocktrain_dit": (4, {}, test_dit),
    "blocktrain_vit": (3, {"unknown evidence": dict(evidence="other")}, test_vit),
}
comparisons, own, test = own_tests[loader.__name__]
noise = "sigma_edges" in header["__metadata__"]
test_check(comparisons if noise else 1)
test_every_tensor_counts()
own = {**own, "no edges": dict(sigma_edges="")} if noise else {}
model = loader.Model.load(folder)
test_damage({what: with_metadata(**changed) for what, changed in own.items()})
if noise:
    test_owners(model)
test(model)
