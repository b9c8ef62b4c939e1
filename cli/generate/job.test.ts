import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { encodePng } from "../../src/formats/index.js";
import { maskToTensor } from "../../src/image/inpaint.js";
import { picture, toGrayscale } from "../../src/image/picture.js";
import { nodePlatform } from "../../src/node.js";
import { readInputs } from "./job.js";
import type { GenerateOptions } from "./options.js";

test("a mask in colour is resized before it turns gray", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tintype-job-"));
  try {
    const file = join(folder, "mask.png");
    // Lumas 127 and 127; halfway every channel rounds up, to luma 128.
    const pixels = picture(2, 1, Uint8Array.of(127, 127, 129, 128, 126, 130));
    writeFileSync(file, await encodePng(pixels));
    const options = { initImage: file, mask: file } as GenerateOptions;
    const { mask } = await readInputs(options, nodePlatform());
    expect([...maskToTensor(mask!, 1, 1).data]).toEqual([1]);
    expect([...maskToTensor(toGrayscale(pixels), 1, 1).data]).toEqual([0]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
