import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Picture } from "../../src/image/picture.js";
import { finish, loadModel, textToImage } from "../../src/node.js";
import { examplePage, type Server, serve } from "../../web/serve.js";
import { findChromium, launchChromium } from "./chromium.js";

const chromium = findChromium();
const title =
  chromium === undefined
    ? "the example page (Chromium not found: install it, or name it in CHROMIUM)"
    : "the example page";

const PROMPT = "a red house beside a lake at sunset";

/** A GPU in software, on a busy machine, compiles its shaders for minutes. */
const PATIENCE = 280_000;

/** What the command line would make of the same words and numbers, on the CPU. */
async function pictureOnCpu(
  model: string | undefined,
  steps: number,
  side?: number,
): Promise<Picture> {
  await using opened = await loadModel(model, { device: "cpu", cacheLimit: 0 });
  const request = { prompt: PROMPT, steps, seed: 3, width: side, height: side };
  const { pictures } = await finish(textToImage(opened, request));
  return pictures[0]!;
}

describe.skipIf(chromium === undefined)(title, { timeout: PATIENCE + 20_000 }, () => {
  let server: Server;
  let browser: Browser;
  let page: Page;
  const complaints: string[] = [];
  beforeAll(async () => {
    server = await serve(examplePage(0));
    browser = await launchChromium(chromium!);
    page = await browser.newPage({ viewport: { width: 1100, height: 760 } });
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("response", (r) => r.status() >= 400 && complaints.push(`${r.status()} ${r.url()}`));
    await page.goto(server.url);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.[Symbol.asyncDispose]();
  });

  /** Fills in the form, waits for the end, and reads the line below the picture. */
  async function generate(device: string, steps: number, side?: number): Promise<string> {
    await page.fill("textarea[name=prompt]", PROMPT);
    await page.fill("input[name=seed]", "3");
    await page.fill("input[name=steps]", `${steps}`);
    await page.fill("input[name=width]", `${side ?? ""}`);
    await page.fill("input[name=height]", `${side ?? ""}`);
    await page.selectOption("select[name=device]", device);
    await page.click("#go");
    const isDone = (): boolean => !document.querySelector<HTMLButtonElement>("#go")!.disabled;
    // By default the page would be drawn anew for each look at it.
    await page.waitForFunction(isDone, undefined, { timeout: PATIENCE, polling: 100 });
    return await page.inputValue("#status").catch(() => page.innerText("#status"));
  }

  /** The largest difference of the canvas from a picture, of 255. */
  async function difference({ width, height, data }: Picture): Promise<number> {
    const shown = await page.evaluate(() => {
      const canvas = document.querySelector("canvas")!;
      const { width, height } = canvas;
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, width, height);
      return { width, height, data: [...data] };
    });
    expect([shown.width, shown.height]).toEqual([width, height]);
    const rgb = shown.data.filter((_, i) => i % 4 !== 3);
    return rgb.reduce((worst, v, i) => Math.max(worst, Math.abs(v - data[i]!)), 0);
  }

  test.each([
    ["wasm", 4, undefined],
    ["webgpu", 2, 64], // in software: a quarter of the work, through the same operators
  ])("makes the picture of the command line on %s", async (device, steps, side) => {
    const said = await generate(device, steps, side);
    expect(said).toMatch(new RegExp(`^Seed 3, [\\d.]+ s on ${device}`));
    expect(await difference(await pictureOnCpu(undefined, steps, side))).toBeLessThanOrEqual(2);
    expect(await page.getAttribute("#save", "href")).toMatch(/^blob:/);
    expect(complaints).toEqual([]);
  });

  test.each(["micro", "tiny-sd1"])(
    "opens the diffusers folder that the user picks now: %s",
    async (name) => {
      const folder = `test/golden/models/${name}`;
      await page.setInputFiles("#folder", folder);
      await page.evaluate(() => {
        document.querySelector<HTMLSelectElement>("select[name=model]")!.value = "folder";
      });
      expect(await generate("wasm", 3)).toMatch(/^Seed 3/);
      expect(await difference(await pictureOnCpu(folder, 3))).toBeLessThanOrEqual(2);
    },
  );

  test("says what is wrong in words, and can go on", async () => {
    const said = await generate("wasm", 3, 80_000);
    expect(said).toContain("width: expected at most 16384 pixels, got 80000");
    expect(await generate("wasm", 3)).toMatch(/^Seed 3/);
  });
});
