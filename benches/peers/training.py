"""Training steps of PyTorch and Brevitas."""

import time

import numpy as np

LEARNING_RATE = 0.02
STEPS_THAT_COLLECT = 2


def brevitas(network, images, batch, threads, warm_up, seconds):
    """Steps of a quantized network."""
    return measure(_brevitas_network(network), images, batch, threads, warm_up, seconds)


def pytorch(network, images, batch, threads, warm_up, seconds):
    """Steps of the network without quantizers."""
    from peers.resnet18 import PlainLayers, resnet18

    return measure(resnet18(PlainLayers()), images, batch, threads, warm_up, seconds)


def measure(model, images, batch, threads, warm_up, seconds):
    """Images per second of whole steps (forward, backward, Adam) on a batch that lies in memory.

    `seconds` is a lower bound, and so are three steps; `warm_up` steps come before.
    """
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    pixels = torch.from_numpy(np.load(images)[:batch])
    targets = -torch.ones(batch, 10)
    targets[torch.arange(batch), torch.randint(0, 10, (batch,))] = 1
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    model.train()

    def step():
        optimizer.zero_grad()
        margin = torch.relu(1 - model(pixels) * targets)
        (margin * margin).mean().backward()
        optimizer.step()
        if hasattr(model, "clip_weights"):
            model.clip_weights(-1, 1)

    for _ in range(warm_up):
        step()
    steps, start = 0, time.perf_counter()
    while steps < 3 or time.perf_counter() - start < seconds:
        step()
        steps += 1
    return {"images_per_second": steps * batch / (time.perf_counter() - start), "steps": steps}


def _brevitas_network(name):
    """Minifloats are built here, the others are Brevitas' own examples."""
    from peers.resnet18 import MinifloatLayers, resnet18

    if "_FLOAT_E" in name:
        exponent_bits, mantissa_bits = name.rsplit("_E", 1)[1].split("M")
        return resnet18(MinifloatLayers(int(exponent_bits), int(mantissa_bits)))
    from brevitas_examples.bnn_pynq.models import model_with_cfg

    model, _ = model_with_cfg(name, False)
    # Activations' scales are measured in the first steps and learned after them. The steady state is what
    # counts, and 300 steps before it would take minutes.
    for module in model.modules():
        if hasattr(module, "collect_stats_steps"):
            module.collect_stats_steps = STEPS_THAT_COLLECT
    return model
