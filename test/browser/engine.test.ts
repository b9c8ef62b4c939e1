import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Server, serve } from "../../web/serve.js";
import { ENGINE_CASES } from "../engine/cases.js";
import { findChromium, launchChromium } from "./chromium.js";
import type { TestPage } from "./page.js";

declare global {
  var tintype: TestPage;
}

const chromium = findChromium();
const title =
  chromium === undefined
    ? "the engine in Chromium (not found: install chromium, or name it in CHROMIUM)"
    : "the engine in Chromium";

describe.skipIf(chromium === undefined)(title, { timeout: 300_000 }, () => {
  let server: Server;
  let browser: Browser;
  let page: Page;
  beforeAll(async () => {
    server = await serve({
      modules: {
        "/page.js": "test/browser/page.ts",
        "/worker.js": "src/runtime/browser/worker.ts",
      },
      files: { "/index.html": "test/browser/page.html" },
      folders: { golden: "test/golden", ort: "node_modules/onnxruntime-web/dist" },
      ranges: false, // a request for each tensor costs more than its test
      port: 0,
    });
    browser = await launchChromium(chromium!);
    page = await browser.newPage();
    page.on("console", (m) => process.env.DEBUG && process.stderr.write(`${m.text()}\n`));
    await page.goto(server.url);
    await page.waitForFunction(() => "tintype" in globalThis);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.[Symbol.asyncDispose]();
  });

  const below = (errors: Record<string, number | string>, limit: number): void => {
    const wrong = Object.entries(errors).filter(([, error]) => !(Number(error) < limit));
    expect(wrong).toEqual([]);
  };

  test("the page may use threads, and says what it may run on", async () => {
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    const devices = await page.evaluate(() => tintype.devices());
    expect(devices).toMatchObject([
      { name: "webgpu", available: true, software: true },
      { name: "wasm", available: true, detail: "WebAssembly, several threads" },
    ]);
  });

  test("what one program leaves on the GPU, others read, also after it was freed", async () => {
    expect(await page.evaluate(() => tintype.handedOn(4))).toEqual([9, 9]);
  });

  test.each([
    ["wasm", 2e-6],
    ["webgpu", 1e-5],
  ] as const)("every operator on %s is what the float64 evaluator says", async (device, limit) => {
    const errors = await page.evaluate((d) => tintype.operators(d), device);
    expect(Object.keys(errors)).toHaveLength(ENGINE_CASES.length);
    below(errors, limit);
  });

  test.each([
    ["wasm", "tiny-sd1", 1e-5],
    ["wasm", "micro-bf16", 1e-5],
    ["webgpu", "micro-fp16", 1e-4],
    ["webgpu", "micro-bf16", 1e-4],
  ] as const)("on %s, %s answers as in PyTorch", async (device, model, limit) => {
    const errors = await page.evaluate(([d, m]) => tintype.networks(d, m), [
      device,
      model,
    ] as const);
    expect(Object.keys(errors).length).toBeGreaterThan(5);
    below(errors, limit);
  });
});
