import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { localWorker } from "../../../test/localWorker.js";
import { writeTar } from "../../../test/tarWriter.js";
import { framePicture, pictureSize } from "../../platform/node/framing.js";
import { nodePlatform } from "../../platform/node/platform.js";
import { openFile } from "../../platform/node/sources.js";
import { TintypeError } from "../../util/errors.js";
import { openData } from "./open.js";
import { servePictures } from "./serve.js";
import { dataSchema } from "./spec.js";
import type { BatchSource } from "./types.js";

/*
 * Names and texts of a data set in which a screen would find ends of lines and commands.
 */

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tintype-names-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const write = (files: Readonly<Record<string, string | Uint8Array>>): void => {
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
};

const inFolder = (): object => ({ kind: "folder", path: folder });
const inShards = (): object => ({ kind: "webdataset", shards: folder, buckets: false });

function open(spec: object): Promise<BatchSource> {
  const startWorker = () =>
    localWorker((port) =>
      servePictures(port, {
        read: async ({ path, name, offset, length }, most = length) =>
          (await openFile(path, name)).read(offset, Math.min(length, most)),
        measure: pictureSize,
        frame: framePicture,
        paint: () => {
          throw new Error("no painter here");
        },
      }),
    );
  const context = { platform: nodePlatform(), startWorker, batchSize: 1, seed: 1 };
  return openData(v.parse(dataSchema, spec), context);
}

/** What is wrong with the data set, which is a sentence on one line. */
async function problem(spec: object): Promise<string> {
  const error = await open(spec).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(TintypeError);
  const { message } = error as TintypeError;
  expect(message).not.toMatch(/\p{Cc}/u);
  return message.replaceAll(folder, "DATA");
}

const metadata = (...rows: readonly object[]): string =>
  rows.map((row) => JSON.stringify(row)).join("\n");

describe("errors of folders stay on one line", () => {
  it.each<readonly [string, Readonly<Record<string, string>>, string]>([
    [
      "a picture without a caption",
      { "a\nb.png": "" },
      "1 of 1 picture has no caption: a\\nb.png.",
    ],
    [
      "a caption without a picture",
      { "c.png": "", "c.txt": "c", "a\u001b]0;b\u0007.txt": "x" },
      "DATA: 1 caption has no picture: a\\u001b]0;b\\u0007.txt.",
    ],
    [
      "captions that contradict each other",
      {
        "a\nb.png": "",
        "a\nb.txt": "red\u001b[31m\nhouse",
        "metadata.jsonl": metadata({ file_name: "a\nb.png", text: "\u009b2J" }),
      },
      'a\\nb.png has two captions: "red\\u001b[31m\\nhouse" in a\\nb.txt and "\\u009b2J" in metadata.jsonl',
    ],
    [
      "a line without its picture",
      { "a.png": "", "metadata.jsonl": metadata({ file_name: "b\r.png", text: "b" }) },
      "1 of its pictures is not there: b\\r.png.",
    ],
    [
      "a line that is no JSON",
      { "a.png": "", "metadata.jsonl": "{\u001b[2J" },
      "metadata.jsonl, line 1: not valid JSON (",
    ],
    [
      "keys that nobody expects",
      { "a.png": "", "metadata.jsonl": metadata({ file_name: "a.png", "te\nxt": "b" }) },
      'Did you mean "captionColumn": "te\\nxt"?',
    ],
  ])("%s", async (_, files, message) => {
    write(files);
    expect(await problem(inFolder())).toContain(message);
  });

  it("pictures of which none can be read", async () => {
    write({ "a\nb.png": "no" });
    expect(await problem({ ...inFolder(), captions: "optional" })).toMatch(
      /^DATA: not even its only picture can be read\. a\\nb\.png: cannot be read as a picture/,
    );
  });
});

describe("shards", () => {
  it("with captions of no picture", async () => {
    write({ "s.tar": writeTar([["a\nb.txt", "x"]]) });
    const message = await problem(inShards());
    expect(message).toContain("1 caption has no picture (");
    expect(message).toContain(": s.tar/a\\nb.txt. ");
  });

  it("say on one line why examples are left out", async () => {
    const tar = writeTar([
      ["a\nb.jpg", "x"],
      ["a\nb.json", "{"],
      ["c.jpg", "x"],
      ["c.txt", "c"],
    ]);
    write({ "s\u001b[2J.tar": tar });
    await using source = await open(inShards());
    const reasons = [...source.skipped].map(([name, why]) => [name, why.replace(folder, "DATA")]);
    expect(reasons).toEqual([
      ["s\u001b[2J.tar/a\nb.jpg", "DATA/s\\u001b[2J.tar: a\\nb.json is not valid JSON"],
    ]);
  });
});
