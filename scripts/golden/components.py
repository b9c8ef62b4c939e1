"""What each component of the tiny models answers: test/golden/components/<model>.safetensors.

    PYTHONPATH=<diffusers>/src python scripts/golden/components.py [tiny] [published]

Made with torch 2.13.0+cpu, transformers 5.18.0, diffusers 0.40.0.dev0 (58eb52c0), fp32 on the CPU. Inputs are drawn by
torch.Generator().manual_seed(seed), in the order of this file, or by `derive` below. Tolerance: relative error (norm of
the difference over norm of the reference) below 1e-4, as published; in practice 1e-5 and less.

<model>.safetensors, with fp32 weights whatever the file's dtype:
  text.NAME.ids        [1,77] int32, as the model's own tokenizer gives them; metadata "prompts": JSON {NAME: prompt}
  text.NAME.hidden     [1,77,D], after the final norm: what the UNet sees
  unet.NAME.{sample,context,out} and metadata "timesteps": JSON {NAME: t}
  vae.NAME.{latents,decoded} and vae.NAME.{image,mean,logvar}; latents are the decoder's own (already / scaling_factor)
layers.<model>.safetensors: inputs (in.NAME, t = 500) and the output of every block and of its parts, for bisecting:
  unet.MODULE, text.MODULE, encoder.MODULE, decoder.MODULE (diffusers' and transformers' names; [B,C,H,W] or [B,T,D])
published.safetensors: the exact shapes of SD 1.5 and SD 2.1, weights and inputs from `derive` (README.md has the spec),
outputs whole; metadata "rms": JSON {output of a block: its root mean square}, for bisecting.
"""

import gc
import json
import os
import re
import sys

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

torch.set_num_threads(2)
torch.set_grad_enabled(False)
GOLDEN = os.path.join(os.path.dirname(__file__), "../../test/golden")
OUT = f"{GOLDEN}/components"

PROMPTS = {
    "empty": "",
    "cat": "a cat",
    "unicode": "A futuristic cityscape at night, naïve 図書館 🐱 Ünïcödé",
    "long": "an oil painting of a lighthouse on a cliff, dramatic light, crashing waves, seagulls, " * 6,
    "punctuation": "  it's 3.14% (of ((2024))) -- \"quoted\" it'll <b>bold</b> &amp; a_b\n\ttab  ",
}


def write(name, tensors, **metadata):
    os.makedirs(OUT, exist_ok=True)
    tensors = {k: v.detach().contiguous().clone() for k, v in tensors.items()}
    save_file(tensors, f"{OUT}/{name}.safetensors", metadata={k: json.dumps(v, ensure_ascii=False) for k, v in metadata.items()})


def load(name):
    """UNet, autoencoder, text encoder and tokenizer of a folder, in fp32."""
    folder, variant = f"{GOLDEN}/models/{name}", "fp16" if name.endswith("fp16") else None
    safe = not name.endswith("bin")
    unet, vae = (kind.from_pretrained(folder, subfolder=sub, variant=variant, torch_dtype=torch.float32, use_safetensors=safe, low_cpu_mem_usage=False)
                 for kind, sub in ((UNet2DConditionModel, "unet"), (AutoencoderKL, "vae")))
    text = CLIPTextModel.from_pretrained(f"{folder}/text_encoder", variant=variant, dtype=torch.float32, use_safetensors=safe)
    tokenizer = CLIPTokenizer.from_pretrained(f"{folder}/tokenizer", model_max_length=77)
    return unet.eval(), vae.eval(), text.eval(), tokenizer


# name, seed, batch, latent height, latent width, t. Heights and widths that no level halves evenly are wanted.
UNET_CASES = (("square.t981", 11, 1, 8, 8, 981), ("batch3.t1", 12, 3, 8, 16, 1), ("odd.t500", 13, 2, 9, 13, 500), ("one.t250", 14, 1, 1, 1, 250),
              ("thin.t0", 15, 1, 2, 17, 0), ("fraction.t", 16, 1, 8, 8, 333.25))
VAE_CASES = (("square", 21, 1, 8, 8), ("batch3", 22, 3, 4, 6), ("odd", 23, 2, 9, 13), ("one", 24, 1, 1, 1))


def rand(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def components(name, few=False):
    unet, vae, text, tokenizer = load(name)
    out, hidden = {}, {}
    for prompt_name, prompt in PROMPTS.items():
        ids = tokenizer(prompt, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        hidden[prompt_name] = text(ids)[0]
        out |= {f"text.{prompt_name}.ids": ids.int(), f"text.{prompt_name}.hidden": hidden[prompt_name]}
    contexts = torch.cat([hidden["cat"], hidden["empty"], hidden["long"]])
    for case, seed, b, h, w, t in UNET_CASES[: 1 if few else None]:
        x, context = rand(seed, b, unet.config.in_channels, h, w), contexts[:b]
        out |= {f"unet.{case}.sample": x, f"unet.{case}.context": context, f"unet.{case}.out": unet(x, torch.tensor(t), context).sample}
    for case, seed, b, h, w in VAE_CASES[: 1 if few else None]:
        z, image = rand(seed, b, 4, h, w) * 2, rand(seed + 100, b, 3, 8 * h, 8 * w).clamp(-1, 1)
        moments = vae.encode(image).latent_dist
        out |= {f"vae.{case}.latents": z, f"vae.{case}.decoded": vae.decode(z).sample, f"vae.{case}.image": image,
                f"vae.{case}.mean": moments.mean, f"vae.{case}.logvar": moments.logvar}
    write(name, out, prompts=PROMPTS, timesteps={c[0]: c[5] for c in UNET_CASES})
    report(name, out)


def report(name, tensors):
    for key, v in tensors.items():
        if key.endswith(("out", "hidden", "decoded", "mean", "logvar")):
            print(f"{name:14} {key:24} {str(list(v.shape)):18} mean {v.mean():+.3f} std {v.std():.3f}")


def record(module, prefix, into, keep=lambda name: True):
    """Forward hooks that put the output of every named submodule into a dictionary."""
    def hook(key):
        def save(_module, _inputs, output):
            output = output[0] if isinstance(output, tuple) else getattr(output, "sample", getattr(output, "last_hidden_state", output))
            into[key] = output
        return save
    return [m.register_forward_hook(hook(f"{prefix}.{n}")) for n, m in module.named_modules() if n and keep(n)]


def layers(name):
    """Outputs of blocks and their parts in one forward pass of each component."""
    unet, vae, text, tokenizer = load(name)
    keep = re.compile(r"(.*\.)?(conv_in|conv_out|conv_norm_out|time_proj|time_embedding|mid_block|final_layer_norm|embeddings|self_attn|mlp|attn1|attn2|ff"
                      r"|(down_blocks|up_blocks|resnets|attentions|layers|downsamplers|upsamplers)\.\d+)").fullmatch
    out = {}
    ids = tokenizer(PROMPTS["cat"], padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    for model, prefix in ((unet, "unet"), (text, "text"), (vae.encoder, "encoder"), (vae.decoder, "decoder")):
        record(model, prefix, out, keep)
    out["in.ids"] = ids.int()
    out["in.context"] = text(ids)[0]
    out["in.sample"] = rand(31, 1, unet.config.in_channels, 8, 8)
    out["unet"] = unet(out["in.sample"], 500, out["in.context"]).sample
    out["in.latents"] = rand(32, 1, 4, 4, 4) * 2
    out["decoder"] = vae.decode(out["in.latents"]).sample
    out["in.image"] = rand(33, 1, 3, 32, 32).clamp(-1, 1)
    out["encoder"] = vae.encode(out["in.image"]).latent_dist.parameters
    write(f"layers.{name}", out, timestep=500)


# --- Published shapes: nothing stored but a seed in the form of names --------------------------------------------------


def fnv1a(text):
    h = 0x811C9DC5
    for byte in text.encode():
        h = ((h ^ byte) * 0x01000193) & 0xFFFFFFFF
    return h


def uniform(name, n):
    """n float32 numbers in [-1, 1), exact multiples of 2^-23, from a name."""
    x = np.arange(n, dtype=np.uint32)
    x ^= np.uint32(fnv1a(name))
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    x >>= np.uint32(8)
    u = x.astype(np.float32)
    u *= np.float32(2**-23)
    u -= np.float32(1)
    return u


def derive(model, key, shape):
    """A parameter from its name and shape alone, bit for bit the same everywhere. Spec: README.md."""
    u = uniform(f"{model}/{key}", int(np.prod(shape)))
    if key.endswith("bias"):
        u *= np.float32(0.05)
    elif len(shape) == 1:
        u *= np.float32(0.1)
        u += np.float32(1)
    elif "embedding.weight" not in key:
        u *= np.float32(np.sqrt(np.float64(3) / np.float64(np.prod(shape[1:]))))
    return torch.from_numpy(u.reshape(shape))


def noise(name, *shape):
    """Inputs of unit variance: u * fround(sqrt(3))."""
    return torch.from_numpy(uniform(f"input/{name}", int(np.prod(shape))).reshape(shape) * np.float32(np.sqrt(3.0)))


def derived(model, module):
    """Fills a module with derived weights. Keys are diffusers' and transformers', without text_model."""
    for key, p in module.named_parameters():
        p.data.copy_(derive(model, key.removeprefix("text_model."), tuple(p.shape)))
    return module.eval()


PUBLISHED = {
    "sd15": dict(unet=dict(sample_size=64, cross_attention_dim=768, attention_head_dim=8),
                 text=dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, hidden_act="quick_gelu")),
    "sd21": dict(unet=dict(sample_size=96, cross_attention_dim=1024, attention_head_dim=[5, 10, 20, 20], use_linear_projection=True, upcast_attention=True),
                 text=dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16, hidden_act="gelu")),
}


def published():
    out, rms = {}, {}
    blocks = lambda n: n.count(".") <= 1 and not n.endswith(("blocks", "resnets", "attentions", "layers", "samplers", "act", "dropout"))
    ids = torch.tensor([[49406] + [int((u + 1) * 24703) for u in uniform("input/ids", 40)] + [49407] * 36])
    out["ids"] = ids.int()
    def run(key, f, module):
        seen = {}
        hooks = record(module, key, seen, blocks)
        out[key] = f()
        rms.update({k: round(v.square().mean().sqrt().item(), 5) for k, v in seen.items() if v.is_floating_point()})
        for h in hooks:
            h.remove()
        print(f"{key:24} {str(list(out[key].shape)):18} mean {out[key].mean():+.4f} std {out[key].std():.4f}", flush=True)
    for name, shapes in PUBLISHED.items():
        text = derived(f"{name}.text", CLIPTextModel(CLIPTextConfig(vocab_size=49408, **shapes["text"])))
        run(f"{name}.text.hidden", lambda: text(ids)[0], text)
        del text; gc.collect()
        with torch.device("meta"):
            unet = UNet2DConditionModel(**shapes["unet"])
        unet = derived(f"{name}.unet", unet.to_empty(device="cpu"))
        d = shapes["unet"]["cross_attention_dim"]
        for case, size, t in (("a", (2, 4, 16, 16), 981), ("a", (2, 4, 16, 16), 1), ("b", (1, 4, 64, 64), 981)):
            x, context = noise(f"sample.{case}", *size), noise(f"context.{d}", size[0], 77, d)
            run(f"{name}.unet.{case}.t{t}", lambda: unet(x, t, context).sample, unet)
        # is it alive? other words and another time must change the answer
        x = noise("sample.a", 2, 4, 16, 16)
        other = unet(x, 981, noise("other", 2, 77, d)).sample
        base = out[f"{name}.unet.a.t981"]
        print("  other context", ((other - base).norm() / base.norm()).item(), "other t", ((out[f"{name}.unet.a.t1"] - base).norm() / base.norm()).item())
        del unet; gc.collect()
    vae = derived("klf8", AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
                                        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=512))
    run("klf8.decoded", lambda: vae.decode(noise("latents", 1, 4, 16, 16)).sample, vae.decoder)
    run("klf8.moments", lambda: vae.encode(noise("image", 1, 3, 128, 128)).latent_dist.parameters, vae.encoder)
    write("published", out, rms=rms)
    write_derived_samples()


def write_derived_samples():
    """A few raw draws, so that the generator itself can be checked first."""
    cases = [("sd15.unet", "conv_in.weight", [320, 4, 3, 3]), ("sd15.unet", "conv_in.bias", [320]), ("klf8", "decoder.conv_norm_out.weight", [128]),
             ("sd21.text", "embeddings.token_embedding.weight", [49408, 1024])]
    rows = [{"model": m, "key": k, "shape": s, "first": [float(v) for v in derive(m, k, s).flatten()[:4]], "last": float(derive(m, k, s).flatten()[-1])} for m, k, s in cases]
    with open(f"{OUT}/derived.json", "w") as f:
        json.dump(rows, f, indent=1)


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["tiny", "published"]
    if "tiny" in wanted:
        for model in ("tiny-sd1", "tiny-sd2", "tiny-inpaint", "micro", "micro-fp16", "micro-bf16"):
            components(model, few="16" in model)
        for model in ("tiny-sd2", "micro"):
            layers(model)
    if "published" in wanted:
        published()
