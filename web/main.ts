import {
  type BrowserModel,
  type BrowserModelSource,
  encodePng,
  type GenerationRequest,
  loadModel,
  PART_TITLES,
  TintypeError,
  textToImage,
} from "../src/browser.js";
import { SAMPLERS } from "../src/diffusion/index.js";
import type { Picture } from "../src/image/picture.js";
import { postcardsAt } from "./postcards.js";

/* The page: a form, a picture that appears step by step, and a button to keep it. */

function find<E extends Element>(id: string, kind: { new (): E }): E {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`#${id} is missing from the page`);
  return element;
}

const form = find("form", HTMLFormElement);
const go = find("go", HTMLButtonElement);
const stop = find("stop", HTMLButtonElement);
const save = find("save", HTMLAnchorElement);
const canvas = find("picture", HTMLCanvasElement);
const progress = find("progress", HTMLProgressElement);
const status = find("status", HTMLOutputElement);
const pickers = { file: find("file", HTMLInputElement), folder: find("folder", HTMLInputElement) };

const field = (name: string): string => {
  const { value } = form.elements.namedItem(name) as HTMLInputElement | HTMLSelectElement;
  return value.trim();
};

const numberOf = (name: string): number | undefined =>
  field(name) === "" ? undefined : Number(field(name));

function say(text: string): void {
  status.value = text;
}

/** Draws a picture over the whole canvas, which takes its shape. */
async function show({ width, height, data }: Picture, size: Picture): Promise<void> {
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    pixels.data.set(data.subarray(3 * i, 3 * i + 3), 4 * i);
    pixels.data[4 * i + 3] = 255;
  }
  const bitmap = await createImageBitmap(pixels);
  if (canvas.width !== size.width || canvas.height !== size.height) {
    canvas.width = size.width;
    canvas.height = size.height;
  }
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
}

/** The one model that is open; another choice or device closes it. */
const opened: { key: string; model: BrowserModel | undefined } = { key: "", model: undefined };

function chosenSource(): BrowserModelSource {
  const choice = field("model");
  if (choice === "postcards") {
    return postcardsAt(new URL("models/postcards", location.href).href);
  }
  const { files } = pickers[choice as "file" | "folder"];
  if (files === null || files.length === 0) {
    throw new TintypeError("bad-argument", `Pick a ${choice} first.`);
  }
  return choice === "file" ? files[0]! : files;
}

async function openChosen(): Promise<BrowserModel> {
  const source = chosenSource();
  const picked = source instanceof File ? [source] : source instanceof FileList ? [...source] : [];
  const files = picked.map((f) => `${f.webkitRelativePath}/${f.name} ${f.size} ${f.lastModified}`);
  const key = [field("model"), field("device"), ...files].join("\n");
  if (opened.model && opened.key === key) return opened.model;
  await opened.model?.[Symbol.asyncDispose]();
  opened.model = undefined;
  say("Opening the model...");
  opened.model = await loadModel(source, {
    device: field("device") as "auto" | "webgpu" | "wasm",
    worker: new Worker("worker.js", { type: "module" }),
    wasmPaths: new URL("ort/", location.href).href,
    onLoad: (part) => say(`Loading the ${PART_TITLES[part]}...`),
  });
  opened.key = key;
  return opened.model;
}

function requestFrom(signal: AbortSignal): GenerationRequest {
  const sampler = field("sampler");
  return {
    prompt: field("prompt"),
    negativePrompt: field("negativePrompt"),
    steps: numberOf("steps"),
    guidanceScale: numberOf("guidanceScale"),
    width: numberOf("width"),
    height: numberOf("height"),
    sampler: sampler === "" ? undefined : sampler,
    seed: field("seed") === "" ? undefined : BigInt(field("seed")),
    signal,
  };
}

async function generate(signal: AbortSignal): Promise<void> {
  const model = await openChosen();
  const started = performance.now();
  const run = textToImage(model, requestFrom(signal));
  for (;;) {
    const { done, value } = await run.next();
    if (done) {
      const picture = value.pictures[0]!;
      await show(picture, picture);
      const png = await encodePng(picture, {});
      URL.revokeObjectURL(save.href);
      save.href = URL.createObjectURL(new Blob([png], { type: "image/png" }));
      save.hidden = false;
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      say(`Seed ${value.settings.seed}, ${seconds} s on ${model.device.name}.`);
      return;
    }
    const [small] = value.preview();
    const { factor } = model;
    const size = { ...small!, width: small!.width * factor, height: small!.height * factor };
    await show(small!, size);
    progress.value = (value.i + 1) / value.count;
    say(`Step ${value.i + 1} of ${value.count}`);
  }
}

function explain(error: unknown): string {
  if (error instanceof TintypeError) return error.code === "aborted" ? "Stopped." : error.message;
  return `Something went wrong inside Tintype: ${error instanceof Error ? error.message : error}`;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const abort = new AbortController();
  stop.onclick = () => abort.abort();
  [go.disabled, stop.disabled, save.hidden, progress.value] = [true, false, true, 0];
  try {
    await generate(abort.signal);
  } catch (error) {
    say(explain(error));
  } finally {
    [go.disabled, stop.disabled] = [false, true];
  }
});

form.addEventListener("change", ({ target }) => {
  if (!(target instanceof HTMLSelectElement) || target.name !== "model") return;
  if (target.value === "file" || target.value === "folder") pickers[target.value].click();
});

const samplers = form.elements.namedItem("sampler") as HTMLSelectElement;
samplers.append(new Option("the model's own", ""));
for (const { name, label } of SAMPLERS) samplers.append(new Option(label, name));
