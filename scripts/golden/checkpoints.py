"""Golden data for src/checkpoints: test/golden/checkpoints/{published,tiny}.json.gz.

What is recorded
  published  For the exact published shapes of SD 1 (4 and 9 channels) and SD 2: every key and shape
             of the original code (modules built on PyTorch's meta device), every key and shape of
             the diffusers or transformers module, and which tensor (and third of it) becomes which,
             as diffusers' own single-file conversion moves tagged values. No weights.
  tiny       Two small models in the original layout, filled by a formula (element i of tensor k is
             (7919 k + 31 i) mod 1021) and loaded by diffusers' from_single_file with local configs:
             of each resulting parameter the shape and the sum over j of value[j] * (j mod 97 + 1),
             which is a whole number below 2^53, so it is exact.

Needs: PyTorch 2.13, transformers 5.x, open_clip, diffusers (0.40.0.dev0), and a checkout of
Stability-AI/stablediffusion (commit cf1d67a), whose `ldm` package gives the original modules.
`omegaconf`, which that package imports, and torchvision's meta registrations were replaced by empty modules.
No random numbers. Tolerance: none, all comparisons are exact.

Run: PYTHONPATH=<diffusers>/src:<stablediffusion> python scripts/golden/checkpoints.py
"""

import gzip
import json
import pathlib
import tempfile

import open_clip
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as sf
from ldm.modules.diffusionmodules.model import Decoder, Encoder
from ldm.modules.diffusionmodules.openaimodel import UNetModel
from transformers import CLIPTextConfig, CLIPTextModel

OUT = pathlib.Path(__file__).resolve().parents[2] / "test/golden/checkpoints"
META = torch.device("meta")


def shapes(module, prefix):
    return {prefix + k: list(v.shape) for k, v in module.state_dict().items()}


def ldm_shapes(model):
    """Keys and shapes of a whole single file."""
    u, v, t = model["unet"], model["vae"], model["text"]
    with META:
        unet = UNetModel(
            image_size=32, in_channels=u["in"], out_channels=4, model_channels=u["ch"],
            attention_resolutions=u["attn"], num_res_blocks=u["layers"], channel_mult=u["mult"],
            use_spatial_transformer=True, use_linear_in_transformer=u["linear"],
            transformer_depth=u["depth"], context_dim=[t["width"]] * u["depth"], legacy=False, use_checkpoint=False,
            **({"num_head_channels": u["head_channels"]} if u["linear"] else {"num_heads": 8}),
        )
        dd = dict(
            double_z=True, z_channels=4, resolution=256, in_channels=3, out_ch=3, ch=v["ch"],
            ch_mult=v["mult"], num_res_blocks=v["layers"], attn_resolutions=[], dropout=0.0,
        )
        # The members of ldm.models.autoencoder.AutoencoderKL, which itself needs a training library.
        vae = torch.nn.Module()
        vae.encoder, vae.decoder = Encoder(**dd), Decoder(**dd)
        vae.quant_conv, vae.post_quant_conv = torch.nn.Conv2d(8, 8, 1), torch.nn.Conv2d(4, 4, 1)
        out = shapes(unet, "model.diffusion_model.") | shapes(vae, "first_stage_model.")
        if t["open_clip"]:
            text = open_clip.model.CLIP(
                embed_dim=t["width"],
                vision_cfg=dict(layers=1, width=64, patch_size=14, image_size=28),
                text_cfg=dict(
                    context_length=77, vocab_size=t["vocab"], width=t["width"],
                    heads=t["heads"], layers=t["layers"] + 1,
                ),
            )
            del text.visual  # as FrozenOpenCLIPEmbedder does
            out |= shapes(text, "cond_stage_model.model.")
        else:
            # Before transformers 5.6 all of it stood under text_model.
            out |= shapes(CLIPTextModel(clip_config(t)), "cond_stage_model.transformer.text_model.")
            out["cond_stage_model.transformer.text_model.embeddings.position_ids"] = [1, 77]
    return out


def clip_config(t):
    return CLIPTextConfig(
        vocab_size=t["vocab"], hidden_size=t["width"], intermediate_size=4 * t["width"],
        num_hidden_layers=t["layers"], num_attention_heads=t["heads"],
        hidden_act="gelu" if t["open_clip"] else "quick_gelu",
    )


def diffusers_models(model):
    u, v = model["unet"], model["vae"]
    cross = [2**i in u["attn"] for i in range(len(u["mult"]))]
    channels = [u["ch"] * m for m in u["mult"]]
    with META:
        unet = UNet2DConditionModel(
            sample_size=8, in_channels=u["in"], block_out_channels=channels,
            layers_per_block=u["layers"], cross_attention_dim=model["text"]["width"],
            down_block_types=["CrossAttnDownBlock2D" if c else "DownBlock2D" for c in cross],
            up_block_types=["CrossAttnUpBlock2D" if c else "UpBlock2D" for c in cross[::-1]],
            attention_head_dim=[c // u["head_channels"] for c in channels] if u["linear"] else 8,
            use_linear_projection=u["linear"], transformer_layers_per_block=u["depth"],
        )
        vae = AutoencoderKL(
            block_out_channels=[v["ch"] * m for m in v["mult"]], layers_per_block=v["layers"],
            down_block_types=["DownEncoderBlock2D"] * len(v["mult"]),
            up_block_types=["UpDecoderBlock2D"] * len(v["mult"]),
        )
        return {"unet": unet, "vae": vae, "text": CLIPTextModel(clip_config(model["text"]))}


def convert(ldm, modules):
    """The whole file as diffusers' conversion names it, by component."""
    text = modules["text"]
    is_open = sf.is_open_clip_model(ldm)
    converted = (
        sf.convert_open_clip_checkpoint(text, ldm) if is_open else sf.convert_ldm_clip_checkpoint(ldm)
    )
    return {
        "unet": sf.convert_ldm_unet_checkpoint(ldm, modules["unet"].config),
        "vae": sf.convert_ldm_vae_checkpoint(ldm, modules["vae"].config),
        "text": {k.removeprefix("text_model."): v for k, v in converted.items()},
    }


def published(model):
    keys = ldm_shapes(model)
    modules = diffusers_models(model)
    tagged = {}
    for k, (key, shape) in enumerate(keys.items()):
        # Row r of tensor k is k * 65536 + r everywhere; expanded, so that it takes no memory.
        rows = torch.arange(shape[0] if shape else 1, dtype=torch.float64) + k * 65536
        tagged[key] = rows.reshape(shape[:1] + [1] * (len(shape) - 1)).expand(shape)
    converted = convert(tagged, modules)
    names = list(keys)
    out = {"ldm": list(keys.items()), "ours": {}}
    for part, module in modules.items():
        rows = []
        for name, param in module.state_dict().items():
            if name.endswith("position_ids"):
                continue
            value = converted[part][name]
            assert list(value.shape) == list(param.shape), name
            k, row = divmod(int(value.flatten()[0]), 65536)
            stacked = keys[names[k]][0] != param.shape[0]
            rows.append([name, list(param.shape), k, row // param.shape[0] if stacked else None])
        out["ours"][part] = rows
    return out


def filled(k, shape):
    n = int(torch.Size(shape).numel())
    return ((7919 * k + 31 * torch.arange(n, dtype=torch.int64)) % 1021).float().reshape(shape)


def checksum(value):
    flat = value.double().flatten()
    return int((flat * (torch.arange(flat.numel()) % 97 + 1)).sum())


def tiny(model):
    keys = ldm_shapes(model)
    ldm = {key: filled(k, shape) for k, (key, shape) in enumerate(keys.items())}
    modules = diffusers_models(model)
    with tempfile.TemporaryDirectory() as folder:
        modules["unet"].save_config(f"{folder}/unet")
        modules["vae"].save_config(f"{folder}/vae")
        modules["text"].config.save_pretrained(f"{folder}/text_encoder")
        configs = {
            name: json.loads(pathlib.Path(folder, path, "config.json").read_text())
            for name, path in (("unet", "unet"), ("vae", "vae"), ("text", "text_encoder"))
        }
        loaded = {
            "unet": UNet2DConditionModel.from_single_file(dict(ldm), config=folder, subfolder="unet"),
            "vae": AutoencoderKL.from_single_file(dict(ldm), config=folder, subfolder="vae"),
            "text": sf.create_diffusers_clip_model_from_ldm(
                CLIPTextModel, dict(ldm), subfolder="text_encoder", config=folder
            ),
        }
    sums = {
        part: [
            [name, list(value.shape), checksum(value)]
            for name, value in module.state_dict().items()
            if not name.endswith("position_ids")
        ]
        for part, module in loaded.items()
    }
    return {"ldm": list(keys.items()), "configs": configs, "ours": sums}


SD1 = {
    "unet": {"in": 4, "ch": 320, "mult": [1, 2, 4, 4], "attn": [4, 2, 1], "layers": 2, "depth": 1, "linear": False},
    "vae": {"ch": 128, "mult": [1, 2, 4, 4], "layers": 2},
    "text": {"open_clip": False, "width": 768, "layers": 12, "heads": 12, "vocab": 49408},
}
SD1_INPAINT = SD1 | {"unet": SD1["unet"] | {"in": 9}}
SD2 = SD1 | {
    "unet": SD1["unet"] | {"linear": True, "head_channels": 64},
    "text": {"open_clip": True, "width": 1024, "layers": 23, "heads": 16, "vocab": 49408},
}
# Other numbers of levels and layers than published, uneven channels.
TINY_SD1 = {
    "unet": {"in": 4, "ch": 32, "mult": [1, 2, 1], "attn": [2, 1], "layers": 1, "depth": 1, "linear": False},
    "vae": {"ch": 32, "mult": [1, 2], "layers": 1},
    "text": {"open_clip": False, "width": 24, "layers": 2, "heads": 3, "vocab": 60},
}
TINY_SD2_INPAINT = {
    "unet": {"in": 9, "ch": 32, "mult": [1, 1, 2], "attn": [1, 2], "layers": 2, "depth": 2, "linear": True, "head_channels": 8},
    "vae": {"ch": 32, "mult": [1, 1, 2], "layers": 1},
    "text": {"open_clip": True, "width": 64, "layers": 2, "heads": 1, "vocab": 60},
}


def write(name, data):
    OUT.mkdir(parents=True, exist_ok=True)
    text = json.dumps(data, separators=(",", ":")).encode()
    (OUT / f"{name}.json.gz").write_bytes(gzip.compress(text, mtime=0))


if __name__ == "__main__":
    torch.set_num_threads(2)
    write("published", {k: published(m) for k, m in {"sd1": SD1, "sd1-inpaint": SD1_INPAINT, "sd2": SD2}.items()})
    write("tiny", {k: tiny(m) for k, m in {"sd1": TINY_SD1, "sd2-inpaint": TINY_SD2_INPAINT}.items()})
