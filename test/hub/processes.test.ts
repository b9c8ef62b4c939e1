import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { resolveModel } from "../../src/hub/resolve.js";
import type { Platform, Sink } from "../../src/platform/types.js";
import { TintypeError } from "../../src/util/errors.js";
import { COMMIT, noise, PLAIN, pipelineRepo, platformIn, scratch } from "./fixtures.js";
import { etagOf, type HubServer, serveHub } from "./server.js";

const ID = "tester/tiny-sd";
const UNET = "unet/diffusion_pytorch_model.safetensors";
const HUB = ".cache/huggingface/hub";
const patience = { firstWait: 1 };
const repo = pipelineRepo();
const unetEtag = etagOf(repo.files[UNET]!);

interface Child {
  readonly process: ChildProcess;
  readonly output: Promise<{ readonly code: number | null; readonly out: string }>;
}

function startChild(home: string, endpoint: string): Child {
  const script = fileURLToPath(new URL("child.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", script, home, endpoint, ID], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let out = "";
  child.stdout.on("data", (chunk) => {
    out += chunk;
  });
  const output = new Promise<{ code: number | null; out: string }>((done) =>
    child.on("close", (code) => done({ code, out })),
  );
  return { process: child, output };
}

async function expectWhole(home: string): Promise<void> {
  for (const path of PLAIN) {
    const bytes = await readFile(
      join(home, HUB, "models--tester--tiny-sd/snapshots", COMMIT, path),
    );
    expect(bytes.equals(repo.files[path]!), path).toBe(true);
  }
}

async function failure(promise: Promise<unknown>): Promise<TintypeError> {
  const error = await promise.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(TintypeError);
  return error as TintypeError;
}

function slowUnet(hub: HubServer, ms: number): void {
  hub.fault = ({ path }) => (path.includes(unetEtag) ? { kind: "slow", ms } : undefined);
}

describe("several processes", () => {
  test("two at once: one downloads, the other waits, both have everything", async () => {
    await using hub = await serveHub([repo]);
    await using home = await scratch();
    slowUnet(hub, 3);
    const children = [startChild(home.path, hub.endpoint), startChild(home.path, hub.endpoint)];
    const results = await Promise.all(children.map(({ output }) => output));
    for (const { code, out } of results) {
      expect(code).toBe(0);
      expect(JSON.parse(out).files).toEqual([...PLAIN].sort());
    }
    expect(hub.seen.filter(({ path }) => path.includes(unetEtag))).toHaveLength(1);
    await expectWhole(home.path);
    const locks = await readdir(join(home.path, HUB, ".locks/models--tester--tiny-sd"));
    expect(locks).toEqual([]);
  });

  test("after kill -9 in the middle, the next run continues where it stopped", async () => {
    await using hub = await serveHub([repo]);
    await using home = await scratch();
    slowUnet(hub, 5);
    const blobs = join(home.path, HUB, "models--tester--tiny-sd/blobs");
    const partial = join(blobs, `${unetEtag}.tintype.incomplete`);
    const child = startChild(home.path, hub.endpoint);
    const size = (): Promise<number> =>
      stat(partial).then(
        (info) => info.size,
        () => 0,
      );
    while ((await size()) < 50_000) await new Promise((done) => setTimeout(done, 10));
    child.process.kill("SIGKILL");
    await child.output;
    expect(await readdir(blobs)).not.toContain(unetEtag);
    const have = await size();
    hub.fault = () => undefined;
    hub.seen.length = 0;
    await resolveModel(ID, { platform: platformIn(home.path, hub.endpoint), patience });
    const ranges = hub.seen.filter(({ path }) => path.includes(unetEtag)).map((s) => s.range);
    expect(ranges).toEqual([`bytes=${have}-`]);
    await expectWhole(home.path);
  });

  test("a lock of a process that is gone is taken over", async () => {
    await using hub = await serveHub([repo]);
    await using home = await scratch();
    const locks = join(home.path, HUB, ".locks/models--tester--tiny-sd");
    await mkdir(locks, { recursive: true });
    const gone = execFileSync(process.execPath, ["-p", "process.pid + ' ' + os.hostname()"]);
    const [pid, host] = gone.toString().trim().split(" ");
    const owner = JSON.stringify({ pid: Number(pid), host, nonce: "x" });
    await writeFile(join(locks, `${unetEtag}.tintype.lock`), owner);
    const start = performance.now();
    await resolveModel(ID, { platform: platformIn(home.path, hub.endpoint), patience });
    expect(performance.now() - start).toBeLessThan(5000);
    await expectWhole(home.path);
  });
});

describe("offline", () => {
  const offline = { HF_HUB_OFFLINE: "1" };

  test("uses a whole snapshot and asks nothing", async () => {
    await using hub = await serveHub([repo]);
    await using home = await scratch();
    await resolveModel(ID, { platform: platformIn(home.path, hub.endpoint), patience });
    hub.seen.length = 0;
    for (const environment of [offline, { TRANSFORMERS_OFFLINE: "true" }]) {
      const platform = platformIn(home.path, hub.endpoint, environment);
      const model = await resolveModel(ID, { platform });
      expect(model).toMatchObject({ kind: "folder", commit: COMMIT });
    }
    expect(hub.seen).toEqual([]);
  });

  test("says so when there is none, or only a part", async () => {
    await using hub = await serveHub([repo]);
    await using home = await scratch();
    const platform = platformIn(home.path, hub.endpoint, offline);
    const error = await failure(resolveModel(ID, { platform }));
    expect(error.code).toBe("not-found");
    expect(error.message).toMatch(/is not in the cache .*HF_HUB_OFFLINE forbids.*Unset/);
    await resolveModel(ID, { platform: platformIn(home.path, hub.endpoint), patience });
    const snapshot = join(home.path, HUB, "models--tester--tiny-sd/snapshots", COMMIT);
    await rm(join(snapshot, UNET));
    const part = await failure(resolveModel(ID, { platform }));
    expect(part.message).toContain("is not whole in the cache");
  });

  test("a hub that cannot be reached gives way to the cache, with a notice", async () => {
    await using home = await scratch();
    const hub = await serveHub([repo]);
    const platform = platformIn(home.path, hub.endpoint);
    await resolveModel(ID, { platform, patience });
    await hub[Symbol.asyncDispose]();
    const notices: string[] = [];
    await resolveModel(ID, { platform, patience, notice: (message) => notices.push(message) });
    expect(notices).toHaveLength(1);
    expect(notices[0]).toMatch(/cannot reach 127.0.0.1.*Using the copy in the cache/);
    const other = await failure(resolveModel("tester/other", { platform, patience }));
    expect(other.code).toBe("network");
    expect(other.message).toMatch(/ECONNREFUSED.*HF_HUB_OFFLINE=1/);
  });
});

describe("a full disk", () => {
  const full = new TintypeError("io", "cannot write x: the disk of /y is full.");

  /** A platform whose disk is full after `room` bytes of any one file. */
  function withRoom(platform: Platform, room: number): Platform {
    const append = async (path: string, keep: number): Promise<Sink> => {
      const sink = await platform.files.append(path, keep);
      let left = room - keep;
      return {
        async write(chunk) {
          await sink.write(chunk.subarray(0, Math.max(0, left)));
          left -= chunk.byteLength;
          if (left < 0) throw full;
        },
        close: () => sink.close(),
      };
    };
    return { ...platform, files: { ...platform.files, append } };
  }

  test("stops with what came kept, and the next run continues", async () => {
    await using hub = await serveHub([repo]);
    await using home = await scratch();
    const platform = platformIn(home.path, hub.endpoint);
    const error = await failure(
      resolveModel(ID, { platform: withRoom(platform, 70_000), patience }),
    );
    expect(error.code).toBe("io");
    expect(error.message).toMatch(/is full\. What has been downloaded is kept/);
    hub.seen.length = 0;
    await resolveModel(ID, { platform, patience });
    const ranges = hub.seen.filter(({ path }) => path.includes(unetEtag)).map((s) => s.range);
    expect(ranges).toEqual(["bytes=70000-"]);
    await expectWhole(home.path);
  });

  test("is foreseen when the system tells how much is free", async () => {
    await using hub = await serveHub([repo]);
    await using home = await scratch();
    const platform = platformIn(home.path, hub.endpoint);
    const files = { ...platform.files, freeSpace: () => Promise.resolve(100_000) };
    const error = await failure(resolveModel(ID, { platform: { ...platform, files }, patience }));
    expect(error.code).toBe("io");
    expect(error.message).toMatch(/it needs 3\d\d\.\d kB more, but only 100\.0 kB are free in /);
    expect(hub.seen.some(({ host }) => host === "cdn")).toBe(false);
  });

  test("on a real disk of 256 kB", async ({ skip, onTestFinished }) => {
    const path = mkdtempSync(join(tmpdir(), "tintype-"));
    onTestFinished(() => rmSync(path, { recursive: true, force: true }));
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", path], { stdio: "pipe" });
    } catch {
      skip("mounting a small disk needs root");
    }
    onTestFinished(() => void execFileSync("umount", [path]));
    await using hub = await serveHub([{ ...repo, files: { "a.safetensors": noise(400_000) } }]);
    const platform = platformIn(path, hub.endpoint);
    expect((await failure(resolveModel(ID, { platform }))).message).toMatch(
      /it needs 400.0 kB more/,
    );
    // As when another program fills the disk meanwhile.
    const files = { ...platform.files, freeSpace: () => Promise.resolve(undefined) };
    const error = await failure(resolveModel(ID, { platform: { ...platform, files }, patience }));
    expect(error.code).toBe("io");
    expect(error.message).toMatch(/the disk of .* is full \(.* free\).*is kept: run/);
    const [partial] = await readdir(join(path, HUB, "models--tester--tiny-sd/blobs"));
    expect(partial).toMatch(/^[0-9a-f]{64}\.tintype\.incomplete$/);
  });
});
