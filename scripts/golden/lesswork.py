"""Less work for nearly the same picture: test/golden/lesswork.

    PYTHONPATH=<diffusers>/src DEEPCACHE=<DeepCache> TOMESD=<tomesd> python scripts/golden/lesswork.py

DEEPCACHE is a clone of github.com/horseee/DeepCache (1691a3a), TOMESD one of github.com/dbolya/tomesd (27a14a3).
Made with torch 2.13.0+cpu, transformers 5.18.0, diffusers 0.40.0.dev0 (58eb52c0), fp32 on the CPU.

lesswork.safetensors
  deep.N.B        final latents [1,4,8,8] of tiny-sd1 with DeepCache, deep features reused over N steps, cut at
                  branch B: what `request` in the metadata says, with DDIM.
  merge.S.HxW.x   tokens [2,H*W,C]; merge.S.HxW.y [squares,S*S,C]: what tomesd's bipartite soft matching makes of each
                  square of S^2 x S^2 pixels, where all tokens are merged and the destination of cell (i,j) lies at
                  (S i + j, S j + i). Rows of a square are in the order of their destinations.
  unet.S.x, .context, .y   tiny-sd1's answer at timestep `t` of the metadata, where keys and values of the self-attention
                  are merged so, cells of S at the finest level and of S/2 at the next.
Metadata: request, t; early: [{count, steps, power, at}], full steps of DeepCache's `sample_from_quad` where its power needs
no change.

Tolerance: relative error below 1e-3 for latents, 1e-4 for tokens and the UNet's answers.
"""

import importlib.util
import json
import os

import diffusers
import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTokenizer

torch.set_num_threads(2)
diffusers.utils.logging.set_verbosity_error()
diffusers.utils.logging.disable_progress_bar()
HERE = os.path.dirname(os.path.abspath(__file__))
MODEL, OUT = (os.path.join(HERE, "../../test/golden", d) for d in ("models/tiny-sd1", "lesswork"))


def module(env, path):
    """One file of a clone, without what its package would import."""
    spec = importlib.util.spec_from_file_location(path.replace("/", "_"), os.path.join(os.environ[env], path))
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


REQUEST = {"prompt": "a red house beside a lake", "negative_prompt": "snow", "steps": 10, "guidance_scale": 6.0, "seed": 11}


def deep_latents(pipe, interval, branch):
    helper = module("DEEPCACHE", "DeepCache/extension/deepcache.py").DeepCacheSDHelper(pipe=pipe)
    helper.set_params(cache_interval=interval, cache_branch_id=branch)
    helper.enable()
    latents = pipe(
        REQUEST["prompt"], negative_prompt=REQUEST["negative_prompt"], num_inference_steps=REQUEST["steps"],
        guidance_scale=REQUEST["guidance_scale"], generator=torch.Generator().manual_seed(REQUEST["seed"]), height=64, width=64,
        output_type="latent").images
    helper.disable()
    return latents


def full_steps(count, steps, power):
    """DeepCache's schedule of full steps, where it takes `power` as it is."""
    text = open(os.path.join(os.environ["DEEPCACHE"], "DeepCache/sd/pipeline_stable_diffusion.py")).read()
    start = text.index("def sample_from_quad(")
    names = {"np": np}
    exec(text[start:text.index("def sample_from_quad_center(")], names)
    at, used = names["sample_from_quad"](count, steps, power)
    return [int(i) for i in at] if used == power else None


def merged(tokens, h, w, side):
    """Tokens [B,h*w,C] -> [squares,side^2,C], each square merged by tomesd as a picture of its own."""
    merge = module("TOMESD", "tomesd/merge.py")
    edge = side * side
    b, _, c = tokens.shape
    squares = tokens.view(b, h // edge, edge, w // edge, edge, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, edge * edge, c)
    # tomesd draws a place in each cell: these are the ones.
    i, j = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    places = (j * side + i)[..., None]
    draw, torch.randint = torch.randint, lambda *_, **__: places
    try:
        join, _ = merge.bipartite_soft_matching_random2d(squares, edge, edge, side, side, edge * edge - edge, generator=torch.Generator())
    finally:
        torch.randint = draw
    result = join(squares)
    # Destinations in rising order: told by merging positions, of which tomesd keeps the destinations' apart.
    where = torch.argsort(_destinations(side))
    return result, where


def _destinations(side):
    """Positions of destinations in the order in which tomesd has them: its argsort of -1 and 0."""
    edge = side * side
    marks = torch.zeros(edge, edge, dtype=torch.int64)
    for i in range(side):
        for j in range(side):
            marks[side * i + j, side * j + i] = -1
    return marks.reshape(1, -1, 1).argsort(dim=1)[0, :edge, 0]


class MergedAttention:
    """Attention as diffusers has it, with keys and values merged where `side` says so of the number of tokens."""

    def __init__(self, sides):
        self.sides = sides

    def __call__(self, attn, hidden, encoder_hidden_states=None, **_):
        context = hidden if encoder_hidden_states is None else encoder_hidden_states
        h, w, side = self.sides.get(hidden.shape[1], (0, 0, 1))
        if encoder_hidden_states is None and side > 1:
            context = merged(hidden, h, w, side)[0].reshape(hidden.shape[0], -1, hidden.shape[2])
        split = lambda x: x.view(x.shape[0], x.shape[1], attn.heads, -1).transpose(1, 2)
        q, k, v = split(attn.to_q(hidden)), split(attn.to_k(context)), split(attn.to_v(context))
        return attn.to_out[0](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def main():
    os.makedirs(OUT, exist_ok=True)
    tensors, random = {}, torch.Generator().manual_seed(5)
    tokenizer = CLIPTokenizer.from_pretrained(f"{MODEL}/tokenizer", model_max_length=77)
    pipe = StableDiffusionPipeline.from_pretrained(MODEL, tokenizer=tokenizer, safety_checker=None, requires_safety_checker=False,
                                                   low_cpu_mem_usage=False)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    with torch.no_grad():
        for interval, branch in ((1, 0), (2, 0), (3, 0), (3, 1), (3, 2), (4, 4), (5, 7)):
            tensors[f"deep.{interval}.{branch}"] = deep_latents(pipe, interval, branch)
        for side, h, w in ((2, 8, 12), (3, 9, 9)):
            x = torch.randn(2, h * w, 6, generator=random)
            y, order = merged(x, h, w, side)
            tensors[f"merge.{side}.{h}x{w}.x"], tensors[f"merge.{side}.{h}x{w}.y"] = x, y[:, order]
        unet = UNet2DConditionModel.from_pretrained(MODEL, subfolder="unet", low_cpu_mem_usage=False).eval()
        h, w = 16, 32
        sides = {2: {h * w: (h, w, 2)}, 4: {h * w: (h, w, 4), h * w // 4: (h // 2, w // 2, 2)}}
        for side, of in sides.items():
            x, context = torch.randn(2, 4, h, w, generator=random), torch.randn(2, 77, 24, generator=random)
            unet.set_attn_processor(MergedAttention(of))
            tensors[f"unet.{side}.x"], tensors[f"unet.{side}.context"] = x, context
            tensors[f"unet.{side}.y"] = unet(x, 481, context).sample
    early = [{"count": c, "steps": s, "power": p, "at": full_steps(c, s, p)} for c, s, p in ((50, 10, 1.2), (50, 17, 1.4), (20, 4, 1.5), (30, 10, 1.1))]
    metadata = {"request": json.dumps(REQUEST), "t": "481", "early": json.dumps([row for row in early if row["at"]])}
    save_file({k: v.contiguous() for k, v in tensors.items()}, f"{OUT}/lesswork.safetensors", metadata)


main()
