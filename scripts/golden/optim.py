"""How optimizers move parameters: test/golden/optim/optim.json.

    PYTHONPATH=<diffusers>/src python scripts/golden/optim.py

Made with torch 2.13.0+cpu, diffusers 0.40.0.dev0 (58eb52c0), fp32 on the CPU.
- cases: 25 steps of an optimizer over four parameters. They begin as `derive` has it for the model "optim"; the gradient of
  parameter k at step s, micro-batch b is `noise` of "optim/s/b/k", times `size` (README.md has both). `spec`, `schedule`,
  `clip`, `micro` (gradients that are averaged in a step), `ema`: as Tintype's own types have them. Rates and decay by
  parameter are in `groups`. `norms`: what clip_grad_norm_ returned at each step. `after`: parameters, averages and
  optimizer state after step 1, 5 and 25. torch.optim.AdamW, Adam, SGD; clip_grad_norm_; get_scheduler. torch has no Lion:
  it is written out here from Chen et al. 2023, Algorithm 2, in torch's fp32. Averages: LDM's LitEma, written out.
  Tolerance: 1e-6 of each array's norm.
- schedules: learning rates of diffusers.optimization.get_scheduler. Tolerance: 1e-12.
Arrays are float32, base64.
"""

import base64
import json
import os

import numpy as np
import torch
from diffusers.optimization import get_scheduler

torch.set_num_threads(2)
OUT = os.path.join(os.path.dirname(__file__), "../../test/golden/optim")
SHAPES = {"conv.weight": [6, 3, 3, 3], "linear.weight": [5, 7], "linear.bias": [5], "norm.weight": [19]}
STEPS, SHOWN = 25, (1, 5, 25)


def uniform(name, n):
    key = 0x811C9DC5
    for byte in name.encode():
        key = (key ^ byte) * 0x01000193 % 2**32
    with np.errstate(over="ignore"):
        x = np.arange(n, dtype=np.uint32) ^ np.uint32(key)
        x ^= x >> 16
        x *= np.uint32(0x7FEB352D)
        x ^= x >> 15
        x *= np.uint32(0x846CA68B)
        x ^= x >> 16
    return (x >> 8).astype(np.float32) * np.float32(2**-23) - np.float32(1)


def derive(model, key, shape):
    u = uniform(f"{model}/{key}", int(np.prod(shape)))
    if key.endswith("bias"):
        u = u * np.float32(0.05)
    elif len(shape) == 1:
        u = u * np.float32(0.1) + np.float32(1)
    else:
        u = u * np.float32(np.sqrt(3 / np.prod(shape[1:])))
    return torch.from_numpy(u.reshape(shape))


def noise(name, shape):
    u = uniform(f"input/{name}", int(np.prod(shape))) * np.float32(np.sqrt(3))
    return torch.from_numpy(u.reshape(shape))


class Lion(torch.optim.Optimizer):
    def __init__(self, groups, lr, betas, weight_decay):
        super().__init__(groups, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            lr, (b1, b2), decay = group["lr"], group["betas"], group["weight_decay"]
            for p in group["params"]:
                m = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                update = (b1 * m + (1 - b1) * p.grad).sign()
                p.sub_(lr * (update + decay * p))
                m.copy_(b2 * m + (1 - b2) * p.grad)


MAKERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD, "lion": Lion}
PYTHON_NAMES = {"weightDecay": "weight_decay", "epsilon": "eps"}


def scheduler(optimizer, schedule):
    kind, warmup = schedule["kind"], schedule.get("warmup", 0)
    name = {"constant": "constant_with_warmup"}.get(kind, kind)
    return get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=schedule.get("steps"))


def ema_decay(ema, step):
    n = step + 1
    return min(ema["decay"], (1 + n) / (10 + n)) if ema.get("warmup") else ema["decay"]


def packed(tensors):
    return {k: base64.b64encode(t.detach().numpy().astype("<f4").tobytes()).decode() for k, t in tensors.items()}


def case(name, spec, schedule, clip=None, micro=1, ema=None, size=0.1, groups={}):
    params = {k: derive("optim", k, s).requires_grad_() for k, s in SHAPES.items()}
    options = {PYTHON_NAMES.get(k, k): v for k, v in spec.items() if k != "kind"}
    options["weight_decay"] = options.get("weight_decay", 0.01 if spec["kind"] == "adamw" else 0)
    peak = schedule["learningRate"]
    python_groups = []
    for k, p in params.items():
        group = groups.get(k, {})
        decays = group.get("decay", len(SHAPES[k]) > 1)
        python_groups.append(dict(params=[p], lr=peak * group.get("rate", 1), weight_decay=options["weight_decay"] if decays else 0))
    optimizer = MAKERS[spec["kind"]](python_groups, lr=peak, **options)
    rates = scheduler(optimizer, schedule)
    average = {k: p.detach().clone() for k, p in params.items()}
    norms, after = [], {}
    for step in range(STEPS):
        for k, p in params.items():
            p.grad = sum(size * noise(f"optim/{step}/{b}/{k}", SHAPES[k]) / micro for b in range(micro))
        norms.append(torch.nn.utils.clip_grad_norm_(params.values(), clip if clip is not None else float("inf")).item())
        optimizer.step()
        rates.step()
        for k, p in params.items():
            if ema is not None:
                average[k] -= (1 - ema_decay(ema, step)) * (average[k] - p.detach())
        if step + 1 in SHOWN:
            shown = {"params": params} | ({"ema": average} if ema else {})
            for part in optimizer.state[params["linear.bias"]]:
                if part != "step":
                    shown[part] = {k: optimizer.state[p][part] for k, p in params.items()}
            after[step + 1] = {part: packed(tensors) for part, tensors in shown.items()}
    optional = {"clip": clip, "ema": ema}
    return dict(name=name, spec=spec, schedule=schedule, micro=micro, size=size, groups=groups, norms=norms, after=after,
                **{k: v for k, v in optional.items() if v is not None})


def constant(rate, **more):
    return {"kind": "constant", "learningRate": rate, **more}


CASES = [
    case("adamw, defaults", {"kind": "adamw"}, constant(1e-3)),
    case("adamw, decay, clipping, warm-up, cosine, average", {"kind": "adamw", "betas": [0.9, 0.99], "weightDecay": 0.1, "epsilon": 1e-6},
         {"kind": "cosine", "learningRate": 3e-3, "warmup": 5, "steps": 40}, clip=1.0, ema={"decay": 0.9}),
    case("adamw, rates and decay by parameter, average with warm-up", {"kind": "adamw", "weightDecay": 0.05}, constant(1e-3, warmup=3), size=1.0,
         ema={"decay": 0.5, "warmup": True}, groups={"linear.weight": {"rate": 0.25, "decay": False}, "norm.weight": {"decay": True}}),
    case("adamw, three micro-batches", {"kind": "adamw"}, constant(1e-3), micro=3, clip=0.3),
    case("adam of adversaries", {"kind": "adam", "betas": [0.5, 0.9]}, constant(2e-4)),
    case("adam with L2 decay", {"kind": "adam", "weightDecay": 0.1}, {"kind": "linear", "learningRate": 1e-2, "warmup": 2, "steps": 20}),
    case("sgd", {"kind": "sgd"}, constant(0.1)),
    case("sgd with momentum", {"kind": "sgd", "momentum": 0.9, "weightDecay": 1e-2}, constant(0.05), clip=0.5),
    case("sgd with Nesterov's momentum", {"kind": "sgd", "momentum": 0.8, "nesterov": True}, constant(0.05), micro=2),
    case("lion", {"kind": "lion", "betas": [0.9, 0.99], "weightDecay": 0.1}, constant(1e-3), clip=1.0, ema={"decay": 0.99, "warmup": True}),
]

SCHEDULES = [constant(1e-3), constant(1e-3, warmup=7)] + [
    {"kind": kind, "learningRate": 2e-4, **more, "steps": 50} for kind in ("cosine", "linear") for more in ({}, {"warmup": 10})
]


def learning_rates(schedule):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=schedule["learningRate"])
    rates = scheduler(optimizer, schedule)
    out = []
    for _ in range(60):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        rates.step()
    return out


os.makedirs(OUT, exist_ok=True)
with open(f"{OUT}/optim.json", "w") as file:
    json.dump({"shapes": SHAPES, "cases": CASES, "schedules": [{"schedule": s, "rates": learning_rates(s)} for s in SCHEDULES]}, file)
