"""Gradients of whole models by every parameter: test/golden/gradients/models.safetensors.

    PYTHONPATH=<diffusers>/src python scripts/golden/gradients.py

Made with torch 2.13.0+cpu, transformers 5.18.0, diffusers 0.40.0.dev0 (58eb52c0), in float64 from float32 weights, stored
as float32. Weights are `weight(MODEL, key, shape)` and inputs `input(MODEL.NAME)` of README.md. Tolerance: |difference| at
most 1e-4 of that gradient's norm plus 1e-7 of the norm of all the gradients of its model (some are zero: biases of keys,
biases before a norm with one channel a group).

MODEL/KEY is the gradient by parameter KEY; metadata "losses": JSON {MODEL: loss}.
clip-quick, clip-gelu  text encoder from token ids (metadata "ids"); loss: mean((hidden - input(MODEL.target))^2)
unet-conv, unet-linear SD 1.x and SD 2.x in small; t is 37 and 411; loss: mean((out - input(MODEL.target))^2)
vae                    mean and logvar = encode(image); loss: mean((decode(mean) - image)^2) + mean(logvar^2)
"""

import json
import os

import torch
from components import GOLDEN, derive, noise
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

torch.set_grad_enabled(True)
IDS = [[18, 3, 5, 3, 19, 19], [18, 0, 11, 7, 2, 19]]
CLIP = dict(vocab_size=20, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=6, bos_token_id=18, eos_token_id=19)
UNET = dict(sample_size=8, in_channels=3, out_channels=3, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=2,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=6)
VAE = dict(in_channels=3, out_channels=3, latent_channels=2, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2, sample_size=8,
           down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)
MODELS = {
    "clip-quick": CLIPTextModel(CLIPTextConfig(**CLIP, hidden_act="quick_gelu")),
    "clip-gelu": CLIPTextModel(CLIPTextConfig(**CLIP, hidden_act="gelu")),
    "unet-conv": UNet2DConditionModel(**UNET, attention_head_dim=2),
    "unet-linear": UNet2DConditionModel(**UNET, attention_head_dim=(1, 4), use_linear_projection=True),
    "vae": AutoencoderKL(**VAE),
}


def squared(x):
    return x.square().mean()


def clip(name, model):
    hidden = model(torch.tensor(IDS))[0]
    return squared(hidden - noise(f"{name}.target", *hidden.shape))


def unet(name, model):
    x, context = noise(f"{name}.x", 2, 3, 5, 6).to(model.dtype), noise(f"{name}.context", 2, 4, 6).to(model.dtype)
    out = model(x, torch.tensor([37, 411]), context).sample
    return squared(out - noise(f"{name}.target", *out.shape))


def vae(name, model):
    image = noise(f"{name}.image", 2, 3, 6, 8).to(model.dtype)
    posterior = model.encode(image).latent_dist
    return squared(model.decode(posterior.mean).sample - image) + squared(posterior.logvar)


LOSSES = {"clip": clip, "unet": unet, "vae": vae}


def gradients(name, model):
    """Loss and gradients by our keys, in the model's own precision."""
    loss = LOSSES[name.split("-")[0]](name, model)
    parameters = {k.removeprefix("text_model."): p for k, p in model.named_parameters()}
    found = torch.autograd.grad(loss, list(parameters.values()))
    return loss.item(), dict(zip(parameters, found))


tensors, losses = {}, {}
for name, model in MODELS.items():
    for k, p in model.named_parameters():
        p.data.copy_(derive(name, k.removeprefix("text_model."), tuple(p.shape)))
    _, single = gradients(name, model.eval())
    losses[name], exact = gradients(name, model.double())
    whole = sum(g.square().sum() for g in exact.values()).sqrt()
    worst = max(((single[k] - g).norm() / (1e-4 * g.norm() + 1e-7 * whole)).item() for k, g in exact.items())
    print(f"{name}: loss {losses[name]:.4f}, {sum(g.numel() for g in exact.values())} parameters, float32 at {worst:.3f} of the tolerance")
    assert worst < 0.2, "too near to a singularity to tell rules from rounding"
    tensors |= {f"{name}/{k}": g.float().contiguous() for k, g in exact.items()}

os.makedirs(f"{GOLDEN}/gradients", exist_ok=True)
save_file(tensors, f"{GOLDEN}/gradients/models.safetensors", metadata={"losses": json.dumps(losses), "ids": json.dumps(IDS)})
os.chmod(f"{GOLDEN}/gradients/models.safetensors", 0o644)
