import {
  type FileSummary,
  inspectFile,
  inspectModel,
  type ModelFiles,
} from "../../src/checkpoints/index.js";
import { parseParameters, readPngText, readTensorFile } from "../../src/formats/index.js";
import { findModel, nodePlatform } from "../../src/node.js";
import { defaultsOf } from "../../src/pipelines/index.js";
import type { Platform } from "../../src/platform/types.js";
import type { ByteSource } from "../../src/util/bytes.js";
import { TintypeError } from "../../src/util/errors.js";
import { eachLine } from "../../src/util/oneLine.js";
import { snakeCase } from "../format.js";
import { progressOn } from "../progress.js";
import type { Terminal } from "../terminal.js";
import { graphsOf, manifestsOf, memoryNeeds } from "./needs.js";
import { filesText, modelText, pictureText } from "./text.js";
import type { InspectedFiles, InspectedModel, InspectedPicture, InspectOptions } from "./types.js";

/** Runs `tintype inspect`. */
export async function inspect(
  ref: string,
  { json = false }: InspectOptions,
  terminal: Terminal,
): Promise<void> {
  const platform = nodePlatform();
  const picture = await asPicture(ref, platform);
  const found = picture ?? (await inspectWeights(ref, platform, terminal));
  if (json) return terminal.out(`${JSON.stringify(snakeCase(found))}\n`);
  // What files say is shown, and nothing in it is for the terminal to obey.
  const show = (text: string): void => terminal.out(eachLine(text));
  if (found.kind === "picture") return show(pictureText(found));
  show(found.kind === "model" ? modelText(found) : filesText(found));
}

const PNG_HEAD = [0x89, 0x50, 0x4e, 0x47];

/** The picture, if `ref` is one. */
async function asPicture(ref: string, platform: Platform): Promise<InspectedPicture | undefined> {
  if ((await platform.stat(ref))?.kind !== "file") return undefined;
  const source = await platform.openFile(ref);
  const head = await source.read(0, Math.min(24, source.size));
  const isPng = head.length === 24 && PNG_HEAD.every((byte, i) => head[i] === byte);
  if (!isPng && !/\.png$/i.test(ref)) return undefined;
  const text = await readPngText(source);
  const size = new DataView(head.buffer, head.byteOffset);
  const { parameters } = text;
  return {
    kind: "picture",
    name: ref,
    width: size.getUint32(16),
    height: size.getUint32(20),
    text,
    parameters: parameters === undefined ? undefined : parseParameters(parameters),
  };
}

async function inspectWeights(
  ref: string,
  platform: Platform,
  terminal: Terminal,
): Promise<InspectedModel | InspectedFiles> {
  using progress = progressOn(terminal);
  try {
    const files = await findModel(ref, {
      platform,
      signal: terminal.signal,
      onDownload: progress.download,
      onNotice: (message) => progress.notice(`tintype: ${message}`),
    });
    return describe(files);
  } catch (error) {
    if (!(error instanceof TintypeError)) throw error;
    const files = await weightFiles(ref, platform);
    if (files.length === 0) throw error;
    const summaries: FileSummary[] = [];
    for (const file of files) {
      summaries.push(inspectFile(file.name, await readTensorFile(file)));
    }
    return { kind: "weights", runs: false, name: ref, reason: error.message, files: summaries };
  }
}

function describe(files: ModelFiles): InspectedModel {
  const graphs = graphsOf(files);
  const { memory, side } = memoryNeeds(files, graphs);
  const summary = inspectModel(files, manifestsOf(files, graphs));
  const { steps, guidanceScale, sampler = null } = defaultsOf(files);
  const defaults = { steps, guidanceScale, sampler };
  return { kind: "model", runs: true, ...summary, memory, width: side, height: side, defaults };
}

/** The files with weights at a local path, whatever they are. */
async function weightFiles(ref: string, platform: Platform): Promise<ByteSource[]> {
  const stat = await platform.stat(ref);
  if (stat?.kind === "file") return [await platform.openFile(ref)];
  if (stat === undefined) return [];
  const folder = await platform.openFolder(ref);
  const paths = (await folder.list()).filter((path) =>
    /\.(safetensors|ckpt|pt|pth|bin)$/i.test(path),
  );
  return Promise.all(paths.map((path) => folder.open(path)));
}
