import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatParameters, parseParameters } from "./parameters.js";

describe("parseParameters reads what the web UI writes", () => {
  it("a plain picture", () => {
    const text = [
      "girl with an artist's beret, determined, ((eyeshadow)), (coquettish), detailed, intricate",
      "Negative prompt: ugly, fat, (((deformed))), [blurry], (extra_limb), messy drawing",
      "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 965400086, Size: 512x512, Model hash: 45dee52b",
    ].join("\n");
    expect(parseParameters(text)).toEqual({
      prompt:
        "girl with an artist's beret, determined, ((eyeshadow)), (coquettish), detailed, intricate",
      negativePrompt: "ugly, fat, (((deformed))), [blurry], (extra_limb), messy drawing",
      settings: {
        Steps: "20",
        Sampler: "Euler a",
        "CFG scale": "7",
        Seed: "965400086",
        Size: "512x512",
        "Model hash": "45dee52b",
      },
    });
  });

  it("several lines, quoted values and a schedule", () => {
    const text = [
      "a castle: on a hill, <lora:fog:0.8>",
      "",
      "BREAK second line",
      "Negative prompt: blurry",
      "  low quality ",
      'Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 1, Size: 640x960, Denoising strength: 0.5, Lora hashes: "fog: 1a2b, mist: 3c4d", TI hashes: "x: \\"y\\"", Hires resize: 0x0, Version: v1.10.1',
    ].join("\r\n");
    expect(parseParameters(text)).toEqual({
      prompt: "a castle: on a hill, <lora:fog:0.8>\n\nBREAK second line",
      negativePrompt: "blurry\nlow quality",
      settings: {
        Steps: "28",
        Sampler: "DPM++ 2M",
        "Schedule type": "Karras",
        "CFG scale": "6.5",
        Seed: "1",
        Size: "640x960",
        "Denoising strength": "0.5",
        "Lora hashes": "fog: 1a2b, mist: 3c4d",
        "TI hashes": 'x: "y"',
        "Hires resize": "0x0",
        Version: "v1.10.1",
      },
    });
  });

  it("a last line with fewer than three settings is prompt", () => {
    const text = "a street\nstyle: noir, lens: 35mm";
    expect(parseParameters(text)).toEqual({ prompt: text, negativePrompt: "", settings: {} });
  });

  it("settings without any prompt, and nothing at all", () => {
    const { prompt, settings } = parseParameters("Steps: 1, Sampler: LCM, Seed: 0");
    expect([prompt, Object.keys(settings)]).toEqual(["", ["Steps", "Sampler", "Seed"]]);
    expect(parseParameters("")).toEqual({ prompt: "", negativePrompt: "", settings: {} });
  });

  it("a value that only looks like JSON stays as it is", () => {
    expect(parseParameters('Steps: 1, Seed: 2, Model: "a\\qb"').settings.Model).toBe('"a\\qb"');
  });
});

describe("formatParameters", () => {
  it("writes the web UI's layout", () => {
    const text = formatParameters({
      prompt: "a cat",
      negativePrompt: "a dog",
      settings: { Steps: 20, Sampler: "Euler a", Model: undefined, Note: "x: y, z" },
    });
    expect(text).toBe(
      'a cat\nNegative prompt: a dog\nSteps: 20, Sampler: Euler a, Note: "x: y, z"',
    );
  });

  it.each(["", "x", " Steps", "a:b", "a,b", "-a"])("refuses the name %j", (key) => {
    const write = () => formatParameters({ prompt: "", settings: { [key]: 1 } });
    expect(write).toThrow(/a name takes two or more letters/);
  });

  // What survives is lines without white space around them, none of which starts a negative prompt.
  const lines = fc.array(fc.string({ unit: "binary" }), { maxLength: 4 }).map((parts) =>
    parts
      .join("\n")
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => !line.startsWith("Negative prompt:"))
      .join("\n")
      .trim(),
  );
  const key = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_ /-]*[A-Za-z0-9_/-]$/);
  const settings = fc.dictionary(key, fc.string({ unit: "binary" }), { minKeys: 3, maxKeys: 9 });

  it("parseParameters undoes it", () => {
    const hostile = fc.constantFrom('"', '""', '"a"', "\\", '\\"', "a,b", " x ", "\n", "ü: 猫", "");
    const anySettings = fc.tuple(settings, hostile).map(([rest, h]) => ({ ...rest, "Odd one": h }));
    fc.assert(
      fc.property(lines, lines, anySettings, (prompt, negativePrompt, pairs) => {
        const written = { prompt, negativePrompt, settings: pairs };
        const read = parseParameters(formatParameters(written));
        expect(read).toEqual(written);
        expect(Object.keys(read.settings)).toEqual(Object.keys(pairs));
      }),
      { seed: 5, numRuns: 500 },
    );
  });

  it("any text can be parsed", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
        expect(typeof parseParameters(text).prompt).toBe("string");
      }),
      { seed: 6, numRuns: 500 },
    );
  });
});
