import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { describe, expect, test, vi } from "vitest";
import { train } from "../../src/training/train.js";
import { FIT, fitOptions } from "./fit.js";
import { metricsOf } from "./outcome.js";
import { refusal, runFolders, SMALL, trained } from "./runs.js";

const freshRun = runFolders("tintype-locks-");

describe("the folder of a run", () => {
  test("is trained in by one at a time", async () => {
    const run = freshRun();
    const first = train(FIT, SMALL, fitOptions(run));
    await first.next();
    const message = `${run} is being trained by another process. Wait until it ends, or name another folder.`;
    expect((await refusal(trained(run, SMALL, { resume: true }))).message).toBe(message);
    await first.return();
    expect(await trained(run, SMALL, { resume: true })).toHaveLength(8);
  });

  test.skipIf(process.platform !== "linux")(
    "of a process that was killed is free, even while its parent has not asked after it",
    async () => {
      const run = freshRun();
      await trained(run, SMALL);
      const parent = spawn("bash", ["-c", "sleep 60 & echo $!; exec sleep 60"]);
      const [line] = (await once(parent.stdout, "data")) as [Buffer];
      const pid = Number(line.toString());
      writeFileSync(`${run}/.lock`, JSON.stringify({ pid, host: hostname(), nonce: "" }));
      // `exec` takes the shell's place, and never asks after the shell's child.
      await vi.waitUntil(() => readFileSync(`/proc/${parent.pid}/comm`, "utf8") === "sleep\n");
      process.kill(pid, "SIGKILL");
      await vi.waitUntil(() => / Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8")));
      expect(await trained(run, SMALL, { resume: true })).toEqual([]);
      parent.kill();
    },
  );

  test("that two new runs want goes to one", async () => {
    const run = freshRun();
    const both = await Promise.allSettled([trained(run, SMALL), trained(run, SMALL)]);
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(metricsOf(run)).toHaveLength(8);
  });
});
