"""Golden answers of diffusers' schedulers, for src/diffusion.

Made with diffusers 0.40.0.dev0 (58eb52c0), PyTorch 2.13.0 (CPU, fp32), NumPy 2.4.6, SciPy 1.17.1. Seed 20.
Tolerance of the latents: 1e-5 of the largest value, unless src/diffusion/golden.test.ts says otherwise.

    PYTHONPATH=path/to/diffusers/src OMP_NUM_THREADS=2 python scripts/golden/diffusion.py

writes test/golden/diffusion/: cases.json names every case and what was asked for; arrays.bin holds the
float32 answers, little-endian, at the offsets (in values) that cases.json gives.
"""

import importlib
import inspect
import json
import os
import warnings

import numpy as np
import scipy.stats
import torch

import diffusers
from diffusers.configuration_utils import FrozenDict

warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity_error()
torch.manual_seed(20)
OUT = os.path.join(os.path.dirname(__file__), "../../test/golden/diffusion")
os.makedirs(OUT, exist_ok=True)

SHAPE = (2, 4, 4, 4)
POOL = torch.randn(64, *SHAPE)  # draw k of a run; draw 0 is the first noise
IMAGE = torch.randn(*SHAPE) * 0.8
MASK = (torch.arange(16).reshape(1, 1, 4, 4) % 3 == 0).float()

CLASSES = {
    "ddim": "DDIMScheduler", "pndm": "PNDMScheduler", "ddpm": "DDPMScheduler",
    "euler": "EulerDiscreteScheduler", "euler_a": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler", "lms": "LMSDiscreteScheduler", "dpm2": "KDPM2DiscreteScheduler",
    "dpm2_a": "KDPM2AncestralDiscreteScheduler", "dpmpp_2m": "DPMSolverMultistepScheduler",
    "dpmpp_2m_sde": "DPMSolverMultistepScheduler", "unipc": "UniPCMultistepScheduler",
    "deis": "DEISMultistepScheduler", "lcm": "LCMScheduler",
}
SIGMA = ["euler", "heun", "lms", "dpm2", "dpm2_a", "dpmpp_2m", "dpmpp_2m_sde", "unipc", "deis"]
NO_X0 = ["pndm", "euler_a", "dpm2", "dpm2_a"]

SD15 = {"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012,
        "beta_schedule": "scaled_linear", "beta_start": 0.00085, "clip_sample": False,
        "num_train_timesteps": 1000, "set_alpha_to_one": False, "skip_prk_steps": True,
        "steps_offset": 1, "trained_betas": None}

draws = []


def next_draw(shape, generator=None, device=None, dtype=None, layout=None):
    assert tuple(shape) == SHAPE
    draws.append(len(draws))
    return POOL[len(draws)].clone()  # the first draw of a run is POOL[1]


for name in set(CLASSES.values()):
    module = importlib.import_module(getattr(diffusers, name).__module__)
    if hasattr(module, "randn_tensor"):
        module.randn_tensor = next_draw


def load(file, inpaint=False):
    """The folder's scheduler, as a Stable Diffusion pipeline has it after loading."""
    scheduler = getattr(diffusers, file["_class_name"]).from_config(dict(file))
    config = dict(scheduler.config)
    if config.get("steps_offset", 1) != 1:
        config["steps_offset"] = 1
    if config.get("clip_sample", False) is True:
        config["clip_sample"] = False
    if inpaint and config.get("skip_prk_steps", True) is False:
        config["skip_prk_steps"] = True
    scheduler._internal_dict = FrozenDict(config)
    return scheduler


def scheduler_for(file, sampler, inpaint=False):
    scheduler = load(file, inpaint)
    if sampler is None:
        return scheduler
    extra = {}
    if sampler == "dpmpp_2m_sde" and not str(file.get("algorithm_type", "")).startswith("sde"):
        extra["algorithm_type"] = "sde-dpmsolver++"
    return getattr(diffusers, CLASSES[sampler]).from_config(scheduler.config, **extra)


def network(x, t):
    """A nonlinear map that is the same arithmetic everywhere, mixing neighbours and told t."""
    t = torch.as_tensor(t).float() / 1000
    flat = x.flatten(1)
    y = flat * 0.75 / (flat * flat * 0.1 + 1) + flat.roll(1, 1) * 0.15 + t * 0.2
    return y.reshape(x.shape)


def run(file, sampler, steps, strength=None, eta=0.0, inpaint=False):
    draws.clear()
    s = scheduler_for(file, sampler, inpaint)
    s.set_timesteps(steps)
    timesteps = s.timesteps
    if strength is not None:
        start = max(steps - min(int(steps * strength), steps), 0)
        timesteps = timesteps[start * s.order:]
        if hasattr(s, "set_begin_index"):
            s.set_begin_index(start * s.order)
    if strength is None or (inpaint and strength == 1):
        x = POOL[0] * s.init_noise_sigma
    else:
        x = s.add_noise(IMAGE, POOL[0], timesteps[:1].repeat(SHAPE[0]))
    kwargs = {"eta": eta} if "eta" in inspect.signature(s.step).parameters else {}
    trace = [x]
    for i, t in enumerate(timesteps):
        out = network(s.scale_model_input(x, t), t)
        x = s.step(out, t, x, **kwargs, return_dict=False)[0]
        if inpaint:
            known = IMAGE
            if i < len(timesteps) - 1:
                known = s.add_noise(IMAGE, POOL[0], torch.tensor([timesteps[i + 1]]))
            x = (1 - MASK) * known + MASK * x
        trace.append(x)
    return trace, s


values, cases = [], []
size = 0


def put(array):
    global size
    array = np.asarray(array, dtype=np.float32).reshape(-1)
    values.append(array)
    size += array.size
    return [size - array.size, array.size]


def case(sampler, steps, over=None, trace=False, base=SD15, **options):
    file = {**base, **(over or {})}
    steps_taken, s = run(file, sampler, steps, **options)
    final = steps_taken[-1]
    if not torch.isfinite(final).all():  # diffusers itself fails here: nothing to compare with
        print("not finite:", sampler, steps, over, options)
        return
    entry = {"sampler": sampler, "steps": steps, "file": over or {}, "draws": len(draws),
             "final": put(final), **options}
    if base is not SD15:
        entry["base"] = base
    if trace:
        entry["trace"] = put(torch.stack(steps_taken))
    cases.append(entry)


for sampler in CLASSES:
    predictions = ["epsilon", "v_prediction"] + ([] if sampler in NO_X0 else ["sample"])
    for prediction in predictions:
        over = {} if prediction == "epsilon" else {"prediction_type": prediction}
        for steps in (1, 2, 5, 12, 30):
            case(sampler, steps, over, trace=prediction == "epsilon" and steps == 5)
            if steps > 1:
                case(sampler, steps, over, strength=0.6)
    for spacing in ("linspace", "leading", "trailing"):
        for steps in (3, 12):
            case(sampler, steps, {"timestep_spacing": spacing})
    case(sampler, 7, {"timestep_spacing": "leading"}, strength=0.5)
    for steps, strength in ((6, 1.0), (12, 0.6)):
        case(sampler, steps, {}, strength=strength, inpaint=True)
    case(sampler, 6, {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02})
    case(sampler, 6, {"beta_schedule": "squaredcos_cap_v2"}, strength=0.9)
    if sampler in SIGMA:
        for kind in ("karras", "exponential", "beta"):
            over = {f"use_{kind}_sigmas": True}
            for steps in (2, 5, 12, 30):
                case(sampler, steps, over)
            case(sampler, 12, over, strength=0.6)
            case(sampler, 12, {**over, "prediction_type": "v_prediction"})
            case(sampler, 6, {**over, "beta_schedule": "squaredcos_cap_v2"}, strength=0.9)
        case(sampler, 6, {"use_karras_sigmas": True, "sigma_min": 0.1, "sigma_max": 10.0})
    if sampler in ("ddim", "ddpm", "euler", "euler_a", "dpmpp_2m", "dpmpp_2m_sde", "unipc", "lcm"):
        zero = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
        for steps in (2, 12):
            case(sampler, steps, zero)
        case(sampler, 12, {**zero, "timestep_spacing": "linspace"}, strength=0.6)

for eta in (0.5, 1.0):
    for steps in (2, 12):
        case("ddim", steps, {}, eta=eta)
    case("ddim", 12, {"prediction_type": "v_prediction"}, eta=eta, strength=0.6)
for sampler in ("ddim", "ddpm", "lcm"):
    case(sampler, 6, {"thresholding": True, "sample_max_value": 1.5})
    case(sampler, 6, {"thresholding": True})
case("ddim", 6, {"set_alpha_to_one": True})
case("heun", 6, {}, base={**SD15, "_class_name": "HeunDiscreteScheduler", "clip_sample": False})
for variance in ("fixed_small", "fixed_small_log", "fixed_large"):
    case("ddpm", 6, {"variance_type": variance})
for steps in (4, 5, 12):
    case("pndm", steps, {"skip_prk_steps": False}, trace=steps == 5)
case("pndm", 12, {"skip_prk_steps": False, "prediction_type": "v_prediction"}, strength=0.6)
case("pndm", 20, {"skip_prk_steps": False}, strength=0.9)
for over in ({"final_sigmas_type": "sigma_min"}, {"interpolation_type": "log_linear"},
             {"timestep_type": "continuous", "prediction_type": "v_prediction"}):
    case("euler", 6, over)
    case("euler", 12, over, strength=0.6)
for sampler in ("dpmpp_2m", "dpmpp_2m_sde"):
    for over in ({"solver_order": 1}, {"solver_order": 3}, {"solver_type": "heun"}, {"euler_at_final": True},
                 {"lower_order_final": False}, {"use_lu_lambdas": True}, {"final_sigmas_type": "sigma_min"},
                 {"final_sigmas_type": "sigma_min", "lower_order_final": False, "solver_order": 3},
                 {"lambda_min_clipped": -5.1}, {"thresholding": True, "sample_max_value": 1.5}):
        for steps in (6, 20):
            case(sampler, steps, over)
case("dpmpp_2m", 20, {"solver_order": 3, "use_karras_sigmas": True}, strength=0.6)
for algorithm, sampler in (("dpmsolver", "dpmpp_2m"), ("sde-dpmsolver", "dpmpp_2m_sde")):
    for over in ({}, {"solver_type": "heun"}, {"solver_order": 3}, {"prediction_type": "v_prediction"},
                 {"thresholding": True, "sample_max_value": 1.5}):
        if algorithm == "sde-dpmsolver" and "solver_order" in over:
            continue
        case(sampler, 12, {"algorithm_type": algorithm, "final_sigmas_type": "sigma_min", **over})
for over in ({"solver_order": 1}, {"solver_order": 3}, {"solver_type": "bh1", "final_sigmas_type": "sigma_min"}, {"solver_type": "bh1", "solver_order": 3, "final_sigmas_type": "sigma_min"},
             {"disable_corrector": [0, 1]}, {"final_sigmas_type": "sigma_min"}, {"thresholding": True, "sample_max_value": 1.5},
             {"final_sigmas_type": "sigma_min", "lower_order_final": False}):
    for steps in (6, 20):
        case("unipc", steps, over)
case("unipc", 12, {"predict_x0": False, "final_sigmas_type": "sigma_min"})
case("unipc", 12, {"use_karras_sigmas": True, "final_sigmas_type": "sigma_min"})
case("unipc", 20, {"solver_order": 3}, strength=0.6)
for over in ({"solver_order": 1}, {"solver_order": 3}, {"lower_order_final": False}, {"thresholding": True, "sample_max_value": 1.5},
             {"solver_order": 3, "prediction_type": "v_prediction"}):
    for steps in (6, 20):
        case("deis", steps, over)
case("lcm", 4, {"original_inference_steps": 100, "timestep_scaling": 5.0})

# What the file decides: absent keys, keys of other classes, the pipeline's corrections.
BARE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
for cls in ("PNDMScheduler", "DDIMScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler"):
    base = {"_class_name": cls, **BARE}
    for sampler in (None, "ddim", "pndm", "euler", "dpmpp_2m", "heun", "lcm"):
        case(sampler, 6, {}, base=base)
        case(sampler, 6, {"steps_offset": 0, "clip_sample": True, "timestep_spacing": "leading"}, base=base)
case(None, 6, {"skip_prk_steps": False}, base={"_class_name": "PNDMScheduler", **BARE}, strength=1.0, inpaint=True)

ladders = []
for sampler, cls in CLASSES.items():
    if sampler == "dpmpp_2m_sde":
        continue
    for spacing in ("linspace", "leading", "trailing"):
        for kind in (None, "karras", "exponential", "beta"):
            if kind is not None and (sampler not in SIGMA or spacing != "linspace"):
                continue
            for steps in (1, 2, 3, 7, 20, 50, 999):
                if sampler == "lcm" and steps > 50:
                    continue
                over = {"timestep_spacing": spacing}
                if kind:
                    over[f"use_{kind}_sigmas"] = True
                s = scheduler_for({**SD15, **over}, sampler)
                s.set_timesteps(steps)
                t = s.timesteps.double().numpy()
                keep = np.unique(np.r_[np.arange(min(len(t), 60)), np.arange(0, len(t), 97), len(t) - 1]) if steps == 999 else np.arange(len(t))
                entry = {"sampler": sampler, "steps": steps, "file": over, "count": len(t),
                         "at": keep.tolist() if steps == 999 else None, "t": put(t[keep]),
                         "initialNoise": float(s.init_noise_sigma)}
                if hasattr(s, "sigmas"):
                    entry["sigmas"] = put(s.sigmas.numpy()[keep])
                ladders.append(entry)

schedules = []
for kind in ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace", "exp"):
    for zero in (False, True):
        for count in (1000, 77):
            cls = "HeunDiscreteScheduler" if kind == "exp" else "DDPMScheduler"
            if zero and kind == "exp":
                continue
            s = getattr(diffusers, cls)(beta_schedule=kind, beta_start=0.00085, beta_end=0.012, num_train_timesteps=count,
                                        **({"rescale_betas_zero_snr": True} if zero else {}))
            keep = np.r_[np.arange(0, count, 13), count - 1]
            schedules.append({"kind": kind, "zero": zero, "count": count, "at": keep.tolist(),
                              "betas": put(s.betas.numpy()[keep]), "alphasCumprod": put(s.alphas_cumprod.numpy()[keep])})

# Defaults of every class, and what from_config keeps.
defaults = {}
for cls in dict.fromkeys(CLASSES.values()):
    signature = inspect.signature(getattr(diffusers, cls).__init__)
    defaults[cls] = {k: (None if isinstance(p.default, float) and np.isinf(p.default) else p.default)
                     for k, p in signature.parameters.items() if k != "self"}

from diffusers.guiders.guider_utils import rescale_noise_cfg  # noqa: E402

guided = POOL[0] + 6.5 * (POOL[1] - POOL[0])
guidance = {"scale": 6.5, "rescale": 0.7, "plain": put(guided), "rescaled": put(rescale_noise_cfg(guided, POOL[1], 0.7))}

ddpm = diffusers.DDPMScheduler(**{k: v for k, v in SD15.items() if k in ("beta_end", "beta_schedule", "beta_start")})
at = torch.tensor([1, 700])
forward = {"t": at.tolist(), "noisy": put(ddpm.add_noise(IMAGE, POOL[0], at)), "velocity": put(ddpm.get_velocity(IMAGE, POOL[0], at))}

ppf = [[a, b, p, float(scipy.stats.beta.ppf(p, a, b))] for a, b in ((0.6, 0.6), (2.0, 0.5), (1.0, 3.0))
       for p in (1e-6, 0.01, 0.1, 0.25, 0.5, 0.7, 0.9, 0.999)]

head = {"shape": SHAPE, "base": SD15, "pool": put(POOL), "image": put(IMAGE), "mask": put(MASK)}
json_text = json.dumps({**head, "ppf": ppf, "guidance": guidance, "forward": forward, "defaults": defaults,
                        "schedules": schedules, "ladders": [], "cases": []})
with open(f"{OUT}/cases.json", "w") as f:
    lines = {"ladders": ladders, "cases": cases}
    f.write(json_text[: json_text.index('"ladders": []')])
    f.write(",\n".join(f'"{k}": [\n' + ",\n".join(json.dumps(e) for e in v) + "\n]" for k, v in lines.items()) + "}\n")
np.concatenate(values).astype("<f4").tofile(f"{OUT}/arrays.bin")
print(len(cases), "cases", len(ladders), "ladders", size * 4, "bytes")
