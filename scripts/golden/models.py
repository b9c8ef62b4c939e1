"""Tiny random models in the layouts people have: test/golden/models.

    PYTHONPATH=<diffusers>/src python scripts/golden/models.py

Made with torch 2.13.0+cpu, transformers 5.18.0, diffusers 0.40.0.dev0 (58eb52c0). Every weight is random and seeded (the
seeds stand beside each model). Reads test/golden/models/tiny-sd1/tokenizer/merges.txt, the first 1500 merges of CLIP's
tokenizer, and writes everything else; that folder's other files come out bit for bit as they are committed.

tiny-sd1      four levels like SD 1.x, PNDM; no tokenizer_config.json
tiny-sd2      v-prediction, linear projections, 4 channels a head, text encoder with gelu, tokenizer that pads with "!"
tiny-inpaint  nine input channels
micro         SD 1.x again, as small as it goes, in every layout:
  micro               fp32 folder, text_model. prefix
  micro-fp16          *.fp16.safetensors only; tokenizer.json only; text encoder without the prefix
  micro-bf16          bf16, sharded UNet
  micro-bin           .bin weights, autoencoder attention as query/key/value/proj_attn, position_ids in the text encoder
  micro.safetensors   LDM layout
  micro.ckpt          LDM layout, zip pickle with training leftovers and EMA weights (which diffusers does not take)
  micro-legacy.ckpt   LDM layout, pickle from before torch 1.6, no "state_dict" around it
  micro.vae.safetensors  autoencoder alone, LDM layout without prefix, other weights than micro's (for --vae)
tiny-sd2.safetensors  LDM layout with OpenCLIP's text encoder, one layer more than the folder has, fp16
narrow-sd1.json, narrow-sd2.json  {key: shape} of LDM files that need no --config: all that a single file cannot tell is as
                  published (8 heads, or 64 channels a head; 32 groups; CLIP's whole vocabulary), only the widths are small.
                  Too large to store: a weight is `weight("narrow-sd1", key, shape)` of README.md, by its LDM key.
"""

import json
import os
import shutil
import sys
import types

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as ldm
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

torch.set_num_threads(2)
OUT = os.path.join(os.path.dirname(__file__), "../../test/golden/models")

PNDM = {"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012, "beta_schedule": "scaled_linear",
        "beta_start": 0.00085, "clip_sample": False, "num_train_timesteps": 1000, "set_alpha_to_one": False,
        "skip_prk_steps": True, "steps_offset": 1, "trained_betas": None}
DDIM_V = {"_class_name": "DDIMScheduler", "_diffusers_version": "0.8.0", "beta_end": 0.012, "beta_schedule": "scaled_linear",
          "beta_start": 0.00085, "clip_sample": False, "num_train_timesteps": 1000, "prediction_type": "v_prediction",
          "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "trained_betas": None}


def write_json(path, value, indent=2):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        json.dump(value, f, indent=indent, ensure_ascii=False)


def write_tokenizer(folder, merges, config=None):
    """CLIP's tokenizer with a few merges only: vocab.json, merges.txt and, if given, tokenizer_config.json."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    chars = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]
    vocab = chars + [c + "</w>" for c in chars] + ["".join(m.split()) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    write_json(f"{folder}/vocab.json", {t: i for i, t in enumerate(vocab)}, indent=None)
    with open(f"{folder}/merges.txt", "w") as f:
        f.write("#version: 0.2\n" + "\n".join(merges) + "\n")
    if config:
        write_json(f"{folder}/tokenizer_config.json", {**TOKENIZER, **config})
        write_json(f"{folder}/special_tokens_map.json", {k: v for k, v in {**TOKENIZER, **config}.items() if k.endswith("_token")})
    return len(vocab)


TOKENIZER = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, "errors": "replace",
             "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}


def lively(model, seed):
    """Fresh random weights are timid: widen norms and cross-attention so that every parameter and the prompt matter."""
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        if p.ndim == 1:
            p.data += 0.1 * torch.randn(p.shape, generator=g)
        if "attn2.to_" in name or (name == "conv_out.weight" and p.shape[0] == 4):
            p.data *= 3
    return model.eval()


def build(seed, unet, vae, text):
    """UNet, autoencoder and text encoder. Seeds: `seed` draws the weights, 1, 2 and 3 make them lively."""
    torch.manual_seed(seed)
    unet = lively(UNet2DConditionModel(sample_size=8, **unet), 1)
    vae = lively(AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
                               layers_per_block=2, latent_channels=4, sample_size=64, **vae), 2)
    text = lively(CLIPTextModel(CLIPTextConfig(**text)), 3)
    return unet, vae, text


def write_folder(name, unet, vae, text, scheduler, prefix="text_model.", **save):
    folder = f"{OUT}/{name}"
    unet.save_pretrained(f"{folder}/unet", **save)
    vae.save_pretrained(f"{folder}/vae", **save)
    text.save_pretrained(f"{folder}/text_encoder", **save)
    for file in os.listdir(f"{folder}/text_encoder"):
        if file.endswith(".safetensors"):
            file = f"{folder}/text_encoder/{file}"
            weights = {prefix + k.removeprefix("text_model."): v for k, v in load_file(file).items()}
            save_file(weights, file, metadata={"format": "pt"})
    write_json(f"{folder}/scheduler/scheduler_config.json", scheduler)
    write_json(f"{folder}/model_index.json", {
        "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.21.0", "feature_extractor": [None, None],
        "safety_checker": [None, None], "requires_safety_checker": False, "scheduler": ["diffusers", scheduler["_class_name"]],
        "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]})


# --- The LDM layout, written from diffusers' names and read back with diffusers' own conversion -------------------------

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
          "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
UNET_ENDS = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "conv_in": "input_blocks.0.0",
             "conv_norm_out": "out.0", "conv_out": "out.2"}


def ldm_unet_key(key, unet):
    stem, leaf = key.rsplit(".", 1)
    if stem in UNET_ENDS:
        return f"{UNET_ENDS[stem]}.{leaf}"
    part = key.split(".")
    if part[0] == "mid_block":
        place, rest = f"middle_block.{(0 if part[1] == 'attentions' else int(part[2]) * 2) + (part[1] == 'attentions')}", part[3:]
    else:
        i, kind, j, rest = int(part[1]), part[2], int(part[3]), part[4:]
        if kind == "downsamplers":
            return f"input_blocks.{3 * i + 3}.0.op.{leaf}"
        if kind == "upsamplers":
            attends = unet.config.up_block_types[i].startswith("CrossAttn")
            return f"output_blocks.{3 * i + 2}.{2 if attends else 1}.conv.{leaf}"
        block = f"input_blocks.{3 * i + j + 1}" if part[0] == "down_blocks" else f"output_blocks.{3 * i + j}"
        place = f"{block}.{1 if kind == 'attentions' else 0}"
    if rest[0] in RESNET and len(rest) == 2:
        rest = [RESNET[rest[0]], rest[1]]
    return ".".join([place, *rest])


def ldm_vae_key(key):
    for a, b in (("mid_block.resnets.0", "mid.block_1"), ("mid_block.resnets.1", "mid.block_2"), ("mid_block.attentions.0", "mid.attn_1"),
                 ("conv_norm_out", "norm_out"), ("conv_shortcut", "nin_shortcut"), ("group_norm", "norm"), ("to_out.0", "proj_out"),
                 ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("downsamplers.0", "downsample"), ("upsamplers.0", "upsample"), ("resnets", "block")):
        key = key.replace(a, b)
    part = key.split(".")
    if part[1] in ("down_blocks", "up_blocks"):
        part[1:3] = ["down", part[2]] if part[1] == "down_blocks" else ["up", str(3 - int(part[2]))]
    return ".".join(part)


def ldm_vae(vae):
    weights = {ldm_vae_key(k): v for k, v in vae.state_dict().items()}
    return {k: v[:, :, None, None] if "attn_1" in k and v.ndim == 2 else v for k, v in weights.items()}


def openclip_text(text):
    """OpenCLIP's layout of the text encoder, with one layer more than the folder keeps."""
    old, d = text.state_dict(), text.config.hidden_size
    old = {k.removeprefix("text_model."): v for k, v in old.items()}
    new = {"token_embedding.weight": old["embeddings.token_embedding.weight"], "positional_embedding": old["embeddings.position_embedding.weight"],
           "ln_final.weight": old["final_layer_norm.weight"], "ln_final.bias": old["final_layer_norm.bias"],
           "text_projection": torch.randn(d, d, generator=torch.Generator().manual_seed(4)), "logit_scale": torch.tensor(2.6593)}
    layers = text.config.num_hidden_layers
    for i in range(layers + 1):
        for leaf in ("weight", "bias"):
            def get(name):
                w = old[f"encoder.layers.{min(i, layers - 1)}.{name}.{leaf}"]
                return w if i < layers else w.flip(0).contiguous()
            at = f"transformer.resblocks.{i}"
            new[f"{at}.attn.in_proj_{leaf}"] = torch.cat([get(f"self_attn.{n}_proj") for n in "qkv"])
            for theirs, ours in (("attn.out_proj", "self_attn.out_proj"), ("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"), ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2")):
                new[f"{at}.{theirs}.{leaf}"] = get(ours)
    return new


def same(a, b):
    assert a.keys() == b.keys(), a.keys() ^ b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)


def ldm_checkpoint(unet, vae, text, openclip=False):
    u = {f"model.diffusion_model.{ldm_unet_key(k, unet)}": v for k, v in unet.state_dict().items()}
    v = {f"first_stage_model.{k}": w for k, w in ldm_vae(vae).items()}
    same(ldm.convert_ldm_unet_checkpoint(dict(u), unet.config), unet.state_dict())
    same(ldm.convert_ldm_vae_checkpoint(dict(v), vae.config), vae.state_dict())
    if openclip:
        t = {f"cond_stage_model.model.{k}": w for k, w in openclip_text(text).items()}
    else:
        t = {f"cond_stage_model.transformer.text_model.{k.removeprefix('text_model.')}": w for k, w in text.state_dict().items()}
        t["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return {"betas": betas.float(), "alphas_cumprod": torch.cumprod(1 - betas, 0).float(), **u, **v, **t}


def contiguous(weights, dtype=None):
    return {k: (v.to(dtype) if dtype and v.is_floating_point() else v).contiguous().clone() for k, v in weights.items()}


def fake(module, name, value):
    """Puts a callable under the name that an old program's pickle would carry."""
    value.__module__, value.__name__, value.__qualname__ = module, name, name
    for parent in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        sys.modules.setdefault(parent, types.ModuleType(parent))
    holder = types.ModuleType(module)
    setattr(holder, name, value)
    sys.modules[module] = holder
    return value


def leftovers():
    """What PyTorch Lightning left in the published files: a class as a key, NumPy scalars as NumPy 1 pickled them."""
    scalar = fake("numpy.core.multiarray", "scalar", lambda dtype, raw: None)

    class Scalar:
        def __reduce__(self):
            return scalar, (np.dtype("float64"), np.float64(0.25).tobytes())

    checkpoint = fake("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint", type("ModelCheckpoint", (), {}))
    return {"epoch": 3, "global_step": 1000, "pytorch-lightning_version": "1.4.2",
            "callbacks": {checkpoint: {"monitor": None, "best_model_score": Scalar(), "current_score": torch.tensor(0.5)}},
            "optimizer_states": [], "lr_schedulers": [{"base_lrs": [1e-4], "last_epoch": 7}]}


# --- The models --------------------------------------------------------------------------------------------------------


def clip(vocab, hidden, heads, layers=2, **more):
    return {"vocab_size": vocab, "hidden_size": hidden, "intermediate_size": 2 * hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
            "hidden_act": "quick_gelu", "projection_dim": hidden, "bos_token_id": vocab - 2, "eos_token_id": vocab - 1, **more}


def tiny_sd1(merges):
    vocab = write_tokenizer(f"{OUT}/tiny-sd1/tokenizer", merges)
    model = build(101, dict(cross_attention_dim=24, attention_head_dim=3, block_out_channels=(24, 48, 48, 48), norm_num_groups=8),
                  dict(block_out_channels=(8, 16, 16, 16), norm_num_groups=4), clip(vocab, 24, 3))
    write_folder("tiny-sd1", *model, PNDM)


def tiny_sd2(merges):
    vocab = write_tokenizer(f"{OUT}/tiny-sd2/tokenizer", merges, {"pad_token": "!"})
    unet = dict(cross_attention_dim=32, attention_head_dim=[2, 4, 4, 4], block_out_channels=(8, 16, 16, 16), norm_num_groups=4,
                use_linear_projection=True, upcast_attention=True)
    unet, vae, text = build(202, unet, dict(block_out_channels=(8, 16, 16, 16), norm_num_groups=4),
                            clip(vocab, 32, 4, layers=3, hidden_act="gelu"))
    write_folder("tiny-sd2", unet, vae, text, DDIM_V)
    save_file(contiguous(ldm_checkpoint(unet, vae, text, openclip=True), torch.float16), f"{OUT}/tiny-sd2.safetensors")


def tiny_inpaint(merges):
    vocab = write_tokenizer(f"{OUT}/tiny-inpaint/tokenizer", merges, {"pad_token": "<|endoftext|>"})
    unet = dict(in_channels=9, cross_attention_dim=16, attention_head_dim=2, block_out_channels=(8, 16, 16, 16), norm_num_groups=4)
    model = build(303, unet, dict(block_out_channels=(8, 8, 16, 16), norm_num_groups=4), clip(vocab, 16, 2))
    write_folder("tiny-inpaint", *model, PNDM)


def micro(merges):
    tokenizer = f"{OUT}/micro/tokenizer"
    vocab = write_tokenizer(tokenizer, merges, {"pad_token": "<|endoftext|>"})
    shapes = (dict(cross_attention_dim=16, attention_head_dim=2, block_out_channels=(4, 8, 8, 8), norm_num_groups=2),
              dict(block_out_channels=(4, 8, 8, 8), norm_num_groups=2), clip(vocab, 16, 2))
    unet, vae, text = build(404, *shapes)
    write_folder("micro", unet, vae, text, PNDM)

    # the LDM files
    whole = contiguous(ldm_checkpoint(unet, vae, text))
    save_file(whole, f"{OUT}/micro.safetensors", metadata={"format": "pt"})
    torch.save(whole, f"{OUT}/micro-legacy.ckpt", _use_new_zipfile_serialization=False)
    ema = {"model_ema." + k.removeprefix("model.").replace(".", ""): v.flip(0).contiguous() for k, v in whole.items() if k.startswith("model.")}
    ema |= {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(1000, dtype=torch.int32)}
    numpy_core = sys.modules.get("numpy.core.multiarray")
    torch.save({**leftovers(), "state_dict": {**whole, **ema}}, f"{OUT}/micro.ckpt")
    sys.modules.pop("numpy.core.multiarray") if numpy_core is None else sys.modules.update({"numpy.core.multiarray": numpy_core})
    other_vae = build(505, *shapes)[1]
    save_file(contiguous(ldm_vae(other_vae)), f"{OUT}/micro.vae.safetensors")

    # fp32 .bin folder with the names of 2022
    write_folder("micro-bin", unet, vae, text, PNDM)
    shutil.copytree(tokenizer, f"{OUT}/micro-bin/tokenizer", dirs_exist_ok=True)
    old_vae = vae.state_dict()
    for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
        old_vae = {k.replace(new, old): v for k, v in old_vae.items()}
    old_text = {"text_model." + k.removeprefix("text_model."): v for k, v in text.state_dict().items()}
    old_text["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    for file, weights in (("unet/diffusion_pytorch_model", unet.state_dict()), ("vae/diffusion_pytorch_model", old_vae), ("text_encoder/model", old_text)):
        os.remove(f"{OUT}/micro-bin/{file}.safetensors")
        torch.save(weights, f"{OUT}/micro-bin/{file.replace('text_encoder/model', 'text_encoder/pytorch_model')}.bin")

    # half precision folders (last: .half() rounds in place)
    write_folder("micro-bf16", unet.bfloat16(), vae.bfloat16(), text.bfloat16(), PNDM, max_shard_size="60KB")
    shutil.copytree(tokenizer, f"{OUT}/micro-bf16/tokenizer", dirs_exist_ok=True)
    unet, vae, text = build(404, *shapes)
    write_folder("micro-fp16", unet.half(), vae.half(), text.half(), PNDM, prefix="", variant="fp16")
    CLIPTokenizer.from_pretrained(tokenizer).save_pretrained(f"{OUT}/micro-fp16/tokenizer")
    for file in ("vocab.json", "merges.txt"):
        if os.path.exists(f"{OUT}/micro-fp16/tokenizer/{file}"):
            os.remove(f"{OUT}/micro-fp16/tokenizer/{file}")


NARROW_VAE = dict(block_out_channels=(32, 32, 64, 64), norm_num_groups=32)
NARROW = {
    "narrow-sd1": (dict(cross_attention_dim=64, attention_head_dim=8, block_out_channels=(32, 64, 64, 64)), NARROW_VAE, clip(49408, 64, 1)),
    "narrow-sd2": (dict(cross_attention_dim=64, attention_head_dim=[1, 1, 1, 2], block_out_channels=(64, 64, 64, 128), use_linear_projection=True),
                   NARROW_VAE, clip(49408, 64, 1, hidden_act="gelu")),
}


def narrow(name):
    """{LDM key: shape} of a file of small widths, without what no loader needs."""
    weights = ldm_checkpoint(*build(606, *NARROW[name]), openclip=name == "narrow-sd2")
    unneeded = ("betas", "alphas_cumprod", "position_ids", "text_projection", "logit_scale")
    return {k: list(v.shape) for k, v in weights.items() if not k.endswith(unneeded)}


if __name__ == "__main__":
    with open(f"{OUT}/tiny-sd1/tokenizer/merges.txt") as f:
        merges = f.read().split("\n")[1:1501]
    tiny_sd1(merges)
    tiny_sd2(merges)
    tiny_inpaint(merges[:600])
    micro(merges[:300])
    for name in NARROW:
        shapes = narrow(name)
        with open(f"{OUT}/{name}.json", "w") as f:
            f.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in shapes.items()) + "\n}\n")
