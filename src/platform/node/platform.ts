import { createHash } from "node:crypto";
import { freemem, homedir } from "node:os";
import { join, resolve } from "node:path";
import type { Platform } from "../types.js";
import { nodeFiles, statOf } from "./files.js";
import { lock } from "./lock.js";
import { openFile, openFolder } from "./sources.js";

/** Environment variables by name. */
export type Environment = { readonly [name: string]: string | undefined };

/** Node.js: the disk, the environment and the network of this machine. */
export function nodePlatform(environment: Environment = process.env): Platform {
  const env = (name: string): string | undefined => {
    const value = environment[name];
    return value === "" ? undefined : value;
  };
  const home = env("HOME") ?? homedir();
  const locate = (ref: string): string =>
    resolve(ref === "~" || ref.startsWith("~/") ? join(home, ref.slice(1)) : ref);
  return {
    name: "node",
    home,
    cacheDir: cacheDir(env, home, process.platform),
    // Since Node.js 20.13; it knows the limits of containers.
    availableMemory: () => process.availableMemory?.() ?? freemem(),
    env,
    // Looked up at each call, so that an application may replace it.
    fetch: (input, init) => globalThis.fetch(input, init),
    files: nodeFiles,
    resolve: locate,
    stat: (ref) => statOf(locate(ref)),
    openFile: (ref, name = ref) => openFile(locate(ref), name),
    openFolder: (ref, name = ref) => openFolder(locate(ref), name),
    hash(algorithm) {
      const hash = createHash(algorithm);
      return {
        update: (chunk) => void hash.update(chunk),
        digest: () => Promise.resolve(hash.digest("hex")),
      };
    },
    lock,
  };
}

/**
 * Where Tintype keeps what it can derive again: TINTYPE_CACHE, else a folder of that name where
 * the system keeps caches (XDG_CACHE_HOME or ~/.cache; ~/Library/Caches; %LOCALAPPDATA%).
 */
export function cacheDir(
  env: (name: string) => string | undefined,
  home: string,
  system: NodeJS.Platform,
): string {
  const own = env("TINTYPE_CACHE");
  if (own !== undefined) return resolve(own.replace(/^~(?=$|[\\/])/, () => home));
  const base =
    env("XDG_CACHE_HOME") ??
    (system === "darwin"
      ? join(home, "Library", "Caches")
      : system === "win32"
        ? (env("LOCALAPPDATA") ?? join(home, "AppData", "Local"))
        : join(home, ".cache"));
  return join(base, "tintype");
}
