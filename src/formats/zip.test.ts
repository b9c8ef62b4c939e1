import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { memorySource } from "../util/bytes.js";
import { TintypeError } from "../util/errors.js";
import { readTorchCheckpoint } from "./torchCheckpoint.js";
import { readZipDirectory } from "./zip.js";

function golden(name: string): Buffer {
  return readFileSync(new URL(`../../test/golden/formats/${name}`, import.meta.url));
}

/** The row of the central directory for `lightning/data/5`, a storage that a weight needs. */
function rowOf(zip: Buffer): number {
  return zip.lastIndexOf("PK\x01\x02", zip.lastIndexOf("lightning/data/5"));
}

async function messageOf(zip: Buffer): Promise<string> {
  const source = memorySource("m.ckpt", new Uint8Array(zip));
  const error = await readTorchCheckpoint(source).catch((e) => e);
  expect(error).toBeInstanceOf(TintypeError);
  return error.message;
}

describe("readZipDirectory", () => {
  it("lists what torch.save wrote", async () => {
    const source = memorySource("m", new Uint8Array(golden("lightning.ckpt")));
    const entries = await readZipDirectory(source);
    expect([...entries.keys()].slice(0, 3)).toContain("lightning/data.pkl");
    expect(entries.get("lightning/byteorder")).toMatchObject({ method: 0, length: 6 });
  });

  it("looks past an end record that is part of the comment", async () => {
    const comment = Buffer.alloc(52);
    comment.write("PK\x05\x06", 4);
    const zip = Buffer.concat([golden("lightning.ckpt"), comment]);
    zip.writeUInt16LE(comment.length, zip.length - comment.length - 2);
    const source = memorySource("m", new Uint8Array(zip));
    expect((await readZipDirectory(source)).size).toBeGreaterThan(20);
  });

  it("refuses a directory that lists more or fewer entries than it promises", async () => {
    const zip = golden("lightning.ckpt");
    zip.writeUInt16LE(zip.readUInt16LE(zip.length - 12) + 1, zip.length - 12);
    expect(await messageOf(zip)).toMatch(/promises \d+ entries and lists \d+/);
  });

  it("refuses a directory that ends inside a row", async () => {
    const zip = golden("lightning.ckpt");
    const last = zip.lastIndexOf("PK\x01\x02");
    zip.writeUInt16LE(60_000, last + 32);
    expect(await messageOf(zip)).toContain("central directory is broken");
  });

  it("refuses two entries of a name", async () => {
    const zip = golden("lightning.ckpt");
    zip.write("4", zip.lastIndexOf("lightning/data/5") + "lightning/data/".length);
    expect(await messageOf(zip)).toContain('two entries "lightning/data/4"');
  });
});

describe("locateEntry", () => {
  it("refuses an entry that runs past the end", async () => {
    const zip = golden("lightning.ckpt");
    zip.writeUInt32LE(0x7fffffff, rowOf(zip) + 20);
    expect(await messageOf(zip)).toMatch(/lightning\/data\/5 runs from \d+ to \d+, past the end/);
  });

  it("refuses an encrypted entry", async () => {
    const zip = golden("lightning.ckpt");
    zip.writeUInt16LE(1, rowOf(zip) + 8);
    expect(await messageOf(zip)).toContain("lightning/data/5 is encrypted");
  });

  it("refuses an entry without a local header", async () => {
    const zip = golden("lightning.ckpt");
    zip.writeUInt32LE(1, rowOf(zip) + 42);
    expect(await messageOf(zip)).toContain("lightning/data/5 has no local header");
  });
});
