import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { nodePlatform } from "../../src/node.js";
import { outputNames, requireWritable } from "./output.js";

const folder = mkdtempSync(join(tmpdir(), "tintype-output-"));
afterAll(() => rmSync(folder, { recursive: true }));

test.each([
  ["out.png", 1, ["out.png"]],
  ["out.PNG", 1, ["out.PNG"]],
  ["out.png", 3, ["out-0.png", "out-1.png", "out-2.png"]],
  ["out-%d.png", 2, ["out-0.png", "out-1.png"]],
  ["out-%d.png", 1, ["out-0.png"]],
  ["a/%03d/x%d.png", 2, ["a/000/x0.png", "a/001/x1.png"]],
  ["100%.png", 1, ["100%.png"]],
])("%s for %d", (template, count, names) => {
  expect(outputNames(template, "a cat", Array(count).fill(1n))).toEqual(names);
});

test.each([
  ["A cat, at night!", "a-cat-at-night-7.png"],
  ["夜の未来都市 🐱 naïve café", "夜の未来都市-naïve-café-7.png"],
  ["../../etc/passwd", "etc-passwd-7.png"],
  ["夜".repeat(99), `${"夜".repeat(48)}-7.png`],
  ["", "tintype-7.png"],
  ["!!!", "tintype-7.png"],
  [`${"very ".repeat(30)}long`, `${"very-".repeat(8)}very-7.png`],
])("a name is made of the prompt %j and the seed", (prompt, name) => {
  expect(outputNames(undefined, prompt, [7n])).toEqual([name]);
});

test("a made-up name never meets a file, an explicit one may", async () => {
  const home = process.cwd();
  process.chdir(folder);
  try {
    writeFileSync("a-cat-7.png", "");
    writeFileSync("a-cat-7-2.png", "");
    expect(outputNames(undefined, "a cat", [7n, 8n])).toEqual(["a-cat-7-3.png", "a-cat-8.png"]);
    await requireWritable(["a-cat-7.png", "new.png"], nodePlatform());
  } finally {
    process.chdir(home);
  }
});
