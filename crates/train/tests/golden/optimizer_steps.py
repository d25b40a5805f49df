"""Writes optimizer_steps.json: a few steps of PyTorch's optimizers and of its weight averaging.

    python optimizer_steps.py > optimizer_steps.json
"""

import json
import re

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

SEED = 1
STEPS = 6
VALUES = 8

CASES = [
    ("sgd", "SGD", dict(lr=0.1, momentum=0.9)),
    ("sgd with weight decay", "SGD", dict(lr=0.1, momentum=0.9, weight_decay=0.25)),
    ("nesterov", "SGD", dict(lr=0.1, momentum=0.9, nesterov=True)),
    ("nesterov with weight decay", "SGD", dict(lr=0.1, momentum=0.5, nesterov=True, weight_decay=0.25)),
    ("adam", "ADAM", dict(lr=0.02)),
    ("adam with weight decay", "ADAM", dict(lr=0.02, weight_decay=0.25)),
    ("adamw", "ADAMW", dict(lr=0.02, weight_decay=0.0)),
    ("adamw with weight decay", "ADAMW", dict(lr=0.02, weight_decay=0.25)),
]
CLASSES = {"SGD": torch.optim.SGD, "ADAM": torch.optim.Adam, "ADAMW": torch.optim.AdamW}


def steps(optim, settings, start, gradients):
    parameter = torch.nn.Parameter(start.clone())
    optimizer = CLASSES[optim]([parameter], **settings)
    values = []
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
        values.append(parameter.detach().tolist())
    return values


def averages(decay, start, gradients):
    """A parameter and the running mean beside it, which are averaged alike."""
    model = torch.nn.BatchNorm1d(VALUES)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    weights, means, counts, of_weights, of_means, of_counts = [], [], [], [], [], []
    with torch.no_grad():
        for step, gradient in enumerate(gradients):
            model.weight.copy_(start + gradient)
            model.running_mean.copy_(start - gradient)
            model.num_batches_tracked.fill_(step + 1)
            averaged.update_parameters(model)
            weights.append(model.weight.tolist())
            means.append(model.running_mean.tolist())
            counts.append(model.num_batches_tracked.item())
            of_weights.append(averaged.module.weight.tolist())
            of_means.append(averaged.module.running_mean.tolist())
            of_counts.append(averaged.module.num_batches_tracked.item())
    return dict(
        decay=decay, weights=weights, running_means=means, average_of_weights=of_weights,
        average_of_running_means=of_means,
    )


torch.manual_seed(SEED)
start = torch.randn(VALUES)
gradients = torch.randn(STEPS, VALUES)
text = json.dumps(dict(
    made_with=f"PyTorch {torch.__version__}",
    seed=SEED,
    start=start.tolist(),
    gradients=gradients.tolist(),
    steps=[
        dict(case=case, optim=optim, **settings, values=steps(optim, settings, start, gradients))
        for case, optim, settings in CASES
    ],
    averages=[averages(decay, start, gradients) for decay in (0.9, 0.25)],
), indent=1)
# Numbers that belong together stay on a line.
print(re.sub(r"\[\s+([^][{}]+?)\s+\]", lambda list: "[" + re.sub(r"\s+", " ", list[1]) + "]", text))
