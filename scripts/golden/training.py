"""Loss curves of small trainings in PyTorch: test/golden/training/curves.json.

    PYTHONPATH=<diffusers>/src python scripts/golden/training.py [autoencoder] [clip] [diffusion] [adversarial] [score]

Made with torch 2.13.0+cpu, transformers 5.18.0, diffusers 0.40.0.dev0 (58eb52c0), fp32 on the CPU. Weights are
`derive(model, key)` of components.py, data and noise follow from names by `uniform` of the same file, so that nothing is
stored but the losses: {trainer: {variant: [loss before each of 100 steps]}}. AdamW, betas 0.9 and 0.999, eps 1e-8, decay
0.01 on matrices and kernels alone, gradients clipped to a global norm of 1.

adversarial: ten steps of an autoencoder and a discriminator in turn, and of the first step's gradients each one's product with
a direction and its norm. perceptual: LPIPS, with the same two numbers of its gradient. score: cosines
[prompts, pictures] of a CLIPModel.

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
from PIL import Image
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

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
        batch = step % 10  # there is something to learn: ten batches come again and again
        return model(input_ids=captions(f"clip.{batch}", 8, 12), pixel_values=pictures(f"clip.{batch}", 8, 16, 16), return_loss=True).loss

    return train(model.parameters(), loss_at, 3e-4)


PROMPTS = ["a red house", "two green trees beside a lake at night", ""]


def score():
    """Cosines of prompts and pictures, one of them not square, with CLIP's own preprocessing."""
    folder = os.path.join(os.path.dirname(__file__), "../../test/golden/models/micro/tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=77)
    text = {**CLIP["text_config"], "vocab_size": len(tokenizer), "max_position_embeddings": 77, "eos_token_id": tokenizer.eos_token_id,
            "bos_token_id": tokenizer.bos_token_id, "pad_token_id": tokenizer.eos_token_id}
    model = fill("train.clip", CLIPModel(CLIPConfig(**{**CLIP, "text_config": text}))).eval()
    processor = CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    seen = [((pictures(f"score.{h}x{w}", 1, h, w)[0].numpy() / 2 + 0.5) * 255).round().astype(np.uint8).transpose(1, 2, 0) for h, w in ((16, 16), (40, 27))]
    pixels = processor([Image.fromarray(p) for p in seen], return_tensors="pt").pixel_values
    ids = tokenizer(PROMPTS, padding="max_length", truncation=True, return_tensors="pt").input_ids
    with torch.no_grad():
        out = model(input_ids=ids, pixel_values=pixels)
    return (out.text_embeds @ out.image_embeds.T).tolist()


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


# --- Adversarial and perceptual terms of the autoencoder -----------------------------------------------------------------


class PatchGan(torch.nn.Module):
    """CompVis/taming-transformers' NLayerDiscriminator, by its keys."""

    def __init__(self, channels, layers):
        super().__init__()
        nn = torch.nn
        parts = [nn.Conv2d(3, channels, 4, 2, 1), nn.LeakyReLU(0.2)]
        width = channels
        for n in range(1, layers + 1):
            before, width = width, channels * min(2**n, 8)
            parts += [nn.Conv2d(before, width, 4, 2 if n < layers else 1, 1, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
        self.main = nn.Sequential(*parts, nn.Conv2d(width, 1, 4, 1, 1))

    def forward(self, x):
        return self.main(x)


def direction(name, like):
    """A direction for each parameter; a gradient's product with it is one number that tells of all of them."""
    return noise(f"direction/{name}", *like.shape) if like.ndim else noise(f"direction/{name}", 1)[0]


def adversarial():
    """Ten steps of both networks in turn, and the first step's gradients."""
    vae, judge = fill("train.vae", AutoencoderKL(**VAE)), fill("train.patchgan", PatchGan(8, 2))
    mine, other = torch.optim.AdamW(vae.parameters(), lr=2e-4, weight_decay=0), torch.optim.Adam(judge.parameters(), lr=2e-4, betas=(0.5, 0.9))
    last, rows, gradients = vae.decoder.conv_out.weight, [], {}
    for step in range(10):
        x = pictures(f"adversarial.{step}", 4, 16, 16)
        posterior = vae.encode(x).latent_dist
        rec = vae.decode(posterior.mean + posterior.std * noise(f"adversarial.{step}", 4, 4, 8, 8)).sample
        nll = (x - rec).abs().mean()
        g = -judge(rec).mean()
        by_nll, by_g = (torch.autograd.grad(v, last, retain_graph=True)[0].norm() for v in (nll, g))
        weight = 0.5 * (by_nll / (by_g + 1e-4)).clamp(0, 1e4).detach()
        loss = nll + 1e-3 * posterior.kl().mean() / (3 * 16 * 16) + weight * g
        mine.zero_grad()
        loss.backward()
        if step == 0:
            gradients = {k: [(p.grad * direction(k, p)).sum().item(), p.grad.norm().item()] for k, p in vae.named_parameters()}
        other.zero_grad()
        real, fake = judge(x), judge(rec.detach())
        d = 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
        d.backward()
        if step == 0:
            gradients |= {f"discriminator.{k}": [(p.grad * direction(k, p)).sum().item(), p.grad.norm().item()] for k, p in judge.named_parameters()}
        mine.step()
        other.step()
        rows.append([loss.item(), weight.item(), g.item(), d.item(), real.mean().item(), fake.mean().item()])
    return rows, gradients


VGG = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)


def vgg16(x):
    """The last activations of each stage, with derived weights by torchvision's keys."""
    found, at = [], 0
    for width in VGG:
        if width == "M":
            found.append(x)
            x, at = F.max_pool2d(x, 2), at + 1
        else:
            key = f"features.{at}"
            x = F.relu(F.conv2d(x, derive("train.vgg", f"{key}.weight", (width, x.shape[1], 3, 3)), derive("train.vgg", f"{key}.bias", (width,)), padding=1))
            at += 2
    return [*found, x]


def perceptual():
    """LPIPS of two batches, and its gradient with the first of them."""
    a, b = pictures("lpips.a", 2, 32, 32).requires_grad_(), pictures("lpips.b", 2, 32, 32)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188])[:, None, None], torch.tensor([0.458, 0.448, 0.450])[:, None, None]
    total = 0
    for i, (x, y) in enumerate(zip(vgg16((a - shift) / scale), vgg16((b - shift) / scale))):
        x, y = (v / (v.square().sum(1, keepdim=True).sqrt() + 1e-10) for v in (x, y))
        lin = derive("train.lin", f"lin{i}.model.1.weight", (1, x.shape[1], 1, 1)).abs()
        total = total + F.conv2d((x - y).square(), lin).mean((1, 2, 3))
    loss = total.mean()
    loss.backward()
    return [loss.item(), (a.grad * noise("direction/lpips", *a.shape)).sum().item(), a.grad.norm().item()]


CASES = {
    "autoencoder": {"l1": lambda: autoencoder("l1", 1e-3), "l2": lambda: autoencoder("l2", 1e-6), "plain": lambda: autoencoder("l1", None)},
    "clip": {"clip": clip},
    "diffusion": {"epsilon": lambda: diffusion("epsilon", False, None, 0), "joint": lambda: diffusion("v_prediction", True, 5, 0.1),
                  "sample": lambda: diffusion("sample", False, 5, 0), "epsilon.snr": lambda: diffusion("epsilon", True, 5, 0)},
}


def shorten(value):
    return [shorten(v) for v in value] if isinstance(value, list) else float(f"{value:.7g}")


def main(kinds):
    os.makedirs(os.path.dirname(OUT), exist_ok=True)
    curves = json.load(open(OUT)) if os.path.exists(OUT) else {}
    if "adversarial" in kinds:
        rows, gradients = adversarial()
        curves["adversarial"] = {"columns": ["loss", "adversarialWeight", "generator", "discriminator", "logitsReal", "logitsFake"],
                                 "steps": shorten(rows), "gradients": {k: shorten(v) for k, v in gradients.items()}}
        curves["perceptual"] = shorten(perceptual())
        print(*rows, curves["perceptual"], sep="\n")
    if "score" in kinds:
        curves["score"] = shorten(score())
        print(curves["score"])
    for kind in (k for k in kinds if k in CASES):
        for variant, run in CASES[kind].items():
            losses = run()
            with torch.backends.mkldnn.flags(enabled=False):
                other = run()
            apart = max(abs(a - b) / abs(a) for a, b in zip(losses, other))
            curves.setdefault(kind, {})[variant] = shorten(losses)
            curves.setdefault("noise", {})[f"{kind}.{variant}"] = float(f"{apart:.2g}")
            print(f"{kind}.{variant}: {losses[0]:.4f} -> {losses[-1]:.4f}; without oneDNN {apart:.1e} apart", flush=True)
    with open(OUT, "w") as f:
        json.dump(curves, f, indent=None, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main(sys.argv[1:] or [*CASES, "adversarial", "score"])
