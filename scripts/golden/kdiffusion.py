"""Runs of k-diffusion's samplers on a toy denoiser.

    python scripts/golden/kdiffusion.py K_DIFFUSION_CHECKOUT        writes test/golden/kdiffusion/samplers.json

Made with k-diffusion's sampling.py (snapshot 4601bf0), torch 2.13.0+cpu (AVX2 or AVX-512), torchsde 0.2.6, in float32.
torchsde imports a package `trampoline`; here a stand-in for its one function (running generators as coroutines) was used.
Picture k has seed SEED + k: its generator draws the first latents and the ancestral noise, and its Brownian tree has
that seed. The toy denoiser is d(x, sigma) = x / (1 + sigma^2) + x / (2 + 2 x^2), in float64 and rounded.
Kept: sigmas, first latents, the latents after each step, and where noise was asked for (float32, base64).
Tolerance: 1e-5 of the largest latent, with two exceptions of 1e-3. torch's log, exp and sqrt hang on the maths library
(Intel MKL here, off by the last bit in 1 to 20 % of the values). Where that bit moves a Brownian query by the tree's
resolution of 1e-6, the noise differs; and an ancestral step down to a hundredth of sigma at once (karras, 2 steps)
takes the root of a difference that has two digits left.
"""
import base64, importlib.util, json, os, sys, types
import numpy as np
import torch

OUT = os.path.join(os.path.dirname(__file__), "../../test/golden/kdiffusion/samplers.json")
SEED, SHAPE = 42, (2, 4, 2, 3)
SIGMA_MIN, SIGMA_MAX = 0.029167158, 14.614641


def load_sampling(checkout):
    """sampling.py alone: what the package imports beside it is not used here."""
    package, utils = types.ModuleType("k_diffusion"), types.ModuleType("k_diffusion.utils")
    utils.append_dims = lambda x, n: x[(...,) + (None,) * (n - x.ndim)]
    package.__path__, package.utils = [], utils
    ode = types.ModuleType("torchdiffeq")
    ode.odeint = None
    sys.modules.update({"k_diffusion": package, "k_diffusion.utils": utils, "torchdiffeq": ode})
    spec = importlib.util.spec_from_file_location("k_diffusion.sampling", f"{checkout}/k_diffusion/sampling.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


K = load_sampling(sys.argv[1])
text = lambda x: base64.b64encode(x.detach().numpy().astype("<f4").tobytes()).decode()


def toy(x, sigma):
    x, s = x.double(), sigma.double().view(-1, 1, 1, 1)
    return (x / (1 + s * s) + x / (2 + 2 * x * x)).float()


def schedule(name, n):
    if name == "karras":
        return K.get_sigmas_karras(n, SIGMA_MIN, SIGMA_MAX)
    if name == "exponential":
        return K.get_sigmas_exponential(n, SIGMA_MIN, SIGMA_MAX)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    every = ((1 - (1 - betas).cumprod(0)) / (1 - betas).cumprod(0)).sqrt()
    if name == "normal":
        return K.append_zero(every[torch.linspace(999, 0, n).round().long()])
    return every[torch.linspace(600, 200, n + 1).round().long()]  # "partial": starts low, stops before 0


def run(sampler, name, n, **options):
    sigmas = schedule(name, n)
    generators = [torch.Generator().manual_seed(SEED + k) for k in range(SHAPE[0])]
    randn = lambda: torch.stack([torch.randn(SHAPE[1:], generator=g) for g in generators])
    first = x = randn() * sigmas[0]
    queries, after = [], []
    if sampler == "dpmpp_2s_ancestral":
        noise = lambda a, b: randn()
    else:
        tree = K.BrownianTreeNoiseSampler(x, sigmas[sigmas > 0].min(), sigmas.max(), seed=[SEED + k for k in range(SHAPE[0])])
        noise = lambda a, b: (queries.extend([a, b]), tree(a, b))[1]
    callback = lambda info: after.append(info["x"])
    x = getattr(K, f"sample_{sampler}")(toy, x, sigmas, callback=callback, disable=True, noise_sampler=noise, **options)
    after = after[1:] + [x]
    return {"sampler": sampler, "schedule": name, "options": options, "sigmas": text(sigmas), "first": text(first),
            "after": [text(a) for a in after], "queries": text(torch.stack(queries)) if queries else ""}


torch.set_num_threads(1)
cases = []
for sampler in ("dpmpp_sde", "dpmpp_2s_ancestral", "dpmpp_3m_sde"):
    one = [] if sampler == "dpmpp_3m_sde" else [1]  # where a single step fails in k-diffusion (h is unbound)
    cases += [run(sampler, "karras", n) for n in (*one, 2, 5, 12)]
    cases += [run(sampler, "normal", 7), run(sampler, "exponential", 4), run(sampler, "partial", 3)]
    cases += [run(sampler, "karras", 5, eta=0.0), run(sampler, "karras", 5, eta=0.6, s_noise=1.01)]
cases.append(run("dpmpp_sde", "karras", 5, r=0.35))
with open(OUT, "w") as file:
    json.dump({"seed": SEED, "shape": SHAPE, "cases": cases}, file, indent=0)
    file.write("\n")
