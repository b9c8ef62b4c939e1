import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { DownloadProgress } from "../../src/hub/cache.js";
import { type ResolveOptions, resolveModel } from "../../src/hub/resolve.js";
import type { Platform } from "../../src/platform/types.js";
import { TintypeError } from "../../src/util/errors.js";
import { COMMIT, noise, PLAIN, pipelineRepo, platformIn, scratch } from "./fixtures.js";
import { etagOf, type Fault, type HubServer, type Seen, serveHub } from "./server.js";

const ID = "tester/tiny-sd";
const UNET = "unet/diffusion_pytorch_model.safetensors";
const repo = pipelineRepo();
const patience = { firstWait: 1, silence: 2000 };

interface Bench extends AsyncDisposable {
  readonly hub: HubServer;
  readonly home: string;
  readonly folder: string;
  platform: Platform;
  get(ref?: string, options?: Partial<ResolveOptions>): ReturnType<typeof resolveModel>;
}

async function bench(served = [repo], environment = {}): Promise<Bench> {
  const hub = await serveHub(served);
  const home = await scratch();
  const self: Bench = {
    hub,
    home: home.path,
    folder: join(home.path, ".cache/huggingface/hub/models--tester--tiny-sd"),
    platform: platformIn(home.path, hub.endpoint, environment),
    get: (ref = ID, options = {}) =>
      resolveModel(ref, { platform: self.platform, patience, ...options }),
    async [Symbol.asyncDispose]() {
      await hub[Symbol.asyncDispose]();
      await home[Symbol.asyncDispose]();
    },
  };
  return self;
}

/** The error of a promise that must fail with one of ours. */
async function failure(promise: Promise<unknown>): Promise<TintypeError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(TintypeError);
  return error as TintypeError;
}

const isUnet = ({ host, path }: Seen): boolean =>
  host === "cdn" && path.includes(etagOf(repo.files[UNET]!));

/** The offsets from which the unet's weights were asked for. */
function startsOf(hub: HubServer): number[] {
  return hub.seen.filter(isUnet).map(({ range }) => Number(/\d+/.exec(range ?? "0")![0]));
}

/** Faults for the requests of the unet's weights, one after the other. */
function unetFaults(hub: HubServer, faults: readonly (Fault | undefined)[]): void {
  const left = [...faults];
  hub.fault = (seen) => (isUnet(seen) ? left.shift() : undefined);
}

async function expectWhole({ folder }: Bench, files: readonly string[] = PLAIN): Promise<void> {
  for (const path of files) {
    const bytes = await readFile(join(folder, "snapshots", COMMIT, path));
    expect(bytes.equals(repo.files[path]!), path).toBe(true);
  }
  const blobs = await readdir(join(folder, "blobs"));
  expect(blobs.sort()).toEqual([...new Set(files.map((path) => etagOf(repo.files[path]!)))].sort());
}

describe("a download", () => {
  test("fetches what is needed and no more, into the standard layout", async () => {
    await using b = await bench();
    const model = await b.get();
    if (model.kind !== "folder") throw new Error("expected a folder");
    expect(await model.folder.list()).toEqual([...PLAIN].sort());
    expect(model.commit).toBe(COMMIT);
    await expectWhole(b);
    expect(await readFile(join(b.folder, "refs/main"), "utf8")).toBe(COMMIT);
    const link = await readlink(join(b.folder, "snapshots", COMMIT, UNET));
    expect(link).toBe(`../../../blobs/${etagOf(repo.files[UNET]!)}`);
    const source = await model.folder.open(UNET);
    expect(source.path).toBe(join(b.folder, "snapshots", COMMIT, UNET));
    expect(await source.read(5, 3)).toEqual(repo.files[UNET]!.slice(5, 8));
  });

  test("reports bytes and files up to their totals", async () => {
    await using b = await bench();
    const seen: DownloadProgress[] = [];
    await b.get(ID, { progress: (p) => seen.push(p) });
    const total = PLAIN.slice(1).reduce((sum, path) => sum + repo.files[path]!.byteLength, 0);
    expect(seen.at(-1)).toMatchObject({ done: total, total, files: 9, filesDone: 9 });
    expect(seen.every((p, i) => i === 0 || p.done >= seen[i - 1]!.done)).toBe(true);
  });

  test("asks one question when nothing changed, and none for a commit", async () => {
    await using b = await bench();
    await b.get();
    b.hub.seen.length = 0;
    await b.get();
    expect(b.hub.seen.map(({ path }) => path)).toEqual([`/api/models/${ID}/revision/main`]);
    b.hub.seen.length = 0;
    await b.get(`${ID}@${COMMIT}`);
    expect(b.hub.seen).toEqual([]);
  });

  test("keeps old blobs when the revision moves on", async () => {
    const moving = pipelineRepo();
    await using b = await bench([moving]);
    await b.get();
    moving.commit = "f".repeat(40);
    b.hub.seen.length = 0;
    await b.get();
    expect(await readFile(join(b.folder, "refs/main"), "utf8")).toBe(moving.commit);
    expect(b.hub.seen.some(({ host }) => host === "cdn")).toBe(false);
    expect((await readdir(join(b.folder, "snapshots"))).sort()).toEqual([COMMIT, moving.commit]);
  });

  test("takes the fp16 variant where there is one", async () => {
    await using b = await bench();
    const model = await b.get(ID, { variant: "fp16" });
    if (model.kind !== "folder") throw new Error("expected a folder");
    const weights = (await model.folder.list()).filter((path) => path.endsWith(".safetensors"));
    expect(weights).toEqual([
      "text_encoder/model.fp16.safetensors",
      "unet/diffusion_pytorch_model.fp16.safetensors",
      "vae/diffusion_pytorch_model.safetensors",
    ]);
  });

  test("takes one file with its config, or one folder", async () => {
    await using b = await bench();
    const file = await b.get(`${ID}:v1-5-pruned.safetensors`);
    expect(file).toMatchObject({ kind: "file", source: { size: 9000 }, yaml: undefined });
    const vae = await b.get(`${ID}:vae`);
    if (vae.kind !== "folder") throw new Error("expected a folder");
    expect(await vae.folder.list()).toEqual(["config.json", "diffusion_pytorch_model.safetensors"]);
    const missing = await failure(b.get(`${ID}:v1-5-prunned.safetensors`));
    expect(missing.message).toContain('Did you mean "v1-5-pruned.safetensors"?');
  });

  test("takes only settings when no weights are asked for", async () => {
    await using b = await bench();
    const model = await b.get(ID, { weights: false });
    if (model.kind !== "folder") throw new Error("expected a folder");
    expect((await model.folder.list()).some((path) => path.endsWith(".safetensors"))).toBe(false);
    expect(b.hub.seen.some(({ host }) => host === "cdn")).toBe(false);
  });
});

describe("a bad line", () => {
  test("cut again and again at any byte, a download continues and ends whole", async () => {
    await using b = await bench();
    const cuts = [...noise(12, 77)].map(
      (byte) => ({ kind: "cut", after: 1 + byte * 113 }) as const,
    );
    unetFaults(b.hub, cuts);
    await b.get();
    await expectWhole(b);
    // What comes in the last moment before a cut may be lost, so a start may repeat.
    const starts = startsOf(b.hub);
    expect(starts).toHaveLength(13);
    expect(starts).toEqual([...starts].sort((x, y) => x - y));
    expect(new Set(starts).size).toBeGreaterThan(6);
  });

  test("standing still, it gives up, keeps what came, and a later run continues", async () => {
    await using b = await bench();
    unetFaults(b.hub, [{ kind: "cut", after: 1234 }, ...Array(6).fill({ kind: "cut", after: 0 })]);
    const error = await failure(b.get());
    expect(error.code).toBe("network");
    unetFaults(b.hub, []);
    b.hub.seen.length = 0;
    const partial = `${etagOf(repo.files[UNET]!)}.tintype.incomplete`;
    const kept = (await stat(join(b.folder, "blobs", partial))).size;
    await b.get();
    expect(startsOf(b.hub)).toEqual([kept]);
    await expectWhole(b);
  });

  test("starts over when the server cannot continue a file", async () => {
    await using b = await bench();
    unetFaults(b.hub, [{ kind: "cut", after: 5000 }, { kind: "no-range" }]);
    await b.get();
    await expectWhole(b);
  });

  test("a server that is silent is asked again", async () => {
    await using b = await bench();
    unetFaults(b.hub, [{ kind: "silent" }]);
    await b.get(ID, { patience: { ...patience, silence: 100 } });
    await expectWhole(b);
  });

  test("429 and 503 are waited for, as long as Retry-After says", async () => {
    await using b = await bench();
    unetFaults(b.hub, [
      { kind: "status", status: 503, retryAfter: "1" },
      { kind: "status", status: 429 },
    ]);
    const start = performance.now();
    await b.get();
    expect(performance.now() - start).toBeGreaterThan(990);
    await expectWhole(b);
  });

  test("a hub that stays overloaded is named", async () => {
    await using b = await bench();
    b.hub.fault = () => ({ kind: "status", status: 503 });
    const error = await failure(b.get(ID, { patience: { firstWait: 1, tries: 3 } }));
    expect(error.code).toBe("network");
    expect(error.message).toMatch(/tester\/tiny-sd: the hub answers 503.*Try again later/);
    expect(b.hub.seen).toHaveLength(3);
  });

  test("an abort stops it soon, and the next run continues", async () => {
    await using b = await bench();
    unetFaults(b.hub, [{ kind: "slow", ms: 10 }]);
    const stop = new AbortController();
    const progress = (p: DownloadProgress): void => {
      if (p.file === UNET && p.fileDone > 20_000) stop.abort();
    };
    const start = performance.now();
    expect((await failure(b.get(ID, { signal: stop.signal, progress }))).code).toBe("aborted");
    expect(performance.now() - start).toBeLessThan(2000);
    b.hub.seen.length = 0;
    await b.get();
    const range = b.hub.seen.find(isUnet)?.range;
    expect(Number(/\d+/.exec(range ?? "")?.[0])).toBeGreaterThan(20_000);
    await expectWhole(b);
  });
});

describe("wrong bytes", () => {
  test("a wrong checksum once is fetched again", async () => {
    await using b = await bench();
    unetFaults(b.hub, [{ kind: "corrupt" }]);
    await b.get();
    await expectWhole(b);
  });

  test("a wrong checksum twice is an error, and nothing of it stays", async () => {
    await using b = await bench();
    unetFaults(b.hub, Array(9).fill({ kind: "corrupt" }));
    const error = await failure(b.get());
    const etag = etagOf(repo.files[UNET]!);
    expect(error.code).toBe("network");
    expect(error.message).toContain(
      `${UNET} came with a wrong checksum twice: expected sha256 ${etag}`,
    );
    expect((await readdir(join(b.folder, "blobs"))).filter((f) => f.startsWith(etag))).toEqual([]);
    expect(await readdir(join(b.folder, "snapshots", COMMIT, "unet"))).toEqual(["config.json"]);
  });

  test("small files are checked too", async () => {
    await using b = await bench();
    b.hub.fault = ({ path }) =>
      path.endsWith("vae/config.json") ? { kind: "corrupt" } : undefined;
    expect((await failure(b.get())).message).toContain("expected git-sha1");
  });

  test("a partial file that a crash spoilt is thrown away", async () => {
    await using b = await bench();
    unetFaults(b.hub, [{ kind: "cut", after: 4000 }, ...Array(6).fill({ kind: "cut", after: 0 })]);
    await failure(b.get());
    unetFaults(b.hub, []);
    const partial = join(b.folder, "blobs", `${etagOf(repo.files[UNET]!)}.tintype.incomplete`);
    const sink = await b.platform.files.append(partial, 100);
    await sink.write(new Uint8Array(5000));
    await sink.close();
    await b.get();
    await expectWhole(b);
  });

  test.each([
    ["short", /should have 300000 bytes left to send, but the server announces 299991/],
    ["long", /sends more than the 300000 bytes/],
  ] as const)("a file that is too %s is an error", async (kind, message) => {
    await using b = await bench();
    unetFaults(b.hub, Array(9).fill({ kind }));
    const error = await failure(b.get());
    expect(error.code).toBe("network");
    expect(error.message).toMatch(message);
    await expect(readFile(join(b.folder, "snapshots", COMMIT, UNET))).rejects.toThrow("ENOENT");
  });

  test("a repository cannot write outside its folder", async () => {
    const evil = { ...pipelineRepo(), files: { "../../../evil.json": noise(10) } };
    await using b = await bench([evil]);
    const error = await failure(b.get());
    expect(error.code).toBe("bad-file");
    expect(error.message).toContain("no plain path inside the folder");
  });

  test("an answer that is no hub's is named", async () => {
    await using b = await bench([{ ...pipelineRepo(), commit: "<html>" }]);
    expect((await failure(b.get())).message).toMatch(/is not that of a Hugging Face hub/);
  });
});

describe("access", () => {
  const gated = { ...pipelineRepo(), gated: "hf_secret" };

  test("a gated repository says how to log in and where the licence is", async () => {
    await using b = await bench([gated]);
    const { endpoint } = b.hub;
    const error = await failure(b.get());
    expect(error.code).toBe("network");
    expect(error.message).toBe(
      `tester/tiny-sd is gated: accept its licence at ${endpoint}/tester/tiny-sd with your ` +
        `account. Log in: make a token at ${endpoint}/settings/tokens and set HF_TOKEN to it, or ` +
        "run `hf auth login`.",
    );
  });

  test("a token without access is told apart from none", async () => {
    await using b = await bench([gated], { HF_TOKEN: "hf_other" });
    expect((await failure(b.get())).message).toContain("does not give access to it");
  });

  test("the token goes to the hub and never to the CDN", async () => {
    await using b = await bench([gated], { HF_TOKEN: "hf_secret" });
    await b.get();
    await expectWhole(b);
    const hosts = (host: string): Set<string | undefined> =>
      new Set(b.hub.seen.filter((s) => s.host === host).map((s) => s.authorization));
    expect(hosts("hub")).toEqual(new Set(["Bearer hf_secret"]));
    expect(hosts("cdn")).toEqual(new Set([undefined]));
  });

  test("a token from the file of `hf auth login` is used", async () => {
    await using b = await bench([gated]);
    const { files } = b.platform;
    await files.makeFolder(`${b.home}/.cache/huggingface`);
    const token = new TextEncoder().encode("hf_secret\n");
    await files.writeAtomically(`${b.home}/.cache/huggingface/token`, [token]);
    await b.get();
    await expectWhole(b);
  });

  test("unknown repositories and revisions are not found", async () => {
    await using b = await bench();
    const model = await failure(b.get("tester/tiny-sdd"));
    expect(model.message).toMatch(
      /tester\/tiny-sdd: there is no such model at .*, or it is private/,
    );
    const revision = await failure(b.get(`${ID}@v9`));
    expect(revision.code).toBe("not-found");
    expect(revision.message).toContain('has no revision "v9"');
  });
});
