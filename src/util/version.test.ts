import { expect, test } from "vitest";
import packageJson from "../../package.json" with { type: "json" };
import { VERSION } from "./version.js";

test("the version is package.json's", () => {
  expect(VERSION).toBe(packageJson.version);
});
