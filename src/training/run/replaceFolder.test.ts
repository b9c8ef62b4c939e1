import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { dyingPlatform } from "../../../test/training/faults.js";
import { FIT, fitOptions } from "../../../test/training/fit.js";
import { nodePlatform } from "../../platform/node/platform.js";
import type { Files } from "../../platform/types.js";
import { exportRun, train } from "../train.js";
import { removeWholeFolder, replaceFolder, settleFolder } from "./replaceFolder.js";

const space = mkdtempSync(join(tmpdir(), "tintype-replace-"));
afterAll(() => rmSync(space, { recursive: true, force: true }));

const platform = nodePlatform();
const PARTS = ["config.json", "weights.bin"];
let count = 0;
let parent = "";
beforeEach(() => {
  parent = join(space, `${count++}`);
});

/** Makes the folder `m` of parts that all say `text`. */
const replace = (files: Files, text: string): Promise<string> =>
  replaceFolder(files, parent, "m", async (folder) => {
    for (const part of PARTS) {
      await files.writeAtomically(`${folder}/${part}`, [new TextEncoder().encode(text)]);
    }
  });

/** What the parts of a folder say. */
const told = (folder: string): Promise<string[]> =>
  Promise.all(PARTS.map((part) => readFile(`${folder}/${part}`, "utf8")));

/** Lets `act` die at its first, second... change to the disk; `look` sees what is left each time. */
async function atEachDeath(
  act: (files: Files) => Promise<unknown>,
  look: () => Promise<void>,
): Promise<void> {
  for (let at = 0; ; at++) {
    rmSync(parent, { recursive: true, force: true });
    await replace(platform.files, "before");
    const { files } = dyingPlatform(platform, at);
    const died = await act(files).then(
      () => false,
      (error: Error) => error.message === "the process is dead",
    );
    if (!died) return expect(at).toBeGreaterThan(2);
    await look();
  }
}

describe("a folder whose replacement dies at any change to the disk", () => {
  test("is whole once that is settled: the one from before, or the new one", async () => {
    let away = 0;
    const seen: string[][] = [];
    await atEachDeath(
      (files) => replace(files, "after"),
      async () => {
        const wasAway = !existsSync(`${parent}/m`);
        if (wasAway) expect(readdirSync(parent)).toEqual([".m.new", ".m.old"]);
        await settleFolder(platform.files, parent, "m");
        expect(readdirSync(parent)).toEqual(["m"]);
        seen.push(await told(`${parent}/m`));
        if (!wasAway) return;
        away++;
        expect(seen.at(-1)).toEqual(["before", "before"]);
      },
    );
    expect(away).toBe(1);
    expect(new Set(seen.map(String))).toEqual(new Set(["before,before", "after,after"]));
  });

  test("is not lost when settling dies too", async () => {
    await atEachDeath(
      (files) => replace(files, "after"),
      async () => {
        for (let at = 0; at < 3; at++) {
          const { files } = dyingPlatform(platform, at);
          await settleFolder(files, parent, "m").catch(() => {});
        }
        await settleFolder(platform.files, parent, "m");
        const [first, second] = await told(`${parent}/m`);
        expect(["before", "after"]).toContain(first);
        expect(second).toBe(first);
      },
    );
  });

  test("survives a disk that is full at the next replacement", async () => {
    await replace(platform.files, "before");
    renameSync(`${parent}/m`, `${parent}/.m.old`);
    const full: Files = {
      ...platform.files,
      writeAtomically: () => Promise.reject(new Error("the disk is full")),
    };
    await expect(replace(full, "after")).rejects.toThrow("full");
    expect(await told(`${parent}/m`)).toEqual(["before", "before"]);
    expect(readdirSync(parent)).toEqual(["m"]);
  });
});

test("what was left beside a folder is no hindrance to the next replacement", async () => {
  await replace(platform.files, "before");
  for (const left of [".m.old", ".m.new"]) {
    mkdirSync(`${parent}/${left}`);
    writeFileSync(`${parent}/${left}/stale.bin`, "");
  }
  await replace(platform.files, "after");
  expect(await told(`${parent}/m`)).toEqual(["after", "after"]);
  expect(readdirSync(`${parent}/m`)).toEqual(PARTS);
  expect(readdirSync(parent)).toEqual(["m"]);
});

test("a folder stays where the new one cannot take its place", async () => {
  await replace(platform.files, "before");
  const refusing: Files = {
    ...platform.files,
    rename: (from, to) =>
      from.endsWith(".new")
        ? Promise.reject(new Error("refused"))
        : platform.files.rename(from, to),
  };
  await expect(replace(refusing, "after")).rejects.toThrow("refused");
  expect(await told(`${parent}/m`)).toEqual(["before", "before"]);
  expect(readdirSync(parent)).toEqual(["m"]);
});

test("a folder that was being removed does not come back by halves", async () => {
  let gone = 0;
  await atEachDeath(
    (files) => removeWholeFolder(files, parent, "m"),
    async () => {
      const wasThere = existsSync(`${parent}/m`);
      for (const left of readdirSync(parent).filter((name) => name !== "m")) {
        rmSync(`${parent}/${left}/${PARTS[0]}`); // as if it had died in the middle of removing it
        gone++;
      }
      await settleFolder(platform.files, parent, "m");
      expect(readdirSync(parent)).toEqual(wasThere ? ["m"] : []);
    },
  );
  expect(gone).toBe(1);
});

describe("a run whose export was killed between its renames", () => {
  const SETTINGS = { steps: 6, size: 4, checkpoints: { every: 2 }, samples: { every: 0 } };

  /** A run after its fourth step, whose model has been moved aside; returns the model. */
  async function killed(): Promise<Buffer> {
    for await (const { step } of train(FIT, SETTINGS, fitOptions(parent))) if (step === 5) break;
    await exportRun(FIT, fitOptions(parent));
    const model = await readFile(`${parent}/model/weights.bin`);
    renameSync(`${parent}/model`, `${parent}/.model.old`);
    mkdirSync(`${parent}/.model.new`);
    return model;
  }

  const hidden = (): string[] => readdirSync(parent).filter((name) => name.startsWith(".model"));

  test("has its model back as soon as it goes on", async () => {
    const model = await killed();
    const steps = train(FIT, SETTINGS, fitOptions(parent, { resume: true }));
    expect((await steps.next()).done).toBe(false);
    expect(await readFile(`${parent}/model/weights.bin`)).toEqual(model);
    expect(hidden()).toEqual([]);
    for await (const _ of steps);
    expect(await readFile(`${parent}/model/weights.bin`)).not.toEqual(model);
    expect(hidden()).toEqual([]);
  });

  test("has its model back when the next export fails, too", async () => {
    const model = await killed();
    const failing = {
      ...FIT,
      open: async (...given: Parameters<typeof FIT.open>) => ({
        ...(await FIT.open(...given)),
        export: () => Promise.reject(new Error("no room")),
      }),
    };
    await expect(exportRun(failing, fitOptions(parent))).rejects.toThrow("no room");
    expect(await readFile(`${parent}/model/weights.bin`)).toEqual(model);
    expect(hidden()).toEqual([]);
  });
});
