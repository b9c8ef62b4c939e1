import { loadModelFiles } from "../../src/checkpoints/index.js";
import { readSafetensors } from "../../src/formats/index.js";
import { TOKEN_TABLE } from "../../src/models/clip/model.js";
import { decoderGraph, encoderGraph, textGraph, unetGraph } from "../../src/pipelines/graphs.js";
import { lookUpTokens } from "../../src/pipelines/textEmbedding.js";
import type { Platform } from "../../src/platform/types.js";
import type { Engine, Program } from "../../src/runtime/engine.js";
import { readTensor } from "../../src/tensor/convert.js";
import type { StoredTensors } from "../../src/tensor/stored.js";
import { full, type Tensor } from "../../src/tensor/tensor.js";
import { relativeError } from "./run.js";

/*
 * What the networks of the tiny models answer, on any engine, against PyTorch's answers in
 * test/golden/components. One program a network serves all its sizes.
 */

/** The tiny models that every device is tried with. */
export const TINY_MODELS: readonly string[] = ["tiny-sd1", "tiny-sd2", "micro-fp16", "micro-bf16"];

/** One answer: its name, and its relative error on an engine. */
export interface ModelCase {
  readonly name: string;
  readonly error: (engine: Engine) => Promise<number>;
}

type Inputs = Readonly<Record<string, Tensor>>;

/** The cases of one tiny model; `golden` is the path or URL of test/golden. */
export async function modelCases(
  platform: Platform,
  golden: string,
  model: string,
): Promise<readonly ModelCase[]> {
  const answers = await readSafetensors(
    await platform.openFile(`${golden}/components/${model}.safetensors`),
  );
  const variant = model.endsWith("fp16") ? { variant: "fp16" } : {};
  const files = await loadModelFiles(
    await platform.openFolder(`${golden}/models/${model}`),
    variant,
  );
  const { text, unet, vae } = files;
  const tensors: StoredTensors = answers.tensors;
  const read = (name: string): Promise<Tensor> => readTensor(tensors.get(name)!);
  const programs = {
    text: once((e) => e.load(textGraph(text.config), text.weights, { label: "text" })),
    unet: once((e) => e.load(unetGraph(unet.config), unet.weights, { label: "unet" })),
    encoder: once((e) => e.load(encoderGraph(vae.config), vae.weights, vaeLabel("encoder"))),
    decoder: once((e) => e.load(decoderGraph(vae.config), vae.weights, vaeLabel("decoder"))),
  };
  const compare =
    (part: keyof typeof programs, inputs: () => Promise<Inputs>, wanted: () => Promise<Tensor>) =>
    async (engine: Engine): Promise<number> => {
      const program = await programs[part](engine);
      const [got] = Object.values(await program.run(await inputs()));
      const want = await wanted();
      return `${got!.shape}` === `${want.shape}`
        ? relativeError(got!.data, want.data)
        : Number.POSITIVE_INFINITY;
    };

  const timesteps = JSON.parse(answers.metadata.timesteps!) as Record<string, number>;
  const cases = [...tensors.keys()].flatMap((key): ModelCase[] => {
    const [kind, ...rest] = key.split(".");
    const result = rest.pop()!;
    const at = (name: string): string => [kind, ...rest, name].join(".");
    const name = [kind, ...rest].join(" ");
    if (kind === "text" && result === "hidden") {
      const tokens = async (): Promise<Inputs> => {
        const ids = tensors.get(at("ids"))!;
        const bytes = await ids.source.read(ids.offset, ids.length);
        const table = text.weights.get(`${TOKEN_TABLE}.weight`)!;
        const row = new Int32Array(bytes.slice().buffer);
        return { tokens: await lookUpTokens(table, [row], text.file) };
      };
      return [{ name, error: compare("text", tokens, () => read(key)) }];
    }
    if (kind === "unet" && result === "out") {
      const inputs = async (): Promise<Inputs> => {
        const x = await read(at("sample"));
        const t = full([x.shape[0]!], timesteps[rest.join(".")]!);
        return { x, t, context: await read(at("context")) };
      };
      return [{ name, error: compare("unet", inputs, () => read(key)) }];
    }
    if (kind === "vae" && result === "decoded") {
      const inputs = async (): Promise<Inputs> => ({ latents: await read(at("latents")) });
      return [{ name: `${name} decoded`, error: compare("decoder", inputs, () => read(key)) }];
    }
    if (kind === "vae" && result === "mean") {
      const inputs = async (): Promise<Inputs> => ({ image: await read(at("image")) });
      const moments = async (): Promise<Tensor> =>
        alongChannels(await read(key), await read(at("logvar")));
      return [{ name: `${name} encoded`, error: compare("encoder", inputs, moments) }];
    }
    return [];
  });
  return cases;
}

const vaeLabel = (label: string): { label: string; fullPrecision: boolean } => ({
  label,
  fullPrecision: true,
});

/** Loads a program the first time it is asked for, once an engine. */
function once(load: (engine: Engine) => Promise<Program>): (engine: Engine) => Promise<Program> {
  const loaded = new Map<Engine, Promise<Program>>();
  return (engine) => {
    const program = loaded.get(engine) ?? load(engine);
    loaded.set(engine, program);
    return program;
  };
}

/** a [B,C,H,W] and b [B,D,H,W] -> [B,C+D,H,W]; diffusers clamps logvar, which no tiny model meets. */
function alongChannels(a: Tensor, b: Tensor): Tensor {
  const batch = a.shape[0]!;
  const [m, n] = [a.data.length / batch, b.data.length / batch];
  const data = new Float32Array(batch * (m + n));
  for (let i = 0; i < batch; i++) {
    data.set(a.data.subarray(i * m, (i + 1) * m), i * (m + n));
    data.set(b.data.subarray(i * n, (i + 1) * n), i * (m + n) + m);
  }
  return { shape: [batch, a.shape[1]! + b.shape[1]!, ...a.shape.slice(2)], data };
}
