"""Whole pictures as diffusers makes them: test/golden/pipelines.

    PYTHONPATH=<diffusers>/src BPE_GZ=<bpe_simple_vocab_16e6.txt.gz> python scripts/golden/pipelines.py [NAME ...]

BPE_GZ is OpenAI CLIP's vocabulary, which the open_clip package carries; only the narrow-* cases want it.

Made with torch 2.13.0+cpu, transformers 5.18.0, diffusers 0.40.0.dev0 (58eb52c0), fp32 on the CPU. Each case is a
command line; this script reads it as `tintype generate` does and does the same with diffusers' own pipelines, so the two
cannot drift apart. Tolerance: no value of a pixel off by more than 2 of 255. The script also makes every picture a second
time with other kernels (no oneDNN) and refuses a case in which the reference itself moves by more than 1.

cases.json        [{name, model, config?, vae?, derived?, overlay?, library?, prompt, args, pictures}]:
                  `tintype generate PROMPT ARGS`, with --model, --config and --vae in ../models, must write the pictures.
                  Files among the args lie beside cases.json. derived: the model's file is not stored, its weights follow
                  from their names (models.py: narrow-*.json). overlay {file: JSON}: the model's folder with that file
                  replaced. library: options without a flag.
latents.safetensors   CASE.K: final latents [1,4,h,w] of picture K, as the UNet left them (not divided by scaling_factor);
                  CASE.K.init: what the first step gets; CASE.K.step.I: after step I, for a few cases.

What diffusers is told, where a plain call would do something else:
- Picture k has seed + k and a generator of its own, so each is made by its own call. (In one call with a list of
  generators, text to image and image to image give the same, which is checked; inpainting would draw every picture's
  posterior from the first generator.)
- An init image is opened with diffusers' load_image (EXIF orientation, then RGB: alpha is dropped, not blended).
  Without sizes it keeps its own, floored to multiples of 8: that is what image to image does by itself, but inpainting
  would take the model's size, so it is told. With sizes it is resized with Lanczos first, as VaeImageProcessor does.
- The mask goes to the pipeline as it is; the pipeline resizes it with Lanczos and cuts at 0.5.
- --sampler: pipe.scheduler = Scheduler.from_config(pipe.scheduler.config) after the pipeline was made. Making it mends the
  folder's scheduler: steps_offset becomes 1 and (not for inpainting) a clip_sample of True becomes False, (inpainting only) a
  skip_prk_steps of False becomes True. from_config then takes the mended value where the key stands in the file, and the new
  class's own default, which nothing mends any more, where it does not. The file-* cases have all of these.
"""

import argparse
import functools
import gzip
import json
import os
import shlex
import sys
import tempfile
import warnings

import components
import diffusers
import models
import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline, StableDiffusionPipeline
from diffusers.loaders import single_file_utils as ldm
from diffusers.utils import load_image
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

torch.set_num_threads(2)
warnings.simplefilter("ignore")
diffusers.utils.logging.set_verbosity_error()
diffusers.utils.logging.disable_progress_bar()
HERE = os.path.dirname(os.path.abspath(__file__))
MODELS, OUT = (os.path.join(HERE, "../../test/golden", d) for d in ("models", "pipelines"))

SAMPLERS = {
    "ddim": "DDIMScheduler", "pndm": "PNDMScheduler", "plms": "PNDMScheduler", "ddpm": "DDPMScheduler", "euler": "EulerDiscreteScheduler",
    "euler_a": "EulerAncestralDiscreteScheduler", "heun": "HeunDiscreteScheduler", "lms": "LMSDiscreteScheduler", "dpm2": "KDPM2DiscreteScheduler",
    "dpm2_a": "KDPM2AncestralDiscreteScheduler", "dpmpp_2m": "DPMSolverMultistepScheduler", "dpmpp_2m_sde": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler", "deis": "DEISMultistepScheduler", "lcm": "LCMScheduler"}
# other programs' names: (sampler, schedule)
ALIASES = {"DPM++ 2M Karras": ("dpmpp_2m", "karras"), "Euler a": ("euler_a", None), "euler_ancestral": ("euler_a", None),
           "DPM++ 2M SDE Exponential": ("dpmpp_2m_sde", "exponential"), "uni_pc": ("unipc", None), "HeunDiscreteScheduler": ("heun", None)}
SCHEDULES = {None: {}, "karras": {"use_karras_sigmas": True}, "exponential": {"use_exponential_sigmas": True}, "beta": {"use_beta_sigmas": True}}


# --- The command line ----------------------------------------------------------------------------------------------------

cli = argparse.ArgumentParser()
for flag, kind, default in (("negative-prompt", str, None), ("steps", int, 20), ("cfg-scale", float, 7.5), ("sampler", str, None),
                            ("schedule", str, None), ("eta", float, 0.0), ("seed", int, 0), ("width", int, None), ("height", int, None),
                            ("batch-size", int, 1), ("batch-count", int, 1), ("init-image", str, None), ("mask", str, None), ("strength", float, None), ("prediction", str, "auto")):
    cli.add_argument(f"--{flag}", type=kind, default=default)


def with_sampler(scheduler, name, schedule):
    """Scheduler.from_config(pipe.scheduler.config), or the folder's own."""
    if name is None:
        return scheduler
    if name in ALIASES:
        name, schedule = ALIASES[name]
    more = {"algorithm_type": "sde-dpmsolver++"} if name == "dpmpp_2m_sde" else {}
    return getattr(diffusers, SAMPLERS[name]).from_config(scheduler.config, **SCHEDULES[schedule], **more)


def load_narrow(name):
    """A model whose LDM weights follow from their names, with SD's published scheduler (PNDM) and CLIP's whole tokenizer."""
    with open(f"{MODELS}/{name}.json") as f:
        weights = {k: components.derive(name, k, shape) for k, shape in json.load(f).items()}
    unet, vae, text = models.build(0, *models.NARROW[name])
    unet.load_state_dict(ldm.convert_ldm_unet_checkpoint(dict(weights), unet.config))
    vae.load_state_dict(ldm.convert_ldm_vae_checkpoint(dict(weights), vae.config))
    if name == "narrow-sd2":   # the file's last layer is left out, as SD 2 does
        last = f"resblocks.{text.config.num_hidden_layers}."
        clip = ldm.convert_open_clip_checkpoint(text, {k: v for k, v in weights.items() if last not in k})
    else:
        clip = ldm.convert_ldm_clip_checkpoint(dict(weights))
    text.load_state_dict({k.removeprefix("text_model."): v for k, v in clip.items()})
    merges = gzip.open(os.environ["BPE_GZ"]).read().decode().split("\n")[1:48895]
    with tempfile.TemporaryDirectory() as folder:
        assert models.write_tokenizer(folder, merges, {"pad_token": "!" if name == "narrow-sd2" else "<|endoftext|>"}) == 49408
        tokenizer = CLIPTokenizer.from_pretrained(folder)
        models.write_json(f"{folder}/scheduler_config.json", models.PNDM)
        scheduler = diffusers.PNDMScheduler.from_pretrained(folder)
    return StableDiffusionPipeline(vae, text, tokenizer, unet, scheduler, None, None, requires_safety_checker=False)


@functools.cache
def load(model, config=None, vae=None):
    """The model as diffusers loads it, in fp32 whatever the files hold."""
    if model.startswith("narrow"):
        return load_narrow(model.removesuffix(".safetensors"))
    path = f"{MODELS}/{'micro.safetensors' if model == 'micro.ckpt' else model}"   # same weights; diffusers refuses the .ckpt's leftovers
    tokenizer = CLIPTokenizer.from_pretrained(f"{MODELS}/{config or model}/tokenizer", model_max_length=77)
    more = dict(tokenizer=tokenizer, torch_dtype=torch.float32, safety_checker=None, requires_safety_checker=False)
    if config:
        pipe = StableDiffusionPipeline.from_single_file(path, config=f"{MODELS}/{config}", local_files_only=True, **more)
    else:
        pipe = StableDiffusionPipeline.from_pretrained(path, variant="fp16" if "fp16" in model else None, low_cpu_mem_usage=False, **more)
    if vae:
        pipe.vae = AutoencoderKL.from_config(pipe.vae.config).eval()
        pipe.vae.load_state_dict(ldm.convert_ldm_vae_checkpoint(load_file(f"{MODELS}/{vae}"), pipe.vae.config))
    return pipe


def scheduler_of(pipe, overlay, prediction):
    config = overlay.get("scheduler/scheduler_config.json")
    if config is None:
        kind = {"auto": {}, "eps": {"prediction_type": "epsilon"}, "v": {"prediction_type": "v_prediction"}}[prediction]
        return pipe.scheduler.from_config(pipe.scheduler.config, **kind) if kind else pipe.scheduler
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/scheduler_config.json", "w") as f:
            json.dump(config, f)
        return getattr(diffusers, config["_class_name"]).from_pretrained(folder)


def prepare(base, scheduler, options):
    """The pipeline for these options, and what to call it with beside prompt and generator."""
    parts = {**base.components, "scheduler": scheduler, "requires_safety_checker": False}   # the constructor mends the scheduler
    if not options.init_image:
        size = {k: v for k, v in (("width", options.width), ("height", options.height)) if v}
        return StableDiffusionPipeline(**parts), size
    image = load_image(f"{OUT}/{options.init_image}")
    width, height = options.width or image.width // 8 * 8, options.height or image.height // 8 * 8
    if options.mask:
        strength = 1.0 if options.strength is None else options.strength
        mask = load_image(f"{OUT}/{options.mask}")
        return StableDiffusionInpaintPipeline(**parts), dict(image=image, mask_image=mask, width=width, height=height, strength=strength)
    if options.width or options.height:
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return StableDiffusionImg2ImgPipeline(**parts), dict(image=image, strength=0.8 if options.strength is None else options.strength)


def run(case, seeds=None):
    """[(picture, latents after each step, the first step's input)] of a case; several seeds: one call for all."""
    options = cli.parse_args(case["args"])
    base = load(case["model"], case.get("config"), case.get("vae"))
    made = []
    for seed in seeds or [[options.seed + k] for k in range(options.batch_size * options.batch_count)]:
        pipe, call = prepare(base, scheduler_of(base, case.get("overlay", {}), options.prediction), options)
        scheduler = pipe.scheduler = with_sampler(pipe.scheduler, options.sampler, options.schedule)
        pipe.set_progress_bar_config(disable=True)
        steps, first, step = [], [], scheduler.step

        @functools.wraps(step)
        def watched(output, t, sample, **kw):
            first or first.append(sample.clone())
            return step(output, t, sample, **kw)

        def after(_pipe, _i, _t, tensors):
            steps.append(tensors["latents"].clone())
            return {}

        scheduler.step = watched
        generators = [torch.Generator().manual_seed(s) for s in seed]
        many = len(seed) > 1
        if case.get("library", {}).get("guidanceRescale"):
            call["guidance_rescale"] = case["library"]["guidanceRescale"]
        negative = options.negative_prompt
        images = pipe([case["prompt"]] * len(seed) if many else case["prompt"], generator=generators if many else generators[0],
                      negative_prompt=[negative] * len(seed) if many and negative is not None else negative, num_inference_steps=options.steps,
                      guidance_scale=options.cfg_scale, eta=options.eta, callback_on_step_end=after, **call).images
        del scheduler.step
        made += [(image, [s[i:i + 1] for s in steps], first[0][i:i + 1]) for i, image in enumerate(images)]
    return made


# --- Input pictures ------------------------------------------------------------------------------------------------------


def photo(width, height, seed, channels=3):
    """Smooth colours with edges and a little grain."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    grain = torch.randn(height, width, generator=torch.Generator().manual_seed(seed)).double().numpy()
    planes = [127 + 70 * np.sin(x / (5 + 2 * c) + seed) + 40 * np.cos(y / (9 - c)) + 30 * ((x + y * (c + 1)) % 23 < 7) + 6 * grain for c in range(channels)]
    return np.clip(np.stack(planes, -1), 0, 255).round().astype(np.uint8)


def draw_inputs():
    save = lambda image, name, **kw: image.save(f"{OUT}/{name}", **kw)
    save(Image.fromarray(photo(96, 64, 1)), "init.png", optimize=True)
    save(Image.fromarray(photo(77, 69, 2, 4)), "odd-alpha.png", optimize=True)
    exif = Image.Exif()
    exif[0x0112] = 6   # stored lying on its side; 70 wide and 101 high when upright
    save(Image.fromarray(photo(101, 70, 3)), "exif6.jpg", quality=95, subsampling=0, exif=exif.tobytes())
    save(Image.fromarray(photo(64, 72, 4)[..., 0]), "gray.png", optimize=True)
    save(Image.fromarray(photo(72, 64, 5)).quantize(32, dither=Image.Dither.NONE), "palette.png", optimize=True)
    y, x = np.mgrid[0:64, 0:96]
    save(Image.fromarray((((x - 40) ** 2 / 900 + (y - 30) ** 2 / 400) < 1).astype(np.uint8) * 255), "mask.png", optimize=True)
    y, x = np.mgrid[0:30, 0:43]
    save(Image.fromarray(np.repeat((np.clip((x + y) / 60, 0, 1) * 255).astype(np.uint8)[..., None], 3, -1)), "mask-soft.png", optimize=True)


# --- The cases -----------------------------------------------------------------------------------------------------------

CASES = []


def case(name, model, args, prompt="a cat", **more):
    CASES.append({"name": name, "model": model, **more, "prompt": prompt, "args": shlex.split(args)})


BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
V = {**BETAS, "prediction_type": "v_prediction", "steps_offset": 1, "clip_sample": False, "set_alpha_to_one": False}


def scheduler(kind, **config):
    return {"overlay": {"scheduler/scheduler_config.json": {"_class_name": kind, "_diffusers_version": "0.30.0", **config}}}


# defaults, sizes, prompts, seeds, guidance
case("defaults", "tiny-sd1", "--seed 1", "A futuristic cityscape at night")
case("size-72x104", "tiny-sd1", "--width 72 --height 104 --steps 6 --seed 2")
case("size-8x24", "tiny-sd1", "--width 8 --height 24 --steps 4 --sampler ddim --seed 2")
case("steps-1", "tiny-sd1", "--steps 1 --seed 3")
case("steps-2", "micro", "--steps 2 --seed 3")
case("steps-30", "micro", "--steps 30 --seed 3")
case("negative", "tiny-sd1", "--steps 6 --negative-prompt 'blurry, ugly' --seed 4")
case("cfg-1", "tiny-sd1", "--steps 6 --cfg-scale 1 --negative-prompt ignored --seed 4")
case("cfg-0.5", "micro", "--steps 6 --cfg-scale 0.5 --seed 4")   # diffusers guides above 1 only
case("cfg-15", "micro", "--steps 6 --cfg-scale 15 --seed 4")
case("seed-0", "micro", "--steps 4 --seed 0")
case("seed-large", "micro", "--steps 4 --seed 4294967301")
case("prompt-empty", "tiny-sd1", "--steps 4 --seed 5", "")
case("prompt-long", "tiny-sd1", "--steps 4 --seed 5", "an oil painting of a lighthouse on a cliff, dramatic light, crashing waves, seagulls, " * 6)
case("prompt-unicode", "tiny-sd1", "--steps 4 --negative-prompt 'Ünïcödé ﬁ Ⅳ' --seed 5", "夜の未来都市 🐱 город ночью, naïve café")
case("batch-size", "micro", "--steps 4 --batch-size 2 --seed 6")
case("batch-both", "micro", "--steps 4 --batch-size 2 --batch-count 2 --sampler euler_a --seed 6")

# samplers and schedules; the file has no timestep_spacing, so each class takes its own default
for sampler in SAMPLERS:
    case(sampler, "micro", f"--steps 6 --cfg-scale 12 --sampler {sampler} --seed 7")
for sampler in ("pndm", "euler", "dpmpp_2m", "ddim"):
    case(f"{sampler}-sd1", "tiny-sd1", f"--steps 7 --cfg-scale 5 --sampler {sampler} --width 72 --height 64 --seed 8")
case("ddim-eta-0.7", "micro", "--steps 6 --cfg-scale 12 --sampler ddim --eta 0.7 --seed 7")
case("ddim-eta-1", "micro", "--steps 6 --cfg-scale 12 --sampler ddim --eta 1 --seed 7")
for sampler in ("euler", "heun", "lms", "dpm2", "dpm2_a", "dpmpp_2m", "dpmpp_2m_sde", "unipc", "deis"):
    case(f"{sampler}-karras", "micro", f"--steps 5 --cfg-scale 12 --sampler {sampler} --schedule karras --seed 9")
for sampler in ("euler", "heun", "lms", "dpm2", "dpm2_a", "dpmpp_2m", "dpmpp_2m_sde", "unipc", "deis"):
    case(f"{sampler}-exponential", "micro", f"--steps 5 --cfg-scale 12 --sampler {sampler} --schedule exponential --seed 9")
    case(f"{sampler}-beta", "micro", f"--steps 5 --cfg-scale 12 --sampler {sampler} --schedule beta --seed 9")
for alias in ALIASES:
    case("alias-" + alias.lower().replace(" ", "-").replace("+", "p"), "micro", f"--steps 6 --sampler '{alias}' --seed 10")
for sampler in ("dpmpp_2m", "unipc", "deis", "dpmpp_2m_sde"):   # beyond 15 steps, lower_order_final no longer applies
    case(f"{sampler}-16", "micro", f"--steps 16 --cfg-scale 3 --sampler {sampler} --seed 10")
for sampler in ("ddim", "ddpm", "euler", "euler_a", "heun", "lms", "dpm2", "dpmpp_2m", "unipc", "deis", "lcm"):
    case(f"one-step-{sampler}", "micro", f"--steps 1 --sampler {sampler} --seed 10")

# what a scheduler_config.json may say, without --sampler and with one
case("file-euler-trailing", "micro", "--steps 6 --seed 11", **scheduler("EulerDiscreteScheduler", **BETAS, timestep_spacing="trailing"))
case("file-euler-leading", "micro", "--steps 6 --seed 11", **scheduler("EulerDiscreteScheduler", **BETAS, timestep_spacing="leading", steps_offset=1))
case("file-euler-karras", "micro", "--steps 6 --seed 11", **scheduler("EulerDiscreteScheduler", **BETAS, use_karras_sigmas=True, interpolation_type="linear"))
case("file-pndm-linspace", "micro", "--steps 6 --seed 11", **scheduler("PNDMScheduler", **BETAS, skip_prk_steps=True, timestep_spacing="linspace"))
case("file-pndm-trailing", "micro", "--steps 6 --seed 11", **scheduler("PNDMScheduler", **BETAS, skip_prk_steps=True, timestep_spacing="trailing"))
case("file-pndm-prk", "micro", "--steps 6 --seed 11", **scheduler("PNDMScheduler", **BETAS, skip_prk_steps=False, steps_offset=1))
case("file-ddim-clip", "micro", "--steps 6 --seed 11", **scheduler("DDIMScheduler", **BETAS, steps_offset=1))
case("file-ddim-linear", "micro", "--steps 6 --seed 11", **scheduler("DDIMScheduler", beta_start=0.0001, beta_end=0.02, beta_schedule="linear", clip_sample=False))
case("file-ddim-cosine", "micro", "--steps 6 --seed 11", **scheduler("DDIMScheduler", beta_schedule="squaredcos_cap_v2", clip_sample=False, set_alpha_to_one=True))
case("file-ddim-linspace", "micro", "--steps 6 --seed 11", **scheduler("DDIMScheduler", **BETAS, clip_sample=False, timestep_spacing="linspace"))
case("file-ddpm", "micro", "--steps 6 --seed 11", **scheduler("DDPMScheduler", **BETAS, clip_sample=False, variance_type="fixed_small"))
case("file-ddpm-large", "micro", "--steps 6 --seed 11", **scheduler("DDPMScheduler", **BETAS, clip_sample=False, variance_type="fixed_large", timestep_spacing="trailing"))
case("file-dpm-order3", "micro", "--steps 7 --seed 11", **scheduler("DPMSolverMultistepScheduler", **BETAS, solver_order=3, timestep_spacing="leading", steps_offset=1))
case("file-dpm-sde-karras", "micro", "--steps 7 --seed 11", **scheduler("DPMSolverMultistepScheduler", **BETAS, algorithm_type="sde-dpmsolver++", use_karras_sigmas=True))
case("file-dpm-heun-trailing", "micro", "--steps 7 --seed 11", **scheduler("DPMSolverMultistepScheduler", **BETAS, solver_type="heun", timestep_spacing="trailing", final_sigmas_type="sigma_min"))
case("file-unipc-bh1", "micro", "--steps 7 --seed 11", **scheduler("UniPCMultistepScheduler", **BETAS, solver_type="bh1", final_sigmas_type="sigma_min", timestep_spacing="trailing"))
case("file-unipc-order3", "micro", "--steps 7 --seed 11", **scheduler("UniPCMultistepScheduler", **BETAS, solver_order=3, timestep_spacing="trailing"))
absent = scheduler("PNDMScheduler", **BETAS, skip_prk_steps=True)
case("file-no-offset", "micro", "--steps 6 --seed 11", **absent)
case("file-no-offset-ddim", "micro", "--steps 6 --sampler ddim --seed 11", **absent)
case("file-no-clip-ddpm", "micro", "--steps 6 --sampler ddpm --seed 11", **absent)
case("file-clip-ddpm", "micro", "--steps 6 --sampler ddpm --seed 11", **scheduler("DDIMScheduler", **BETAS, clip_sample=True, steps_offset=0))
case("file-clip-inpaint", "micro", "--init-image init.png --mask mask.png --steps 6 --seed 11", **scheduler("DDIMScheduler", **BETAS))
case("file-prk-inpaint", "micro", "--init-image init.png --mask mask.png --steps 6 --seed 11", **scheduler("PNDMScheduler", **BETAS))
case("file-lcm", "micro", "--steps 4 --cfg-scale 1.5 --seed 11", **scheduler("LCMScheduler", **BETAS, original_inference_steps=50))
case("file-heun-trailing", "micro", "--steps 5 --seed 11", **scheduler("HeunDiscreteScheduler", **BETAS, timestep_spacing="trailing"))
case("file-kept-by-sampler", "micro", "--steps 6 --sampler euler --seed 11", **scheduler("PNDMScheduler", **BETAS, skip_prk_steps=True, timestep_spacing="trailing", steps_offset=1))
case("file-sample-prediction", "micro", "--steps 6 --seed 11", **scheduler("DDIMScheduler", **BETAS, clip_sample=False, prediction_type="sample"))

# image to image
for strength in (0.3, 0.7, 1.0):
    case(f"img2img-{strength}", "tiny-sd1", f"--init-image init.png --strength {strength} --steps 8 --seed 12")
case("img2img-default", "micro", "--init-image init.png --seed 12")
for sampler in ("ddim", "ddpm", "euler", "euler_a", "heun", "lms", "dpm2", "dpm2_a", "dpmpp_2m", "dpmpp_2m_sde", "unipc", "deis", "lcm"):
    case(f"img2img-{sampler}", "micro", f"--init-image gray.png --strength 0.6 --steps 7 --sampler {sampler} --seed 13")
case("img2img-dpmpp_2m-karras", "micro", "--init-image gray.png --strength 0.6 --steps 7 --sampler dpmpp_2m --schedule karras --seed 13")
case("img2img-alpha", "micro", "--init-image odd-alpha.png --strength 0.5 --steps 6 --seed 14")
case("img2img-exif", "micro", "--init-image exif6.jpg --strength 0.5 --steps 6 --seed 14")
case("img2img-palette", "micro", "--init-image palette.png --strength 0.5 --steps 6 --seed 14")
case("img2img-smaller", "micro", "--init-image init.png --width 64 --height 40 --strength 0.5 --steps 6 --seed 14")
case("img2img-larger", "micro", "--init-image odd-alpha.png --width 104 --height 96 --strength 0.5 --steps 6 --seed 14")
case("img2img-batch", "micro", "--init-image init.png --strength 0.5 --steps 6 --batch-size 2 --sampler euler_a --seed 15")
case("img2img-negative", "micro", "--init-image init.png --strength 0.5 --steps 6 --negative-prompt dull --cfg-scale 4 --seed 15")

# inpainting, four channels and nine
for model, short in (("tiny-sd1", "4ch"), ("tiny-inpaint", "9ch")):
    inpaint = "--init-image init.png --mask mask.png"
    case(f"inpaint-{short}", model, f"{inpaint} --steps 6 --seed 16")
    case(f"inpaint-{short}-0.6", model, f"{inpaint} --strength 0.6 --steps 8 --seed 16")
    case(f"inpaint-{short}-cfg-1", model, f"{inpaint} --cfg-scale 1 --steps 6 --sampler ddim --seed 17")
    case(f"inpaint-{short}-mask-size", model, "--init-image odd-alpha.png --mask mask-soft.png --steps 6 --sampler euler --seed 17")
    case(f"inpaint-{short}-sizes", model, "--init-image exif6.jpg --mask mask.png --width 64 --height 72 --steps 6 --sampler dpmpp_2m --seed 17")
    case(f"inpaint-{short}-batch", model, f"{inpaint} --strength 0.7 --steps 6 --batch-size 2 --sampler euler_a --seed 18")
for sampler in ("ddim", "ddpm", "euler", "heun", "lms", "dpm2_a", "dpmpp_2m", "dpmpp_2m_sde", "unipc", "deis", "lcm"):
    case(f"inpaint-{sampler}", "micro", f"--init-image init.png --mask mask.png --strength 0.75 --steps 8 --sampler {sampler} --seed 19")

# Stable Diffusion 2: v-prediction; trailing spacing; zero terminal SNR
case("sd2", "tiny-sd2", "--steps 6 --seed 20")
case("sd2-negative", "tiny-sd2", "--steps 6 --negative-prompt 'blurry' --width 104 --height 72 --seed 20", "ein Haus am See, 湖畔の家")
case("sd2-long", "tiny-sd2", "--steps 4 --seed 20", "many words " * 60)
for sampler in SAMPLERS:
    case(f"sd2-{sampler}", "tiny-sd2", f"--steps 6 --cfg-scale 5 --sampler {sampler} --seed 21")
case("sd2-dpmpp_2m-karras", "tiny-sd2", "--steps 6 --cfg-scale 5 --sampler dpmpp_2m --schedule karras --seed 21")
trailing = scheduler("DDIMScheduler", **V, timestep_spacing="trailing")
zero_snr = scheduler("DDIMScheduler", **V, timestep_spacing="trailing", rescale_betas_zero_snr=True)
for sampler in ("ddim", "euler", "dpmpp_2m", "unipc", "lms", "heun"):
    case(f"sd2-trailing-{sampler}", "tiny-sd2", f"--steps 6 --cfg-scale 5 --sampler {sampler} --seed 22", **trailing)
for sampler in ("ddim", "ddpm", "euler", "euler_a", "dpmpp_2m", "dpmpp_2m_sde", "unipc", "lcm"):
    case(f"sd2-zero-snr-{sampler}", "tiny-sd2", f"--steps 6 --cfg-scale 5 --sampler {sampler} --seed 22", **zero_snr)
case("sd2-zero-snr", "tiny-sd2", "--steps 6 --seed 22", **zero_snr)
case("sd2-zero-snr-eta", "tiny-sd2", "--steps 6 --eta 0.5 --seed 22", **zero_snr)
case("sd2-zero-snr-rescale", "tiny-sd2", "--steps 6 --seed 22", library={"guidanceRescale": 0.7}, **zero_snr)
case("sd2-file-euler", "tiny-sd2", "--steps 6 --seed 22", **scheduler("EulerDiscreteScheduler", **BETAS, prediction_type="v_prediction", timestep_spacing="trailing", rescale_betas_zero_snr=True))
case("sd2-img2img", "tiny-sd2", "--init-image init.png --strength 0.6 --steps 8 --seed 23")
case("sd2-img2img-zero-snr", "tiny-sd2", "--init-image init.png --strength 1.0 --steps 6 --sampler euler --seed 23", **zero_snr)
case("sd2-inpaint", "tiny-sd2", "--init-image init.png --mask mask.png --strength 0.6 --steps 8 --seed 23")
case("rescale", "micro", "--steps 6 --cfg-scale 9 --seed 24", library={"guidanceRescale": 0.7})

# files
for model in ("micro", "micro-fp16", "micro-bf16", "micro-bin"):
    case(f"file-{model}", model, "--steps 5 --seed 25", "a naïve cat, 図")
for file, config in (("micro.safetensors", "micro"), ("micro.ckpt", "micro"), ("micro-legacy.ckpt", "micro"), ("tiny-sd2.safetensors", "tiny-sd2")):
    case(f"file-{file}", file, "--steps 5 --seed 25", "a naïve cat, 図", config=config)
case("file-vae", "micro", "--steps 5 --seed 25", "a naïve cat, 図", vae="micro.vae.safetensors")
case("file-prediction-v", "micro.safetensors", "--prediction v --steps 5 --seed 25", config="micro")
case("file-prediction-eps", "tiny-sd2.safetensors", "--prediction eps --steps 5 --sampler euler --seed 25", config="tiny-sd2")
case("narrow-sd1", "narrow-sd1.safetensors", "--prediction eps --width 64 --height 64 --steps 5 --seed 26", "a naïve cat, 図書館", derived=True)
case("narrow-sd2", "narrow-sd2.safetensors", "--prediction v --width 64 --height 64 --steps 5 --seed 26", "a naïve cat, 図書館", derived=True)

WITH_STEPS = ("euler_a", "defaults", "img2img-0.7", "inpaint-4ch-0.6", "inpaint-9ch", "sd2-zero-snr-ddim")


def worst(a, b):
    return max(int(np.abs(np.asarray(x[0]).astype(int) - np.asarray(y[0]).astype(int)).max()) for x, y in zip(a, b, strict=True))


def main(names):
    os.makedirs(OUT, exist_ok=True)
    draw_inputs()
    latents, kept = {}, []
    for c in CASES:
        if names and c["name"] not in names:
            continue
        made = run(c)
        with torch.backends.mkldnn.flags(enabled=False):
            moved = worst(made, run(c))
        many = len(made) > 1 and "--mask" not in c["args"]
        seed = cli.parse_args(c["args"]).seed
        together = worst(made, run(c, [[seed + k for k in range(len(made))]])) if many else 0
        pixels = np.concatenate([np.asarray(m[0]).ravel() for m in made])
        print(f"{c['name']:32} {str(made[0][0].size):10} std {pixels.std():5.1f} clipped {((pixels == 0) | (pixels == 255)).mean():.2f} "
              f"latents {made[0][1][-1].std():6.2f} moved {moved} together {together}", flush=True)
        if moved > 1 or together > 1 or not made[0][1][-1].isfinite().all():
            print("   refused: the reference itself is not steady here")
            continue
        c["pictures"] = []
        for k, (image, steps, first) in enumerate(made):
            file = f"{c['name']}.png" if len(made) == 1 else f"{c['name']}.{k}.png"
            image.save(f"{OUT}/{file}", optimize=True)
            c["pictures"].append(file)
            at = f"{c['name']}.{k}"
            latents |= {at: steps[-1], f"{at}.init": first}
            if c["name"] in WITH_STEPS:
                latents |= {f"{at}.step.{i}": s for i, s in enumerate(steps)}
        kept.append(c)
    if names:
        return
    save_file({k: v.clone(memory_format=torch.contiguous_format) for k, v in latents.items()}, f"{OUT}/latents.safetensors")
    os.chmod(f"{OUT}/latents.safetensors", 0o644)
    with open(f"{OUT}/cases.json", "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=False) for c in kept) + "\n]\n")


if __name__ == "__main__":
    with torch.no_grad():
        main(sys.argv[1:])
