import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as v from "valibot";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeTar } from "../../../test/tarWriter.js";
import { nodePlatform } from "../../platform/node/platform.js";
import { TintypeError } from "../../util/errors.js";
import { listFolder } from "./folder.js";
import type { Listing } from "./listing.js";
import { expandBraces } from "./shards.js";
import { dataSchema, type FolderSpec, type WebDatasetSpec } from "./spec.js";
import { listShards } from "./webDataset.js";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tintype-data-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

type Files = Readonly<Record<string, string | Uint8Array>>;

function write(files: Files): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
}

const jsonl = (...rows: readonly unknown[]): string =>
  rows.map((row) => JSON.stringify(row)).join("\n");

function list(options: Partial<FolderSpec> = {}): Promise<Listing> {
  const spec = v.parse(dataSchema, { kind: "folder", path: folder, ...options });
  return listFolder(nodePlatform(), spec as FolderSpec);
}

function listTars(shards: string | string[], options: Partial<WebDatasetSpec> = {}) {
  const spec = v.parse(dataSchema, { kind: "webdataset", shards, ...options });
  return listShards(nodePlatform(), spec as WebDatasetSpec);
}

const pairs = ({ entries }: Listing): string[] =>
  entries.map(({ ref, caption }) => `${ref.name}: ${caption}`);

async function messageOf(listing: Promise<Listing>): Promise<string> {
  const error = await listing.catch((e) => e);
  expect(error).toBeInstanceOf(TintypeError);
  return error.message.replaceAll(folder, "DATA");
}

describe("a folder with captions beside the pictures", () => {
  it("takes all endings, nested folders and links, but no hidden files", async () => {
    write({
      "b.PNG": "",
      "b.txt": "\uFEFF a red house \n",
      "in/deep/c.jpeg": "",
      "in/deep/c.txt": "zwei Bäume",
      "in/a.b.webp": "",
      "in/a.b.txt": "dots",
      ".hidden.png": "",
      "notes.md": "",
    });
    symlinkSync(join(folder, "in"), join(folder, "linked"));
    expect(pairs(await list())).toEqual([
      "b.PNG: a red house",
      "in/a.b.webp: dots",
      "in/deep/c.jpeg: zwei Bäume",
      "linked/a.b.webp: dots",
      "linked/deep/c.jpeg: zwei Bäume",
    ]);
  });

  it("changes its fingerprint with captions and with pictures", async () => {
    write({ "a.png": "1", "a.txt": "x" });
    const first = (await list()).fingerprint;
    expect((await list()).fingerprint).toBe(first);
    write({ "a.txt": "y" });
    const second = (await list()).fingerprint;
    write({ "a.png": "12" });
    expect(new Set([first, second, (await list()).fingerprint]).size).toBe(3);
  });
});

describe("a folder with metadata.jsonl", () => {
  it("names pictures of its folder and those below", async () => {
    write({
      "metadata.jsonl": `\uFEFF${jsonl({ file_name: "a.png", text: " one " }, { file_name: "x/b.png", text: "two" })}\r\n\n`,
      "a.png": "",
      "x/b.png": "",
      "y/metadata.jsonl": jsonl({ file_name: "./c.png", text: "three", more: 1 }),
      "y/c.png": "",
    });
    expect(pairs(await list())).toEqual(["a.png: one", "x/b.png: two", "y/c.png: three"]);
  });

  it("takes another column, and both kinds of captions where they agree", async () => {
    write({
      "metadata.jsonl": jsonl(
        { file_name: "a.png", prompt: "one" },
        { file_name: "b.png", prompt: null },
      ),
      "a.png": "",
      "a.txt": "one\n",
      "b.png": "",
    });
    const options = { captionColumn: "prompt", captions: "optional" } as const;
    expect(pairs(await list(options))).toEqual(["a.png: one", "b.png: "]);
  });
});

describe("mixed-up folders", () => {
  const cases: readonly (readonly [string, Files, RegExp])[] = [
    ["an empty folder", { "notes.md": "" }, /no pictures \(png, jpg.*in DATA/],
    [
      "pictures without captions",
      Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`${i}.png`, ""])),
      /DATA: 8 of 8 pictures have no caption: 0\.png, 1\.png, 2\.png, 3\.png, 4\.png and 3 more\. .*"optional"/,
    ],
    ["an empty caption", { "a.png": "", "a.txt": " \n" }, /1 of 1 picture has no caption: a\.png/],
    [
      "captions without pictures",
      { "a.png": "", "a.txt": "x", "in/b.txt": "y" },
      /1 caption has no picture: in\/b\.txt\. Add the pictures/,
    ],
    [
      "lines without pictures",
      {
        "a.png": "",
        "metadata.jsonl": jsonl(
          { file_name: "a.png", text: "x" },
          { file_name: "b.png", text: "y" },
        ),
      },
      /DATA\/metadata\.jsonl: 1 of its pictures is not there: b\.png/,
    ],
    [
      "two pictures for one caption",
      { "a.png": "", "a.jpg": "", "a.txt": "x" },
      /a\.txt could be the caption of a\.jpg, a\.png/,
    ],
    [
      "captions that contradict each other",
      { "a.png": "", "a.txt": "x", "metadata.jsonl": jsonl({ file_name: "a.png", text: "y" }) },
      /a\.png has two captions: "x" in a\.txt and "y" in metadata\.jsonl, line 1/,
    ],
    [
      "captions half here, half there",
      {
        "a.png": "",
        "a.txt": "x",
        "b.png": "",
        "metadata.jsonl": jsonl({ file_name: "b.png", text: "y" }),
      },
      /a\.png has a caption in a\.txt, but its folder has a metadata\.jsonl that does not list it/,
    ],
    [
      "a picture that is named twice",
      {
        "a.png": "",
        "metadata.jsonl": jsonl(
          { file_name: "a.png", text: "x" },
          { file_name: "a.png", text: "x" },
        ),
      },
      /metadata\.jsonl, line 2: a\.png was named before, in line 1/,
    ],
    [
      "another column",
      { "a.png": "", "metadata.jsonl": jsonl({ file_name: "a.png", caption: "x" }) },
      /no line has the key "text".*"captionColumn": "caption"/,
    ],
    [
      "a line that is no JSON",
      { "a.png": "", "metadata.jsonl": '{"file_name": "a.png"}\n{oops' },
      /metadata\.jsonl, line 2: not valid JSON/,
    ],
    [
      "a line that is a list",
      { "a.png": "", "metadata.jsonl": "[1]" },
      /line 1: expected \{"file_name"/,
    ],
    [
      "no file_name",
      { "a.png": "", "metadata.jsonl": '{"text": "x"}' },
      /line 1: expected the picture's path/,
    ],
    [
      "a caption that is a number",
      { "a.png": "", "metadata.jsonl": jsonl({ file_name: "a.png", text: 3 }) },
      /line 1: expected text in "text", got 3/,
    ],
    [
      "a path out of the folder",
      { "a.png": "", "metadata.jsonl": jsonl({ file_name: "../../etc/x.png", text: "x" }) },
      /line 1: names the file "\.\.\/\.\.\/etc\/x\.png"/,
    ],
    [
      "metadata.csv",
      { "a.png": "", "metadata.csv": "file_name,text" },
      /reads no metadata\.csv\. Save the table as metadata\.jsonl/,
    ],
    [
      "a caption that is a film",
      { "a.png": "", "a.txt": "x".repeat(2 ** 20 + 1) },
      /a\.txt: 1048577 bytes are no caption/,
    ],
    [
      "a caption in another encoding",
      { "a.png": "", "a.txt": Uint8Array.of(0xe9, 0x20) },
      /a\.txt: this caption is not UTF-8/,
    ],
  ];
  it.each(cases)("%s", async (_, files, message) => {
    write(files);
    expect(await messageOf(list())).toMatch(message);
  });

  it("a folder that is not there, a file, and a link that goes round", async () => {
    expect(await messageOf(list({ path: join(folder, "no") }))).toMatch(/no folder DATA\/no/);
    write({ "a.tar": "" });
    expect(await messageOf(list({ path: join(folder, "a.tar") }))).toMatch(
      /is a file.*"webdataset"/,
    );
    symlinkSync(folder, join(folder, "again"));
    expect(await messageOf(list())).toMatch(/more than 32 folders deep/);
  });
});

describe("WebDataset shards", () => {
  it("groups members by key, whatever lies between, and takes txt before json", async () => {
    const tar = writeTar([
      ["a/1.jpg", "picture"],
      ["a/1.txt", "one\n"],
      ["a/1.json", '{"caption": "not this"}'],
      ["a/1.seg.png", "mask"],
      ["2.json", '{"caption": " two "}'],
      ["2.png", "another"],
      ["__info__", "x"],
      ["./3.jpg", "p"],
      ["./3.txt", "four"],
      ["./._3.jpg", "what macOS adds"],
    ]);
    write({
      "s-00.tar": tar,
      "s-01.tar": writeTar([
        ["1.webp", "w"],
        ["1.txt", "three"],
      ]),
    });
    const listing = await listTars(join(folder, "s-{00..01}.tar"));
    expect(pairs(listing)).toEqual([
      "s-00.tar/a/1.jpg: one",
      "s-00.tar/2.png: two",
      "s-00.tar/3.jpg: four",
      "s-01.tar/1.webp: three",
    ]);
    const { path, offset, length } = listing.entries[0]!.ref;
    expect(path).toBe(join(folder, "s-00.tar"));
    expect(new TextDecoder().decode(tar.subarray(offset, offset + length))).toBe("picture");
    expect(pairs(await listTars(folder))).toEqual(pairs(listing));
    const other = await listTars(join(folder, "s-00.tar"), {
      captionField: "caption",
      captions: "optional",
    });
    expect(pairs(other).slice(0, 2)).toEqual(["s-00.tar/a/1.jpg: not this", "s-00.tar/2.png: two"]);
  });

  it("uses what is whole of a shard that is cut short, and names the rest", async () => {
    const examples = [0, 1, 2].flatMap((i): [string, string][] => [
      [`${i}.jpg`, "x".repeat(600)],
      [`${i}.txt`, `caption ${i}`],
    ]);
    const tar = writeTar(examples);
    // Up to the middle of the last caption: its picture is there, its caption is not.
    write({ "a.tar": tar.slice(0, tar.length - 1024 - 512 - 10) });
    const listing = await listTars(folder);
    expect(pairs(listing)).toEqual(["a.tar/0.jpg: caption 0", "a.tar/1.jpg: caption 1"]);
    expect([...listing.skipped.keys()]).toEqual(["a.tar", "a.tar/2.jpg"]);
    expect(listing.skipped.get("a.tar")).toMatch(/cut short at byte/);
  });

  it("takes odd names for names: its files are read where they lie, and nothing is unpacked", async () => {
    const names = ["/abs/1.jpg", "../up/2.jpg", "with space/3 a.jpg", "4.JPG", "日本.jpg", ".jpg"];
    const tar = writeTar(
      names.flatMap((name): [string, string][] => [
        [name, "picture"],
        [name.replace("JPG", "TXT").replace("jpg", "txt"), `caption of ${name}`],
      ]),
    );
    write({ "odd.tar": tar });
    expect(pairs(await listTars(folder))).toEqual(
      names.map((name) => `odd.tar/${name}: caption of ${name}`),
    );
    expect(readdirSync(folder)).toEqual(["odd.tar"]);
    write({
      "dots/odd.tar": writeTar([
        ["a.b/c.d.jpg", "x"],
        ["a.b/c.txt", "of c"],
      ]),
    });
    expect(await messageOf(listTars(join(folder, "dots")))).toMatch(
      /1 caption has no picture .*odd\.tar\/a\.b\/c\.txt\. Write each key with both\./,
    );
  });

  it("tells shards of one name apart by their folders", async () => {
    const tar = writeTar([
      ["1.jpg", "x"],
      ["1.txt", "y"],
    ]);
    write({ "a/s.tar": tar, "b/s.tar": tar });
    const { entries } = await listTars(["a", "b"].map((name) => join(folder, name)));
    expect(entries.map(({ ref }) => ref.name)).toEqual(
      ["a", "b"].map((name) => join(folder, name, "s.tar", "1.jpg")),
    );
  });

  it("leaves out examples whose caption is broken, by name", async () => {
    write({
      "a.tar": writeTar([
        ["1.jpg", "x"],
        ["1.json", "{"],
        ["2.jpg", "x"],
        ["2.txt", Uint8Array.of(0xff, 0xfe)],
        ["3.jpg", "x"],
        ["3.json", '{"caption": 3}'],
        ["4.jpg", "x"],
        ["4.txt", "good"],
      ]),
    });
    const { entries, skipped } = await listTars(folder);
    expect(entries.map(({ caption }) => caption)).toEqual(["good"]);
    expect([...skipped.keys()]).toEqual(["a.tar/1.jpg", "a.tar/2.jpg", "a.tar/3.jpg"]);
  });

  it.each<readonly [string, Files, RegExp]>([
    ["no tar files", { "a.png": "" }, /no \.tar files in DATA.*kind "folder"/],
    [
      "nothing readable",
      { "a.tar": "no" },
      /no pictures.*that can be read\. DATA\/a\.tar: it is cut short/,
    ],
    [
      "a compressed shard",
      { "a.tar": Uint8Array.from({ length: 600 }, (_, i) => [0x1f, 0x8b][i] ?? i) },
      /gunzip/,
    ],
    [
      "no captions",
      {
        "a.tar": writeTar([
          ["1.jpg", "x"],
          ["2.jpg", "x"],
        ]),
      },
      /2 of 2 pictures have no caption in key\.txt or key\.json: a\.tar\/1\.jpg, a\.tar\/2\.jpg/,
    ],
    [
      "no pictures for captions",
      {
        "a.tar": writeTar([
          ["1.jpg", "x"],
          ["1.txt", "x"],
          ["2.txt", "y"],
        ]),
      },
      /1 caption has no picture.*a\.tar\/2\.txt/,
    ],
    [
      "a key with two pictures",
      {
        "a.tar": writeTar([
          ["1.jpg", "x"],
          ["1.png", "y"],
        ]),
      },
      /1\.jpg and 1\.png belong to one key/,
    ],
  ])("%s", async (_, files, message) => {
    write(files);
    expect(await messageOf(listTars(folder))).toMatch(message);
  });

  it("names shards that are not there, or twice", async () => {
    write({
      "s-0.tar": writeTar([
        ["1.jpg", "x"],
        ["1.txt", "x"],
      ]),
    });
    expect(await messageOf(listTars(join(folder, "s-{0..2}.tar")))).toMatch(
      /2 of 3 shards are not there: DATA\/s-1\.tar, DATA\/s-2\.tar/,
    );
    expect(await messageOf(listTars(join(folder, "t.tar")))).toMatch(
      /^data: 1 of 1 shard is not there: DATA\/t\.tar/,
    );
    expect(await messageOf(listTars([join(folder, "s-0.tar"), folder]))).toMatch(
      /DATA\/s-0\.tar more than once/,
    );
  });

  it("patterns", () => {
    expect(expandBraces("s.tar")).toEqual(["s.tar"]);
    expect(expandBraces("s-{08..11}.tar")).toEqual([
      "s-08.tar",
      "s-09.tar",
      "s-10.tar",
      "s-11.tar",
    ]);
    expect(expandBraces("{a,b}/{1..2}")).toEqual(["a/1", "a/2", "b/1", "b/2"]);
    expect(expandBraces("{2..0}")).toEqual(["2", "1", "0"]);
    expect(() => expandBraces("{0..99999999}")).toThrow(/stands for 100000000 shards/);
  });
});
