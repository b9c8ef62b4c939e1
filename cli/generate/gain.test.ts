import { expect, test } from "vitest";
import { SD1_UNET, type UNetConfig } from "../../src/models/unet/config.js";
import { unetGraph } from "../../src/pipelines/graphs.js";
import type { DiffusionModel } from "../../src/pipelines/index.js";
import { gainOfInt8 } from "./gain.js";

const modelOf = (unet: UNetConfig): Pick<DiffusionModel, "graphs"> => ({
  graphs: { unet: unetGraph(unet) } as DiffusionModel["graphs"],
});

test("what int8 would save is said of large models that compute in fp32 on a CPU by default", () => {
  const large = modelOf(SD1_UNET);
  const cpu = { device: "cpu", dtype: "fp32" };
  const gain = gainOfInt8(large, cpu, { dtype: "auto" });
  expect(gain).toMatch(/^--dtype int8 would take about half the time and a third of the memory; /);
  expect(gain).not.toContain("\n");

  expect(gainOfInt8(large, cpu, { dtype: "auto", json: true })).toBeUndefined();
  expect(gainOfInt8(large, cpu, { dtype: "fp32" })).toBeUndefined();
  expect(gainOfInt8(large, { device: "webgpu", dtype: "fp32" }, { dtype: "auto" })).toBeUndefined();
  const narrow = { ...SD1_UNET, blockOutChannels: SD1_UNET.blockOutChannels.map((c) => c / 5) };
  expect(gainOfInt8(modelOf(narrow), cpu, { dtype: "auto" })).toBeUndefined();
});
