import { expect, test } from "vitest";
import { parseSdcpp, sdcppError } from "./sdcpp.js";

/** What `sd-cli -v` of August 2026 prints for two steps, its dump of settings and some lines left out. */
const LAZY = `[INFO ] model_loader.cpp:233  - load sd15 using diffusers format
[DEBUG] stable-diffusion.cpp:1704 - model metadata validated; weights will be prepared lazily
[INFO ] stable-diffusion.cpp:1849 - running in eps-prediction mode
[INFO ] stable-diffusion.cpp:5628 - generate_image 128x128
[INFO ] stable-diffusion.cpp:4380 - sampling using Euler method
[DEBUG] model_loader.cpp:1042 - loading 196/196 tensors from sd15/text_encoder/model.safetensors
\r  |###                                               | 8/196 - 0.55MB/s\u001b[K\r  |##################################################| 196/196 - 109.00MB/s\u001b[K
[INFO ] model_loader.cpp:1304 - loading tensors completed, taking 2.07s (read: 0.45s, memcpy: 0.00s, convert: 1.13s, copy_to_backend: 0.00s)
[DEBUG] conditioner.hpp:497  - computing condition graph completed, taking 5160 ms
[DEBUG] conditioner.hpp:497  - computing condition graph completed, taking 3597 ms
[INFO ] stable-diffusion.cpp:5296 - get_learned_condition completed, taking 8.76s
[INFO ] stable-diffusion.cpp:5679 - generating image: 1/1 - seed 0
[DEBUG] model_loader.cpp:1042 - loading 686/686 tensors from sd15/unet/diffusion_pytorch_model.safetensors
[INFO ] model_loader.cpp:1304 - loading tensors completed, taking 3.57s (read: 0.60s, memcpy: 0.00s, convert: 2.56s, copy_to_backend: 0.00s)
[DEBUG] ggml_extend.hpp:2241 - unet compute buffer size: 14.12 MB(RAM)
\r  |================>                                 | 1/3 - 15.47s/it\u001b[K\r  |=================================>                | 2/3 - 11.38s/it\u001b[K\r  |==================================================| 3/3 - 1.25it/s\u001b[K
[INFO ] stable-diffusion.cpp:5711 - sampling completed, taking 31.86s
[INFO ] stable-diffusion.cpp:5321 - decoding 1 latents
[INFO ] model_loader.cpp:1304 - loading tensors completed, taking 0.81s (read: 0.18s, memcpy: 0.00s, convert: 0.43s, copy_to_backend: 0.00s)
[DEBUG] vae.hpp:220  - computing vae decode graph completed, taking 33.27s
[INFO ] stable-diffusion.cpp:5387 - latent 1 decoded, taking 33.27s
[INFO ] stable-diffusion.cpp:5391 - decode_first_stage completed, taking 33.27s
[INFO ] stable-diffusion.cpp:5861 - generate_image completed in 73.89s
`;

test("parts without the loading that happens in them", () => {
  const times = parseSdcpp(LAZY);
  expect(times.load).toBeCloseTo(2.07 + 3.57 + 0.81);
  expect(times.text).toBeCloseTo(8.76 - 2.07);
  expect(times.steps).toEqual([11.38, 0.8]);
  expect(times.decode).toBeCloseTo(33.27 - 0.81);
});

test("weights that are loaded first, as with --eager-load, are taken off nothing", () => {
  const loads = LAZY.split("\n").filter((line) => line.includes("loading tensors completed"));
  const rest = LAZY.split("\n").filter((line) => !loads.includes(line));
  const times = parseSdcpp([...loads, ...rest].join("\n"));
  expect(times.load).toBeCloseTo(6.45);
  expect(times.text).toBeCloseTo(8.76);
  expect(times.decode).toBeCloseTo(33.27);
});

test("versions of 2024 print other lines, and count tensors like steps", () => {
  const times =
    parseSdcpp(`[INFO ] stable-diffusion.cpp:195  - loading model from 'v1-5.safetensors'
\r  |==================================================| 1130/1130 - 1000.00it/s
[INFO ] stable-diffusion.cpp:520  - loading model from 'v1-5.safetensors' completed, taking 1.71s
[INFO ] stable-diffusion.cpp:1368 - get_learned_condition completed, taking 140 ms
[INFO ] stable-diffusion.cpp:1391 - generating image: 1/1 - seed 0
\r  |=========================>                        | 1/2 - 24.21s/it\r  |==================================================| 2/2 - 24.05s/it
[INFO ] stable-diffusion.cpp:1466 - sampling completed, taking 48.31s
[INFO ] stable-diffusion.cpp:1491 - decode_first_stage completed, taking 31.02s
[INFO ] stable-diffusion.cpp:1614 - txt2img completed in 79.51s
`);
  expect(times).toEqual({ load: 1.71, text: 0.14, steps: [24.05], decode: 31.02 });
});

test("what is no output of it is refused, and its own error is found", () => {
  expect(() => parseSdcpp("hello")).toThrow("printed no steps");
  const failed = `[DEBUG] model_loader.cpp:445 - Couldn't find working second text encoder in sd15
[ERROR] model_loader.cpp:321  - failed to open 'sd15/text_encoder_2/model.safetensors'
[ERROR] stable-diffusion.cpp:905  - get sd version from file failed: 'sd15'
`;
  expect(sdcppError(failed)).toBe("get sd version from file failed: 'sd15'");
  expect(sdcppError("Illegal instruction")).toBeUndefined();
});
