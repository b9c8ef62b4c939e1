"""Does diffusers make the same picture from a folder that Tintype wrote? Prints the largest difference of a value.

    tintype generate "a red house" --model FOLDER --seed 7 --steps 20 --cfg-scale 4 --output ours.png
    PYTHONPATH=<diffusers>/src python scripts/golden/interchange.py FOLDER ours.png "a red house" 7 20 4

Made for torch 2.13.0+cpu, transformers 5.18.0, diffusers 0.40.0.dev0 (58eb52c0). Tolerance: 2 of 255. Weights are read as
fp32 whatever the file's dtype, as Tintype's CPU computes.
"""

import sys

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image


def main(folder, picture, prompt, seed, steps, scale):
    torch.set_num_threads(2)
    pipe = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    ours = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    generator = torch.Generator().manual_seed(int(seed))
    size = dict(height=ours.shape[0], width=ours.shape[1])
    theirs = pipe(prompt, num_inference_steps=int(steps), guidance_scale=float(scale), generator=generator, **size).images[0]
    apart = np.abs(np.asarray(theirs).astype(int) - ours)
    print(f"largest difference {apart.max()}, mean {apart.mean():.5f}, deviation of the picture {ours.std():.1f}")
    return int(apart.max()) > 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:7]))
