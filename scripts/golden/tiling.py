"""How far diffusers' tiled autoencoder is from its whole one: test/golden/tiling.

    PYTHONPATH=<diffusers>/src python scripts/golden/tiling.py [--model VAE_FOLDER --picture FILE ...]

Made with torch 2.13.0+cpu, diffusers 0.40.0.dev0 (58eb52c0), fp32 on the CPU. With --model and --picture it writes nothing and prints the
same numbers for pictures that are encoded and decoded by another autoencoder, as `bench/tiling.ts` does for Tintype.

tiling.safetensors, by tiny-sd1's autoencoder:
  latents  [1,4,h,w]: waves and slopes of their indices, so that no tile is like the whole, see `latents`
  whole    [1,3,8h,8w]: decoded whole, as they are (no scaling)
  moments  [1,8,h,w]: `whole` encoded whole; mean, then logvar (not clamped)
Metadata: tiles {tile, overlap} in pixels; decode, encode: what `enable_tiling` with those tiles makes of it, against the whole:
  rms   Euclidean norm of the difference over the whole's
  max   largest difference
  tone  largest difference of means over cells of 4 x 4 latents
Encoding compares means alone.

Tolerance: whole and moments within 1e-4, as in components; tiles must differ by less than diffusers' do.
"""

import argparse
import json
import os

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from PIL import Image
from safetensors.torch import save_file

torch.set_num_threads(2)
torch.set_grad_enabled(False)
HERE = os.path.dirname(os.path.abspath(__file__))
MODEL, OUT = (os.path.join(HERE, "../../test/golden", d) for d in ("models/tiny-sd1/vae", "tiling"))
HEIGHT, WIDTH = 28, 36


def latents():
    """Waves of several lengths, brighter to the right and, in other channels, to the bottom."""
    y, x = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")
    channels = [np.sin((1.3 + c) * x + 0.7 * y) + np.sin(0.11 * (c + 1) * y) + (x / WIDTH if c % 2 else y / HEIGHT) * 2 - 1 for c in range(4)]
    return torch.from_numpy(np.stack(channels)[None].astype(np.float32))


def tiled(vae, tile, overlap):
    vae.enable_tiling()
    vae.tile_sample_min_size, vae.tile_latent_min_size, vae.tile_overlap_factor = tile, tile // 8, overlap / tile


def moments(vae, image):
    dist = vae.encode(image).latent_dist
    return dist.parameters


def compared(got, whole, cell):
    off = got - whole
    return {"rms": (off.norm() / whole.norm()).item(), "max": off.abs().max().item(), "tone": F.avg_pool2d(off, cell).abs().max().item()}


def measured(vae, z, tile, overlap):
    vae.disable_tiling()
    whole = vae.decode(z).sample
    whole_moments = moments(vae, whole)
    tiled(vae, tile, overlap)
    decode = compared(vae.decode(z).sample, whole, 32)
    encode = compared(moments(vae, whole)[:, :4], whole_moments[:, :4], 4)
    return whole, whole_moments, {"tiles": {"tile": tile, "overlap": overlap}, "decode": decode, "encode": encode}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--picture", nargs="*", default=[])
    parser.add_argument("--tile", type=int, default=128)
    parser.add_argument("--overlap", type=int, default=32)
    args = parser.parse_args()
    vae = AutoencoderKL.from_pretrained(args.model, low_cpu_mem_usage=False).eval()
    for path in args.picture:
        pixels = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 127.5 - 1
        vae.disable_tiling()
        z = vae.encode(torch.from_numpy(pixels).permute(2, 0, 1)[None]).latent_dist.mode()
        print(json.dumps({"picture": os.path.basename(path), **measured(vae, z, args.tile, args.overlap)[2]}))
    if not args.picture:
        z = latents()
        whole, whole_moments, numbers = measured(vae, z, args.tile, args.overlap)
        os.makedirs(OUT, exist_ok=True)
        tensors = {"latents": z, "whole": whole.contiguous(), "moments": whole_moments.contiguous()}
        save_file(tensors, os.path.join(OUT, "tiling.safetensors"), {k: json.dumps(v) for k, v in numbers.items()})
        print(json.dumps(numbers))
