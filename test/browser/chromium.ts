import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";
import { isRequired } from "../engine/adapters.js";

/** Where Debian and others put Chromium; CHROMIUM names another. */
const PLACES = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-headless-shell",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];

/**
 * The path of an installed Chromium; undefined where there is none. Throws instead where
 * TINTYPE_REQUIRE names "chromium".
 */
export function findChromium(): string | undefined {
  const found = process.env.CHROMIUM ?? PLACES.find((path) => existsSync(path));
  if (found === undefined && isRequired("chromium")) {
    throw new Error("no Chromium, and TINTYPE_REQUIRE=chromium");
  }
  return found;
}

/** A headless Chromium that stays off the network and runs WebGPU in software. */
export function launchChromium(executablePath: string): Promise<Browser> {
  return chromium.launch({
    executablePath,
    headless: true,
    chromiumSandbox: false,
    args: [
      "--enable-unsafe-webgpu",
      "--enable-features=Vulkan",
      "--use-webgpu-adapter=swiftshader",
      "--ignore-gpu-blocklist",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}
