import { existsSync } from "node:fs";

/** A software Vulkan driver that tests may run WebGPU on. */
export interface TestAdapter {
  readonly name: string;
  /** The file that VK_DRIVER_FILES (older loaders: VK_ICD_FILENAMES) names. */
  readonly driver: string;
  /** Whether it computes in half precision. */
  readonly halfPrecision: boolean;
}

/** Where Debian's packages put them: Mesa's for speed, Chromium's for want of it. */
const KNOWN: readonly TestAdapter[] = [
  {
    name: "lavapipe",
    driver: "/usr/share/vulkan/icd.d/lvp_icd.json",
    halfPrecision: true,
  },
  {
    name: "lavapipe",
    driver: "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json",
    halfPrecision: true,
  },
  {
    name: "SwiftShader",
    driver: "/usr/lib/chromium/vk_swiftshader_icd.json",
    halfPrecision: false,
  },
];

/**
 * The driver that the environment names, else the first that is installed. Throws where there is none
 * and TINTYPE_REQUIRE names "webgpu": a check that must not skip says so.
 */
export function findAdapter(): TestAdapter | undefined {
  const named = process.env.VK_DRIVER_FILES ?? process.env.VK_ICD_FILENAMES;
  const known = KNOWN.find(({ driver }) =>
    named === undefined ? existsSync(driver) : driver === named,
  );
  if (known !== undefined) return known;
  if (named !== undefined) return { name: named, driver: named, halfPrecision: false };
  if (isRequired("webgpu"))
    throw new Error("no software Vulkan driver, and TINTYPE_REQUIRE=webgpu");
  return undefined;
}

/** Whether a missing "webgpu" or "chromium" must fail the tests instead of skipping some. */
export function isRequired(what: "webgpu" | "chromium"): boolean {
  return process.env.TINTYPE_REQUIRE?.split(",").includes(what) ?? false;
}

/** Makes `adapter` the one that Vulkan finds, in this process and in the ones it starts. */
export function useAdapter({ driver }: TestAdapter): void {
  process.env.VK_DRIVER_FILES = driver;
  process.env.VK_ICD_FILENAMES = driver;
}
