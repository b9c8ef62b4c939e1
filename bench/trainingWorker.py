"""PyTorch, asked by bench/training.ts: one JSON request a line on stdin, one JSON answer a line on stdout.

    {"do": "load", "model": "diffusion" | "autoencoder", "python": {...}, "threads": N}
    {"do": "step"}      forward, backward and AdamW, in seconds
    {"do": "memory"}    peak resident bytes
"""
import json
import resource
import sys
import time

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

loss = optimizer = None


def diffusion(config):
    unet = UNet2DConditionModel.from_config(config["unet"])
    text = CLIPTextModel(CLIPTextConfig(**config["text"]))
    batch, side = config["batchSize"], config["unet"]["sample_size"]
    latents, noise = torch.randn(2, batch, 4, side, side)
    alpha, sigma = torch.rand(2, batch, 1, 1, 1)
    t = torch.randint(0, 1000, (batch,))
    ids = torch.randint(0, config["text"]["vocab_size"], (batch, config["text"]["max_position_embeddings"]))

    def loss():
        context = text(input_ids=ids).last_hidden_state
        v = unet(alpha * latents + sigma * noise, t, context).sample
        return F.mse_loss(v, alpha * noise - sigma * latents)

    return loss, [*unet.parameters(), *text.parameters()]


def autoencoder(config):
    vae = AutoencoderKL.from_config(config["vae"])
    images = torch.randn(config["batchSize"], 3, config["side"], config["side"])

    def loss():
        posterior = vae.encode(images).latent_dist
        return F.l1_loss(vae.decode(posterior.sample()).sample, images) + 1e-6 * posterior.kl().mean()

    return loss, list(vae.parameters())


def step():
    begin = time.perf_counter()
    optimizer.zero_grad()
    loss().backward()
    optimizer.step()
    return time.perf_counter() - begin


def answer(request):
    global loss, optimizer
    if request["do"] == "load":
        begin = time.perf_counter()
        if request["threads"]:
            torch.set_num_threads(request["threads"])
        make = {"diffusion": diffusion, "autoencoder": autoencoder}[request["model"]]
        loss, parameters = make(request["python"][request["model"]])
        optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01, fused=True)
        return time.perf_counter() - begin
    if request["do"] == "step":
        return step()
    if request["do"] == "memory":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    raise ValueError(request["do"])


for line in sys.stdin:
    print(json.dumps({"value": answer(json.loads(line))}), flush=True)
