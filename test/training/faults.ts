import { writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { Chunks, Files, Platform, Sink } from "../../src/platform/types.js";
import { TintypeError } from "../../src/util/errors.js";

/** A platform on whose disk something happens. */
export interface FaultyPlatform extends Platform {
  /** Changes to the disk that were asked for so far. */
  readonly asked: () => number;
}

/**
 * `platform` whose process dies at the `at`-th change to the disk, counted from 0: half of what it
 * wrote is left, and no later change reaches the disk.
 */
export function dyingPlatform(platform: Platform, at: number): FaultyPlatform {
  return faulty(platform, {
    at,
    fault(kind, path) {
      if (kind === "write") writeFileSync(`${dirname(path)}/.${basename(path)}.1-2.tmp`, "half");
      throw new Error("the process is dead");
    },
    failing: () => true,
  });
}

/** `platform` whose disk is full from the `at`-th change on: nothing more can be written. */
export function fullPlatform(platform: Platform, at: number): FaultyPlatform {
  return faulty(platform, {
    at,
    fault(_, path) {
      throw new TintypeError("io", `cannot write ${path}: the disk is full.`);
    },
    failing: (kind) => kind === "write" || kind === "append",
  });
}

type Kind = "write" | "append" | "other";

interface Plan {
  readonly at: number;
  readonly fault: (kind: Kind, path: string) => never;
  readonly failing: (kind: Kind) => boolean;
}

function faulty(platform: Platform, { at, fault, failing }: Plan): FaultyPlatform {
  const { files } = platform;
  let asked = 0;
  const change = async <T>(kind: Kind, path: string, act: () => Promise<T>): Promise<T> => {
    const fails = asked >= at && failing(kind);
    asked++;
    return fails ? fault(kind, path) : await act();
  };
  const changed: Files = {
    ...files,
    makeFolder: (path) => change("other", path, () => files.makeFolder(path)),
    writeAtomically: (path, chunks: Chunks, options) =>
      change("write", path, () => files.writeAtomically(path, chunks, options)),
    rename: (from, to) => change("other", to, () => files.rename(from, to)),
    remove: (path) => change("other", path, () => files.remove(path)),
    removeFolder: (path) => change("other", path, () => files.removeFolder(path)),
    async append(path, keep) {
      const sink: Sink = await change("append", path, () => files.append(path, keep));
      return {
        async write(chunk) {
          // A disk that fills up, or a process that dies, may have taken a part.
          if (asked >= at) await sink.write(chunk.subarray(0, chunk.length >> 1));
          await change("append", path, () => sink.write(chunk));
        },
        close: () => sink.close(),
      };
    },
  };
  return { ...platform, files: changed, asked: () => asked };
}
