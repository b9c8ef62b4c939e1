import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { KINDS } from "../../src/training/kinds.js";
import { keyPaths, parseConfig } from "../../src/training/schema.js";

const guide = readFileSync(new URL("../../docs/training.md", import.meta.url), "utf8");

/** Keys whose sections are told of as a whole. */
const WHOLE =
  /^(?:model\.(?:unet|noise|text)|adversarial\.(?:optimizer|learningRate)|data\.kind)\b/;

test.each(Object.keys(KINDS))("the guide tells of every setting of %s", (name) => {
  const paths = keyPaths(KINDS[name]!.schema).filter((path) => !WHOLE.test(path));
  const leaves = paths.filter((path) => !paths.some((other) => other.startsWith(`${path}.`)));
  expect(leaves.length).toBeGreaterThan(30);
  expect(leaves.filter((path) => !guide.includes(`| \`${path}\` |`))).toEqual([]);
});

test("the guide's examples are settings", () => {
  const blocks = [...guide.matchAll(/```json\n([^`]*)```/g)].map(([, json]) => JSON.parse(json!));
  const kinds = blocks.map((block) => {
    if (block.from !== undefined || block.model?.unet !== undefined) return "diffusion";
    return block.model?.preset === undefined ? "clip" : "autoencoder";
  });
  expect(new Set(kinds).size).toBeGreaterThanOrEqual(2);
  for (const [i, block] of blocks.entries()) {
    const { schema } = KINDS[kinds[i]!]!;
    expect(parseConfig(schema, block, "docs/training.md")).toMatchObject({ steps: block.steps });
  }
});
