"""diffusers, asked by bench/compare.ts: one JSON request a line on stdin, one JSON answer a line on stdout.

    {"do": "load", "folder": F, "dtype": "float32" | "bfloat16", "threads": N, "parts": ["text", "step", "decode"]}
    {"do": "step", "side": 512, "batch": 1}      a guided UNet call (batch doubled)
    {"do": "decode", "side": 512}                 one picture
    {"do": "text"}                                a guided pair of prompts
    {"do": "memory"}                              peak resident bytes
"""
import json
import resource
import sys
import time

started = time.perf_counter()
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel

unet = vae = text = None
dtype = torch.float32


def load(folder, dtype_name="float32", threads=0, parts=("text", "step", "decode")):
    global unet, vae, text, dtype
    if threads:
        torch.set_num_threads(threads)
    dtype = getattr(torch, dtype_name)
    if "text" in parts:
        text = CLIPTextModel.from_pretrained(f"{folder}/text_encoder", torch_dtype=dtype).eval()
    if "step" in parts:
        unet = UNet2DConditionModel.from_pretrained(f"{folder}/unet", torch_dtype=dtype).eval()
    if "decode" in parts:
        vae = AutoencoderKL.from_pretrained(f"{folder}/vae", torch_dtype=dtype).eval()
    if dtype != torch.float32:
        for model in (unet, vae):
            if model is not None:
                model.to(memory_format=torch.channels_last)
    return time.perf_counter() - started


def timed(f):
    begin = time.perf_counter()
    with torch.inference_mode():
        f()
    return time.perf_counter() - begin


def answer(request):
    do, side, batch = request["do"], request.get("side", 512) // 8, request.get("batch", 1)
    if do == "load":
        return load(request["folder"], request.get("dtype", "float32"), request.get("threads", 0), request.get("parts", ("text", "step", "decode")))
    if do == "step":
        x, c = torch.randn(2 * batch, 4, side, side).to(dtype), torch.randn(2 * batch, 77, 768).to(dtype)
        return timed(lambda: unet(x, 500, c))
    if do == "decode":
        z = torch.randn(1, 4, side, side).to(dtype)
        return timed(lambda: vae.decode(z))
    if do == "text":
        ids = torch.randint(0, 49408, (2, 77))
        return timed(lambda: text(ids))
    if do == "memory":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    raise ValueError(do)


for line in sys.stdin:
    print(json.dumps({"value": answer(json.loads(line))}), flush=True)
