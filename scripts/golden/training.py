"""Loss curves of small trainings in PyTorch: test/golden/training/curves.json.

    PYTHONPATH=<diffusers>/src python scripts/golden/training.py [autoencoder] [clip] [diffusion] [adversarial]

Made with torch 2.13.0+cpu, transformers 5.18.0, diffusers 0.40.0.dev0 (58eb52c0), fp32 on the CPU. Weights are
`derive(model, key)` of components.py, data and noise follow from names by `uniform` of the same file, so that nothing is
stored but the losses: {trainer: {variant: [loss before each of 100 steps]}}. AdamW, betas 0.9 and 0.999, eps 1e-8, decay
0.01 on matrices and kernels alone, gradients clipped to a global norm of 1.

Tolerance: each loss within 1e-3 of its own size. PyTorch with other kernels (oneDNN off) is at `noise` in the file.
"""

import json
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel

sys.path.insert(0, os.path.dirname(__file__))
from components import derive, noise, uniform  # noqa: E402

torch.set_num_threads(2)
torch.set_grad_enabled(True)
OUT = os.path.join(os.path.dirname(__file__), "../../test/golden/training/curves.json")
STEPS = 100


def fill(model, module, prefix=""):
    """`derive`, by the names that the files of a folder have."""
    for key, p in module.named_parameters():
        p.data.copy_(derive(model, key.removeprefix(prefix), tuple(p.shape)))
    return module


def pictures(name, b, h, w):
    """Waves: channel c of picture i is sin(fx x / w + fy y / h + phase), each from `uniform`, all in float64."""
    u = uniform(f"pictures/{name}", b * 3 * 3).astype(np.float64).reshape(b, 3, 3, 1, 1)
    x, y = np.arange(w).reshape(1, 1, 1, w) / w, np.arange(h).reshape(1, 1, h, 1) / h
    return torch.from_numpy(np.sin(6 * u[:, :, 0] * x + 6 * u[:, :, 1] * y + 3 * u[:, :, 2]).astype(np.float32))


def whole(name, n, below):
    """n whole numbers in [0, below)."""
    return torch.from_numpy(((uniform(name, n).astype(np.float64) + 1) / 2 * below).astype(np.int64))


def train(parameters, loss_at, lr):
    """The loss before each step."""
    parameters = list(parameters)
    groups = [{"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.01},
              {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=lr)
    losses = []
    for step in range(STEPS):
        loss = loss_at(step)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


# --- Autoencoder: the loss of CompVis/latent-diffusion without perceptual and adversarial terms, divided by 3 H W --------

VAE = dict(down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, block_out_channels=(16, 32),
           layers_per_block=1, latent_channels=4, norm_num_groups=8, sample_size=16)


def autoencoder(pixel, kl):
    vae = fill("train.vae", AutoencoderKL(**VAE))

    def loss_at(step):
        x = pictures(f"autoencoder.{step}", 4, 16, 16)
        posterior = vae.encode(x).latent_dist
        z = posterior.mean if kl is None else posterior.mean + posterior.std * noise(f"autoencoder.{step}", 4, 4, 8, 8)
        rec = vae.decode(z).sample
        nll = (x - rec).abs().mean() if pixel == "l1" else (x - rec).square().mean()
        return nll if kl is None else nll + kl * posterior.kl().mean() / (3 * 16 * 16)

    # L1 has a gradient of constant size: with larger steps PyTorch does not follow itself
    return train(vae.parameters(), loss_at, 1e-3 if pixel == "l2" else 5e-5)


# --- CLIP -----------------------------------------------------------------------------------------------------------

CLIP = dict(projection_dim=24,
            text_config=dict(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                             max_position_embeddings=12, hidden_act="quick_gelu", bos_token_id=62, eos_token_id=63, pad_token_id=63),
            vision_config=dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=16,
                               patch_size=4, hidden_act="quick_gelu"))


def captions(name, b, n, vocabulary=64):
    """Token ids: start, 3 to 9 words, ends."""
    words, lengths = whole(f"words/{name}", b * n, vocabulary - 2).reshape(b, n), 3 + whole(f"lengths/{name}", b, 7)
    ids = torch.full((b, n), vocabulary - 1)
    ids[:, 0] = vocabulary - 2
    for i in range(b):
        ids[i, 1 : 1 + lengths[i]] = words[i, 1 : 1 + lengths[i]]
    return ids


def clip():
    model = fill("train.clip", CLIPModel(CLIPConfig(**CLIP)))
    model.logit_scale.data.fill_(math.log(1 / 0.07))

    def loss_at(step):
        batch = step % 4  # there is something to learn: four batches come again and again
        return model(input_ids=captions(f"clip.{batch}", 8, 12), pixel_values=pictures(f"clip.{batch}", 8, 16, 16), return_loss=True).loss

    return train(model.parameters(), loss_at, 1e-3)


# --- Diffusion ------------------------------------------------------------------------------------------------------

TEXT = dict(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=12,
            hidden_act="quick_gelu", bos_token_id=62, eos_token_id=63, pad_token_id=63)
UNET = dict(sample_size=8, in_channels=4, out_channels=4, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), block_out_channels=(16, 32), layers_per_block=1, attention_head_dim=4,
            cross_attention_dim=32, norm_num_groups=8)


def diffusion(prediction, joint, gamma, offset):
    unet, text = fill("train.unet", UNet2DConditionModel(**UNET)), fill("train.text", CLIPTextModel(CLIPTextConfig(**TEXT)), "text_model.")
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    bars = torch.cumprod(1 - betas, 0)

    def loss_at(step):
        name = f"diffusion.{step}"
        z = pictures(name, 4, 8, 8)[:, [0, 1, 2, 0]]
        eps = noise(name, 4, 4, 8, 8)
        if offset > 0:
            eps = eps + offset * noise(f"{name}.offset", 4, 4, 1, 1)
        t = whole(f"t/{name}", 4, 1000)
        alpha, sigma = bars[t].sqrt()[:, None, None, None], (1 - bars[t]).sqrt()[:, None, None, None]
        with torch.set_grad_enabled(joint):
            context = text(captions(name, 4, 12)).last_hidden_state
        out = unet(alpha * z + sigma * eps, t, context).sample
        target = {"epsilon": eps, "v_prediction": alpha * eps - sigma * z, "sample": z}[prediction]
        snr = (alpha / sigma).square().flatten()
        weight = torch.ones(4)
        if gamma is not None:
            weight = snr.clamp(max=gamma) / {"epsilon": snr, "v_prediction": snr + 1, "sample": 1}[prediction]
        return ((out - target).square().mean((1, 2, 3)) * weight).mean()

    return train([*unet.parameters(), *(text.parameters() if joint else ())], loss_at, 1e-3)


CASES = {
    "autoencoder": {"l1": lambda: autoencoder("l1", 1e-3), "l2": lambda: autoencoder("l2", 1e-6), "plain": lambda: autoencoder("l1", None)},
    "clip": {"clip": clip},
    "diffusion": {"epsilon": lambda: diffusion("epsilon", False, None, 0), "joint": lambda: diffusion("v_prediction", True, 5, 0.1),
                  "sample": lambda: diffusion("sample", False, 5, 0), "epsilon.snr": lambda: diffusion("epsilon", True, 5, 0)},
}


def main(kinds):
    os.makedirs(os.path.dirname(OUT), exist_ok=True)
    curves = json.load(open(OUT)) if os.path.exists(OUT) else {}
    for kind in kinds:
        for variant, run in CASES[kind].items():
            losses = run()
            with torch.backends.mkldnn.flags(enabled=False):
                other = run()
            apart = max(abs(a - b) / abs(a) for a, b in zip(losses, other))
            curves.setdefault(kind, {})[variant] = [float(f"{v:.7g}") for v in losses]
            curves.setdefault("noise", {})[f"{kind}.{variant}"] = float(f"{apart:.2g}")
            print(f"{kind}.{variant}: {losses[0]:.4f} -> {losses[-1]:.4f}; without oneDNN {apart:.1e} apart", flush=True)
    with open(OUT, "w") as f:
        json.dump(curves, f, indent=None, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main(sys.argv[1:] or list(CASES))
