import { httpFolder } from "../src/browser.js";
import { type Folder, readJson } from "../src/util/bytes.js";

/*
 * The model that comes with Tintype, behind a URL. HTTP cannot list a folder, and guessing names costs
 * a request for each guess, but what Tintype writes always has the same names.
 */

const TOKENIZER = ["merges.txt", "tokenizer_config.json", "vocab.json"];

/** The files of a model that Tintype wrote, as its model_index.json names the parts. */
export function filesOf(index: Readonly<Record<string, unknown>>): readonly string[] {
  const parts = Object.entries(index).flatMap(([part, entry]) => {
    if (!Array.isArray(entry) || typeof entry[1] !== "string") return [];
    return namesOf(entry[0], entry[1]).map((name) => `${part}/${name}`);
  });
  return ["model_index.json", ...parts].sort();
}

function namesOf(library: unknown, className: string): readonly string[] {
  if (className.includes("Tokenizer")) return TOKENIZER;
  if (className.endsWith("Scheduler")) return ["scheduler_config.json"];
  const weights = library === "diffusers" ? "diffusion_pytorch_model" : "model";
  return ["config.json", `${weights}.safetensors`];
}

/** The model's folder below a URL; asked for when it is opened. */
export function postcardsAt(url: string): Folder {
  const name = "postcards";
  const find = async (): Promise<Folder> => {
    const alone = httpFolder(url, { files: ["model_index.json"] }, name);
    const index = await readJson(await alone.open("model_index.json"));
    return httpFolder(url, { files: filesOf(index as Record<string, unknown>) }, name);
  };
  let found: Promise<Folder> | undefined;
  const folder = (): Promise<Folder> => {
    found ??= find();
    return found;
  };
  return {
    name,
    list: async () => await (await folder()).list(),
    open: async (path) => await (await folder()).open(path),
  };
}
