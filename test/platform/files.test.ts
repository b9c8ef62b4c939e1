import { execFileSync } from "node:child_process";
import {
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { originFiles } from "../../src/platform/browser/opfs.js";
import { cacheDir, nodePlatform } from "../../src/platform/node/platform.js";
import type { Chunks, Files } from "../../src/platform/types.js";
import { type ByteSource, type Folder, readText } from "../../src/util/bytes.js";
import { TintypeError } from "../../src/util/errors.js";
import { scratch } from "../hub/fixtures.js";
import { fakeStorage } from "./fakeStorage.js";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const node = nodePlatform({});

interface Place extends AsyncDisposable {
  readonly root: string;
  readonly files: Files;
  openFile(path: string): Promise<ByteSource>;
  openFolder(path: string): Promise<Folder>;
}

const places: { readonly [name: string]: () => Promise<Place> } = {
  async node() {
    const folder = await scratch();
    const { files, openFile, openFolder } = node;
    const dispose = async (): Promise<void> => folder[Symbol.asyncDispose]();
    return { root: folder.path, files, openFile, openFolder, [Symbol.asyncDispose]: dispose };
  },
  async browser() {
    const root = fakeStorage();
    const storage = originFiles(async () => root);
    await storage.files.makeFolder("/r");
    return { root: "/r", ...storage, async [Symbol.asyncDispose]() {} };
  },
};

async function failure(promise: Promise<unknown>): Promise<TintypeError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(TintypeError);
  return error as TintypeError;
}

async function* breaking(error: Error): AsyncGenerator<Uint8Array> {
  yield bytes("half");
  throw error;
}

describe.each(Object.entries(places))("files of %s", (_, open) => {
  test("are written whole or not at all", async () => {
    await using place = await open();
    const path = `${place.root}/a.txt`;
    const text = async (): Promise<string> => readText(await place.openFile(path));
    const write = (chunks: Chunks, signal?: AbortSignal): Promise<void> =>
      place.files.writeAtomically(path, chunks, { signal });
    await expect(write(breaking(new Error("bug")))).rejects.toThrow("bug");
    expect(await place.files.list(place.root)).toEqual([]);
    await write([bytes("one "), bytes("two")]);
    expect(await text()).toBe("one two");
    await expect(write(breaking(new Error("bug")))).rejects.toThrow("bug");
    expect((await failure(write([bytes("x")], AbortSignal.abort()))).code).toBe("aborted");
    expect(await text()).toBe("one two");
    expect(await place.files.list(place.root)).toEqual(["a.txt"]);
    await write([]);
    expect(await text()).toBe("");
  });

  test("are appended to from any length", async () => {
    await using place = await open();
    const path = `${place.root}/a`;
    for (const [keep, text] of [
      [0, "abcdef"],
      [4, "XY"],
      [2, "z"],
    ] as const) {
      const sink = await place.files.append(path, keep);
      await sink.write(bytes(text.slice(0, 1)));
      await sink.write(bytes(text.slice(1)));
      await sink.close();
    }
    expect(await readText(await place.openFile(path))).toBe("abz");
  });

  test("are renamed over others, linked, removed and measured", async () => {
    await using place = await open();
    const { files, root } = place;
    await files.makeFolder(`${root}/x/y`);
    await files.writeAtomically(`${root}/x/a`, [bytes("new")]);
    await files.writeAtomically(`${root}/b`, [bytes("old!")]);
    await files.rename(`${root}/x/a`, `${root}/b`);
    expect(await files.stat(`${root}/b`)).toMatchObject({ kind: "file", size: 3 });
    expect(await files.stat(`${root}/x`)).toMatchObject({ kind: "folder", size: 0 });
    expect(await files.stat(`${root}/x/a`)).toBeUndefined();
    await files.link(`${root}/b`, `${root}/x/y/c`);
    expect(await readText(await place.openFile(`${root}/x/y/c`))).toBe("new");
    await files.remove(`${root}/x/y/c`);
    await files.remove(`${root}/x/y/c`);
    expect(await files.list(`${root}/x/y`)).toEqual([]);
    expect(await files.list(`${root}/nowhere`)).toEqual([]);
  });

  test("are listed below a folder and read by range", async () => {
    await using place = await open();
    await place.files.makeFolder(`${place.root}/m/unet`);
    await place.files.writeAtomically(`${place.root}/m/unet/config.json`, [bytes("0123456789")]);
    await place.files.writeAtomically(`${place.root}/m/a`, [bytes("")]);
    const folder = await place.openFolder(`${place.root}/m`);
    expect(await folder.list()).toEqual(["a", "unet/config.json"]);
    const source = await folder.open("unet/config.json");
    expect(source.size).toBe(10);
    expect(source.name).toBe(`${place.root}/m/unet/config.json`);
    expect(await source.read(3, 4)).toEqual(bytes("3456"));
    expect(await source.read(10, 0)).toEqual(bytes(""));
    await expect(async () => source.read(8, 3)).rejects.toThrow(/but the file has 10 bytes/);
    const missing = await failure(folder.open("unet/confg.json"));
    expect(missing.code).toBe("not-found");
    expect(missing.message).toContain('Did you mean "unet/config.json"?');
    for (const path of ["../b", "/etc/passwd", "unet/../../b", "a\\b", "C:/b", "", "a//b"]) {
      expect((await failure(folder.open(path))).code, path).toBe("bad-file");
    }
    expect((await failure(place.openFile(`${place.root}/m/b`))).code).toBe("not-found");
  });
});

describe("files of Node", () => {
  const { files } = node;

  test("links are followed, circles and broken ones left out", async () => {
    await using dir = await scratch();
    const root = join(dir.path, "m");
    await mkdir(join(dir.path, "blobs/unet"), { recursive: true });
    await mkdir(root);
    await writeFile(join(dir.path, "blobs/unet/w"), "weights");
    await writeFile(join(root, ".hidden"), "");
    await symlink("../blobs/unet", join(root, "unet"));
    await symlink("../blobs/unet/w", join(root, "w"));
    await symlink("../nowhere", join(root, "broken"));
    await symlink("..", join(dir.path, "blobs/unet/up"));
    await symlink("loop", join(root, "loop"));
    const folder = await node.openFolder(root);
    expect(await folder.list()).toContain("unet/w");
    expect(await folder.list()).not.toContain("broken");
    const source = await folder.open("w");
    expect(source.path).toBe(join(root, "w"));
    expect(await readText(source)).toBe("weights");
  });

  test("a file that changes after it was opened is refused", async () => {
    await using dir = await scratch();
    const path = join(dir.path, "a");
    await writeFile(path, "12345678");
    const source = await node.openFile(path);
    await writeFile(path, "1234567");
    expect((await failure(source.read(0, 4))).message).toMatch(/changed since it was opened/);
  });

  test("a link stays a link when its file is written, and permissions stay", async () => {
    await using dir = await scratch();
    await writeFile(join(dir.path, "real"), "old");
    await chmod(join(dir.path, "real"), 0o640);
    await symlink("real", join(dir.path, "link"));
    await files.writeAtomically(join(dir.path, "link"), [bytes("new")]);
    expect((await lstat(join(dir.path, "link"))).isSymbolicLink()).toBe(true);
    expect(await readFile(join(dir.path, "real"), "utf8")).toBe("new");
    expect((await stat(join(dir.path, "real"))).mode & 0o777).toBe(0o640);
  });

  test("cached files are shown by relative links", async () => {
    await using dir = await scratch();
    await files.makeFolder(join(dir.path, "snapshots/c"));
    await writeFile(join(dir.path, "blob"), "x");
    await files.link(join(dir.path, "blob"), join(dir.path, "snapshots/c/a"));
    expect(await readlink(join(dir.path, "snapshots/c/a"))).toBe("../../blob");
  });

  test("a pipe or device is written into, never replaced", async () => {
    await using dir = await scratch();
    const pipe = join(dir.path, "pipe");
    execFileSync("mkfifo", [pipe]);
    const read = readFile(pipe, "utf8");
    await files.writeAtomically(pipe, [bytes("through")]);
    expect(await read).toBe("through");
    expect((await stat(pipe)).isFIFO()).toBe(true);
  });

  test.skipIf(process.platform !== "linux")("a full disk is named", async () => {
    const error = await failure(files.writeAtomically("/dev/full", [bytes("x")]));
    expect(error.code).toBe("io");
    expect(error.message).toMatch(
      /^cannot write \/dev\/full: the disk of \/dev is full \(.* free\)/,
    );
  });

  test("what cannot be opened or written is explained", async () => {
    await using dir = await scratch();
    await mkdir(join(dir.path, "folder"));
    await writeFile(join(dir.path, "model.safetensors"), "");
    const at = (path: string): string => join(dir.path, path);
    const messages = await Promise.all(
      [
        node.openFile(at("model.safetensor")),
        node.openFile(at("folder")),
        node.openFile(at("model.safetensors/x")),
        node.openFile("/dev/zero"),
        node.openFolder(at("model.safetensors")),
        node.openFolder(at("foldr")),
        files.writeAtomically(at("folder"), [bytes("x")]),
        files.writeAtomically(at("no/such/out.png"), [bytes("x")]),
        files.writeAtomically(at("model.safetensors/out.png"), [bytes("x")]),
        files.writeAtomically(at(`${"x".repeat(300)}.png`), [bytes("x")]),
      ].map(failure),
    );
    const plain = messages.map(
      ({ code, message }) =>
        `${code}: ${message.replaceAll(dir.path, "").replace(/x{300}/, "xxx")}`,
    );
    expect(plain).toMatchInlineSnapshot(`
      [
        "not-found: cannot open /model.safetensor: no such file or folder. Did you mean "/model.safetensors"?",
        "io: cannot open /folder: it is a folder. Name a file.",
        "not-found: cannot open /model.safetensors/x: a part of the path is a file, not a folder. Check the path.",
        "io: cannot open /dev/zero: it is no ordinary file.",
        "io: cannot open /model.safetensors as a folder: it is a file.",
        "not-found: cannot open /foldr: no such file or folder. Did you mean "/folder"?",
        "io: cannot write /folder: it is a folder. Name a file.",
        "not-found: cannot write /no/such/out.png: the folder /no/such does not exist. Make it, or choose another place.",
        "not-found: cannot write /model.safetensors/out.png: a part of the path is a file, not a folder. Check the path.",
        "io: cannot write /xxx.png: the name is too long. Choose a shorter one.",
      ]
    `);
    expect((await readdir(dir.path)).sort()).toEqual(["folder", "model.safetensors"]);
  });

  test("a folder without permission is named", async () => {
    await using dir = await scratch();
    await chmod(dir.path, 0o500);
    const write = (): Promise<void> => files.writeAtomically(join(dir.path, "a"), [bytes("x")]);
    const isRoot = process.getuid?.() === 0; // who may write everywhere
    if (isRoot) process.seteuid?.(65534);
    const error = await failure(write()).finally(() => isRoot && process.seteuid?.(0));
    expect(error.message).toMatch(/^cannot write .*permission denied/);
  });

  test("caches lie where the system keeps them", () => {
    const at = (system: NodeJS.Platform, environment: Record<string, string> = {}): string =>
      cacheDir((name) => environment[name], "/h", system);
    expect(at("linux")).toBe("/h/.cache/tintype");
    expect(at("darwin")).toBe("/h/Library/Caches/tintype");
    expect(at("linux", { XDG_CACHE_HOME: "/x" })).toBe("/x/tintype");
    expect(at("win32", { LOCALAPPDATA: "/l" })).toBe("/l/tintype");
    expect(at("linux", { XDG_CACHE_HOME: "/x", TINTYPE_CACHE: "~/t" })).toBe("/h/t");
  });
});

test("a browser whose storage is full says so", async () => {
  const root = fakeStorage(3);
  const { files } = originFiles(async () => root);
  const error = await failure(files.writeAtomically("/a", [bytes("four")]));
  expect(error.code).toBe("io");
  expect(error.message).toMatch(/this browser's storage for the page is full/);
  expect(await files.list("/")).toEqual([]);
});
