import { execFileSync, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { decodePicture } from "../../src/node.js";
import { VERSION } from "../../src/util/version.js";
import { MICRO, MODELS, PICTURES, scratch } from "./fixtures.js";

/*
 * The command as people start it: compiled, in a process of its own.
 */

const ROOT = new URL("../..", import.meta.url).pathname;
const BUILT = `${ROOT}node_modules/.cache/tintype-test`;
const space = scratch();

beforeAll(() => {
  const tsc = `${ROOT}node_modules/typescript/bin/tsc`;
  execFileSync(process.execPath, [tsc, "-p", `${ROOT}tsconfig.build.json`, "--outDir", BUILT]);
});
afterAll(() => space[Symbol.dispose]());

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

interface Options {
  readonly env?: Readonly<Record<string, string>>;
  /** Called with everything on standard error so far, and the process. */
  readonly onError?: (err: string, child: ReturnType<typeof spawn>) => void;
  readonly closeOutput?: boolean;
}

function tintype(args: readonly string[], options: Options = {}): Promise<Ended> {
  const child = spawn(process.execPath, [`${BUILT}/cli/main.js`, ...args], {
    cwd: space.path,
    env: { ...process.env, ...options.env },
  });
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  if (options.closeOutput) child.stdout.destroy();
  child.stderr.on("data", (chunk: Buffer) => {
    err += chunk.toString();
    options.onError?.(err, child);
  });
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, out, err })));
}

interface Case {
  readonly name: string;
  readonly model: string;
  readonly config?: string;
  readonly vae?: string;
  readonly prompt: string;
  readonly args: readonly string[];
  readonly pictures: readonly string[];
}

const CASES = JSON.parse(readFileSync(`${PICTURES}/cases.json`, "utf8")) as readonly Case[];
const CHOSEN = [
  "defaults",
  "batch-both",
  "inpaint-9ch-0.6",
  "sd2-img2img",
  "file-micro-legacy.ckpt",
  "file-vae",
];

test.each(CHOSEN)("the picture of %s is diffusers'", async (name) => {
  const c = CASES.find((other) => other.name === name)!;
  const args = c.args.map((arg, i) =>
    ["--init-image", "--mask"].includes(c.args[i - 1] ?? "") ? `${PICTURES}/${arg}` : arg,
  );
  const more = [
    ...["--model", `${MODELS}/${c.model}`],
    ...(c.config ? ["--config", `${MODELS}/${c.config}`] : []),
    ...(c.vae ? ["--vae", `${MODELS}/${c.vae}`] : []),
    ...["--output", `${name}-%d.png`, "--json", "--threads", "1"],
  ];
  const { code, out, err } = await tintype(["generate", c.prompt, ...args, ...more]);
  expect(code, err).toBe(0);
  const { files } = JSON.parse(out) as { readonly files: readonly string[] };
  expect(files).toHaveLength(c.pictures.length);
  for (const [k, file] of files.entries()) {
    const made = await decodePicture(readFileSync(`${space.path}/${file}`), file);
    const golden = `${PICTURES}/${c.pictures[k]}`;
    const expected = await decodePicture(readFileSync(golden), golden);
    const off = made.data.map((v, i) => Math.abs(v - expected.data[i]!));
    expect(off.reduce((a, b) => Math.max(a, b))).toBeLessThanOrEqual(2);
  }
});

test("an error has exit code 2, no stack trace and no file", async () => {
  const ended = await tintype(["generate", "a", "--model", "nope", "--output", "no.png"]);
  expect(ended).toEqual({
    code: 2,
    out: "",
    err: 'tintype: there is no file or folder "nope". Name a file, a folder, or a Hugging Face model as owner/name.\n',
  });
  expect(readdirSync(space.path).filter((name) => name.startsWith("no"))).toEqual([]);
});

test("TINTYPE_DEBUG shows the stack trace", async () => {
  const env = { TINTYPE_DEBUG: "1" };
  const { code, err } = await tintype(["generate", "a", "--steps", "0"], { env });
  expect(code).toBe(2);
  expect(err).toMatch(/\n +at .*options/);
});

test("--version and --help", async () => {
  expect(await tintype(["--version"])).toEqual({ code: 0, out: `${VERSION}\n`, err: "" });
  const { code, out } = await tintype(["--help"]);
  expect(code).toBe(0);
  expect(out).toContain("generate PROMPT");
  expect(await tintype([])).toEqual({ code: 2, out: "", err: out });
});

test.each(["SIGINT", "SIGTERM"] as const)("%s stops within a step", async (signal) => {
  const args = ["--steps", "900", "--sampler", "ddim", "--output", "stopped.png"];
  let sent = false;
  const { code, out, err } = await tintype(["generate", "a", "--model", MICRO, ...args], {
    onError(text, child) {
      if (sent || !text.includes("step ")) return;
      sent = true;
      child.kill(signal);
    },
  });
  expect(code).toBe(130);
  expect(out).toBe("");
  expect(err).toMatch(/Ctrl-C again stops at once\.\ntintype: stopped\.\n$/);
  expect(err).not.toContain("900/900");
  expect(readdirSync(space.path).filter((name) => name.includes("stopped"))).toEqual([]);
});

test("a reader that goes away is no error", async () => {
  const args = ["generate", "a", "--model", MICRO, "--steps", "1", "--output", "pipe.png"];
  const { code, err } = await tintype(args, { closeOutput: true });
  expect(err).not.toContain("EPIPE");
  expect(code).toBe(0);
});
