import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { KINDS } from "../../src/training/kinds.js";
import { keyPaths, parseConfig } from "../../src/training/schema.js";

const guide = readFileSync(new URL("../../docs/training.md", import.meta.url), "utf8");

/** Keys of sections that have one row. */
const WHOLE = /^(?:model\.(?:unet|noise|text|vision)|adversarial\.(?:optimizer|learningRate))\b/;

test.each(Object.keys(KINDS))("the guide tells of every setting of %s", (name) => {
  const paths = keyPaths(KINDS[name]!.schema);
  const leaves = paths.filter((path) => !paths.some((other) => other.startsWith(`${path}.`)));
  expect(leaves.length).toBeGreaterThan(30);
  const isTold = (path: string): boolean =>
    WHOLE.test(path)
      ? guide.includes(`\`${path.split(".").at(-1)}\``) || path.startsWith("adversarial.")
      : guide.includes(`| \`${path}\` |`);
  expect(leaves.filter((path) => !isTold(path))).toEqual([]);
});

test("the guide's examples are settings", () => {
  const blocks = [...guide.matchAll(/```json\n([^`]*)```/g)].map(([, json]) => JSON.parse(json!));
  const kinds = blocks.map((block) => {
    if (block.from !== undefined || block.model?.unet !== undefined) return "diffusion";
    return block.model?.vision === undefined ? "autoencoder" : "clip";
  });
  expect(new Set(kinds)).toEqual(new Set(Object.keys(KINDS)));
  for (const [i, block] of blocks.entries()) {
    const { schema } = KINDS[kinds[i]!]!;
    expect(parseConfig(schema, block, "docs/training.md")).toMatchObject({ steps: block.steps });
  }
});
