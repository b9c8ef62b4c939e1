import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { filesOf } from "../../web/postcards.js";

test("the page knows the files of the model that comes with Tintype", () => {
  const folder = new URL("../../models/postcards/", import.meta.url);
  const index: unknown = JSON.parse(readFileSync(new URL("model_index.json", folder), "utf8"));
  const inside = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const files = inside.filter((path) => /\.[a-z]+$/.test(path) && path !== "README.md");
  expect(filesOf(index as Record<string, unknown>)).toEqual(files.toSorted());
});
