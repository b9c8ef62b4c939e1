import { expect, test } from "vitest";
import type { Files } from "../../platform/types.js";
import { maskedCrc32c, openEvents } from "./events.js";

/** Files that keep what is appended, by path. */
function memoryFiles(): Files & { readonly written: Map<string, number[]> } {
  const written = new Map<string, number[]>();
  const files: Partial<Files> = {
    stat: async (path) => (written.has(path) ? { kind: "file", size: 0 } : undefined),
    append: async (path) => {
      written.set(path, []);
      return {
        write: async (chunk) => void written.get(path)!.push(...chunk),
        close: async () => {},
      };
    },
  };
  return { ...(files as Files), written };
}

test("an event file is the bytes that TensorBoard's own writer writes", async () => {
  // tensorboard 2.21.0: RecordWriter over a file version, the start of a session at step 4 and a
  // summary of two scalars.
  const golden =
    "1800000000000000a37f4b220900002040fc54d9411a0d627261696e2e4576656e743a322b3531100f00000000000000" +
    "6d532b090900002040fc54d94110043a0208017c7bef072700000000000000bbe1b1460900005040fc54d94110042a1a" +
    "0a0b0a046c6f7373150000803e0a0b0a0470736e7215000060c08b285d0a";
  const files = memoryFiles();
  const log = await openEvents(files, "run", { step: 3, time: 1_700_000_000_500 });
  await log.append(4, 1_700_000_001_250, { loss: 0.25, psnr: -3.5 });
  const path = "run/events.out.tfevents.1700000000.tintype.000";
  expect(Buffer.from(files.written.get(path)!).toString("hex")).toBe(golden);
});

test("a second file of the same second comes after the first", async () => {
  const files = memoryFiles();
  for (const step of [0, 5]) await openEvents(files, "run", { step, time: 1_700_000_000_500 });
  expect([...files.written.keys()]).toEqual([
    "run/events.out.tfevents.1700000000.tintype.000",
    "run/events.out.tfevents.1700000000.tintype.001",
  ]);
});

test("the checksum is CRC-32C, masked", () => {
  const masked = maskedCrc32c(new TextEncoder().encode("123456789"));
  const rotated = (masked - 0xa282ead8) >>> 0;
  expect(((rotated >>> 17) | (rotated << 15)) >>> 0).toBe(0xe3069283);
});
