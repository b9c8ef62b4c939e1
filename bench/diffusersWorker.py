"""diffusers under measurement: one JSON request a line on stdin, one JSON answer a line on stdout.

The requests are those of cli/bench/protocol.ts. `dtype` is fp32, bf16 or fp16; all but fp32 run with
channels_last, which is fastest.
"""
import json
import sys
import time

PROMPTS = ["a photograph of an astronaut riding a horse", ""]
unet = vae = text = tokenizer = None
settings = {}


def start(request):
    import torch

    if request.get("threads"):
        torch.set_num_threads(request["threads"])
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if request["dtype"] not in dtypes:
        raise ValueError(f"diffusers is measured in {', '.join(dtypes)}, not in {request['dtype']}")
    device = "cuda" if request["device"] == "cuda" else "cpu"
    settings.update(dtype=dtypes[request["dtype"]], device=device)


def placed(model):
    import torch

    model = model.eval().to(settings["device"])
    return model if settings["dtype"] == torch.float32 else model.to(memory_format=torch.channels_last)


def load(request):
    global unet, vae, text, tokenizer
    begin = time.perf_counter()
    start(request)
    import diffusers
    import torch
    from transformers import CLIPTextModel, CLIPTokenizer

    folder, parts, dtype = request["model"], request["parts"], settings["dtype"]
    if "text" in parts:
        tokenizer = CLIPTokenizer.from_pretrained(f"{folder}/tokenizer")
        text = CLIPTextModel.from_pretrained(f"{folder}/text_encoder", torch_dtype=dtype).eval().to(settings["device"])
    if "step" in parts:
        unet = placed(diffusers.UNet2DConditionModel.from_pretrained(f"{folder}/unet", torch_dtype=dtype))
    if "decode" in parts:
        vae = placed(diffusers.AutoencoderKL.from_pretrained(f"{folder}/vae", torch_dtype=dtype))
    about = f"diffusers {diffusers.__version__}, PyTorch {torch.__version__}, {settings['device']}"
    return {"value": time.perf_counter() - begin, "about": about, "dtype": request["dtype"]}


def noise(*shape):
    import torch

    return torch.randn(*shape).to(settings["device"], settings["dtype"])


def timed(call):
    import torch

    cuda = settings["device"] == "cuda"
    begin = time.perf_counter()
    with torch.inference_mode():
        call()
    if cuda:
        torch.cuda.synchronize()
    return {"value": time.perf_counter() - begin}


def measure(request):
    do, batch = request["do"], request["batch"]
    if do == "text":
        size = dict(padding="max_length", truncation=True, max_length=text.config.max_position_embeddings)
        return timed(lambda: text(tokenizer(PROMPTS, return_tensors="pt", **size).input_ids.to(settings["device"])))
    if do == "step":
        side, config = request["side"] // factor(), unet.config
        x = noise(2 * batch, config.in_channels, side, side)
        context = noise(2 * batch, 77, config.cross_attention_dim)
        return timed(lambda: unet(x, 500, context))
    side = request["side"] // factor()
    latents = noise(batch, vae.config.latent_channels, side, side)
    return timed(lambda: vae.decode(latents))


def factor():
    return 2 ** (len(vae.config.block_out_channels) - 1) if vae else 8


def picture(request):
    start(request)
    import torch
    from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(request["model"], torch_dtype=settings["dtype"])
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    pipe.unet, pipe.vae = placed(pipe.unet), placed(pipe.vae)
    pipe.text_encoder.to(settings["device"])
    pipe.set_progress_bar_config(disable=True)
    side = request["side"]
    made = pipe(
        request["prompt"],
        width=side,
        height=side,
        num_inference_steps=request["steps"],
        guidance_scale=7.5,
        generator=torch.Generator().manual_seed(0),
    )
    made.images[0].save(request["output"])
    return memory()


def memory():
    try:
        with open("/proc/self/status") as status:
            return {"value": 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))}
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"value": peak if sys.platform == "darwin" else 1024 * peak}


def answer(request):
    do = request["do"]
    if do == "memory":
        return memory()
    return {"load": load, "picture": picture}.get(do, measure)(request)


for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except ModuleNotFoundError as error:
        reply = {"error": f"this Python has no module {error.name}. Install torch, diffusers and transformers, or name another Python"}
    except Exception as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(reply), flush=True)
