import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus } from "node:os";
import { dirname, join } from "node:path";

/** Where Linux lists Vulkan drivers. */
const DRIVER_FOLDERS = [
  "/usr/share/vulkan/icd.d",
  "/etc/vulkan/icd.d",
  "/usr/local/share/vulkan/icd.d",
];

/** Everything that decides which GPU and which driver are found, as one line: a key for verdicts. */
export function graphicsFingerprint(): string {
  const names = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES", "LD_LIBRARY_PATH"];
  const variables = names.map((name) => `${name}=${process.env[name] ?? ""}`);
  const folders = [...DRIVER_FOLDERS, engineFolder() ?? ""];
  return [...variables, ...folders.map(listing), gpuVendors()?.join(), cpus()[0]?.model].join("; ");
}

/** Names, sizes and times of the files in a folder. */
function listing(folder: string): string {
  try {
    const files = readdirSync(folder).sort();
    return files.map((f) => `${f} ${fileStamp(join(folder, f))}`).join(", ");
  } catch {
    return "";
  }
}

function fileStamp(path: string): string {
  const { size, mtimeMs } = statSync(path);
  return `${size} ${mtimeMs}`;
}

const VENDORS: Readonly<Record<string, string>> = {
  "0x10de": "NVIDIA",
  "0x1002": "AMD",
  "0x8086": "Intel",
};

/**
 * Makers of the GPUs that Linux lists on the PCI bus; undefined where nobody can tell (other systems,
 * and Windows' subsystem for Linux, whose GPU lies on no bus).
 */
export function gpuVendors(): readonly string[] | undefined {
  const root = "/sys/bus/pci/devices";
  try {
    if (existsSync("/dev/dxg")) return undefined;
    const read = (device: string, file: string): string =>
      readFileSync(join(root, device, file), "utf8").trim();
    return readdirSync(root)
      .filter((device) => read(device, "class").startsWith("0x03"))
      .map((device) => VENDORS[read(device, "vendor")])
      .filter((vendor) => vendor !== undefined);
  } catch {
    return undefined;
  }
}

/** The folder of onnxruntime-node's libraries for this machine; undefined where it is not installed. */
export function engineFolder(): string | undefined {
  try {
    const entry = createRequire(import.meta.url).resolve("onnxruntime-node");
    const folder = join(dirname(entry), "../bin/napi-v6", process.platform, process.arch);
    return existsSync(folder) ? folder : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the libraries are there that onnxruntime-node does not bring along. */
export function hasCudaProvider(): boolean {
  const folder = engineFolder();
  return folder !== undefined && existsSync(join(folder, "libonnxruntime_providers_cuda.so"));
}

/** Whether a package can be imported. */
export function isInstalled(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(name);
    return true;
  } catch {
    return false;
  }
}

const SOFTWARE_DRIVERS: Readonly<Record<string, string>> = {
  libvulkan_lvp: "llvmpipe",
  libvk_swiftshader: "SwiftShader",
};

/** Software Vulkan drivers that this process has loaded, on Linux. */
export function softwareDrivers(): readonly string[] {
  try {
    const maps = readFileSync("/proc/self/maps", "utf8");
    const loaded = Object.entries(SOFTWARE_DRIVERS).filter(([library]) => maps.includes(library));
    return loaded.map(([, name]) => name);
  } catch {
    return [];
  }
}
