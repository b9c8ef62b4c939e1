import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type LongNames, writeTar } from "../../../test/tarWriter.js";
import { memorySource } from "../../util/bytes.js";
import { indexTar } from "./tar.js";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

async function contents(tar: Uint8Array<ArrayBuffer>): Promise<[string, string][]> {
  const { members } = await indexTar(memorySource("a.tar", tar));
  return members.map(({ name, offset, size }) => [name, text(tar.subarray(offset, offset + size))]);
}

const LONG = `${"folder/".repeat(17)}${"é".repeat(30)}.jpg`;
const files = [
  ["1.jpg", "one"],
  ["1.txt", ""],
  ["sub/2.jpg", "x".repeat(512)],
  [LONG, "long"],
  ["sub/2.txt", "y".repeat(5000)],
] as const;

describe("indexTar", () => {
  it.each<LongNames>(["ustar", "gnu", "pax"])(
    "finds every file, long names as %s",
    async (long) => {
      expect(await contents(writeTar(files, long))).toEqual(files.map((f) => [...f]));
    },
  );

  it.each(["gnu", "ustar", "pax", "v7"])("reads what tar --format=%s writes", async (format) => {
    const folder = mkdtempSync(join(tmpdir(), "tintype-tar-"));
    try {
      const name = format === "v7" ? "short.jpg" : `${"deep/".repeat(24)}${"n".repeat(60)}.jpg`;
      mkdirSync(join(folder, "in", name, ".."), { recursive: true });
      writeFileSync(join(folder, "in", name), "picture");
      writeFileSync(join(folder, "in", "a.txt"), "caption");
      try {
        execFileSync("tar", [`--format=${format}`, "-cf", "out.tar", "-C", "in", "a.txt", name], {
          cwd: folder,
          stdio: "pipe",
        });
      } catch (error) {
        // Only GNU tar knows all formats.
        if (String(error).includes("format")) return;
        throw error;
      }
      const tar = new Uint8Array(readFileSync(join(folder, "out.tar")));
      expect(await contents(tar)).toEqual([
        ["a.txt", "caption"],
        [name, "picture"],
      ]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("of an archive that is cut short anywhere, gives what is whole and says so", async () => {
    const tar = writeTar(files);
    const whole = (await indexTar(memorySource("a.tar", tar))).members;
    for (let keep = 0; keep < tar.length - 1024; keep += 97) {
      const { members, problem } = await indexTar(memorySource("a.tar", tar.slice(0, keep)));
      expect(problem).toMatch(/cut short at byte|its end is missing/);
      expect(members).toEqual(whole.filter(({ offset, size }) => offset + size <= keep));
    }
  });

  it.each([
    ["text", new TextEncoder().encode("no tar ".repeat(200)), "it is no tar file"],
    ["a gzip file", Uint8Array.from({ length: 600 }, (_, i) => [0x1f, 0x8b][i] ?? i), "gunzip"],
    ["nothing", new Uint8Array(0), "its end is missing"],
  ])("%s is no archive", async (_, bytes, problem) => {
    const index = await indexTar(memorySource("a.tar", bytes as Uint8Array<ArrayBuffer>));
    expect(index.members).toEqual([]);
    expect(index.problem).toContain(problem);
  });

  it("stops at a damaged header and at sizes beyond the file", async () => {
    const tar = writeTar(files);
    tar[1024 + 10] = 99; // in the name of the second member
    const { members, problem } = await indexTar(memorySource("a.tar", tar));
    expect(members.map((m) => m.name)).toEqual(["1.jpg"]);
    expect(problem).toBe("it is damaged at byte 1024");
  });

  it("takes any damage for damage: what it gives lies inside the file", async () => {
    const whole = writeTar(files, "pax");
    const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(damage, fc.nat(whole.length), async (bytes, keep) => {
        const tar = whole.slice(0, keep);
        for (const [at, value] of bytes) if (at < keep) tar[at] = value;
        const { members } = await indexTar(memorySource("a.tar", tar));
        for (const { offset, size } of members) {
          expect(offset >= 512 && size >= 0 && offset + size <= keep).toBe(true);
        }
      }),
    );
  });
});
