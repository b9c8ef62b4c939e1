import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Message } from "./protobuf.js";

const hex = (m: Message): string => Buffer.from(m.encode()).toString("hex");

/** Reads a varint; where the next byte is. */
function varint(bytes: Uint8Array, at: number): [bigint, number] {
  let value = 0n;
  for (let shift = 0n; ; shift += 7n) {
    const byte = bytes[at++]!;
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return [value, at];
  }
}

describe("a message", () => {
  // The examples of https://protobuf.dev/programming-guides/encoding
  test("is encoded as the documentation has it", () => {
    expect(hex(new Message().int(1, 150))).toBe("089601");
    expect(hex(new Message().string(2, "testing"))).toBe("120774657374696e67");
    expect(hex(new Message().message(3, new Message().int(1, 150)))).toBe("1a03089601");
    expect(hex(new Message().int(1, -2))).toBe("08feffffffffffffffff01");
  });

  test("takes fields above 15, floats, empty and long strings", () => {
    expect(hex(new Message().int(16, 0))).toBe("800100");
    expect(hex(new Message().float(2, 1.5))).toBe("150000c03f");
    expect(hex(new Message().string(1, ""))).toBe("0a00");
    expect(hex(new Message().string(1, "ü"))).toBe("0a02c3bc");
    expect(new Message().bytes(1, new Uint8Array(300)).encode().slice(0, 3)).toEqual(
      Uint8Array.of(0x0a, 0xac, 0x02),
    );
    expect(new Message().encode().length).toBe(0);
  });

  test("writes a number as it does a bigint, and grows as it has to", () => {
    const numbers = [0, 127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER, -1];
    for (const n of numbers)
      expect(hex(new Message().int(3, n))).toBe(hex(new Message().int(3, BigInt(n))));
    const long = new Message();
    for (const n of Array.from({ length: 1000 }, (_, i) => i))
      long.message(1, new Message().double(2, n));
    expect(long.encode()).toHaveLength(11 * 1000);
    expect(long.encode().slice(-9)).toEqual(new Message().double(2, 999).encode());
  });

  test("keeps every 64-bit integer", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (n) => {
        const bytes = new Message().int(1, n).encode();
        const [value, end] = varint(bytes, 1);
        expect(BigInt.asIntN(64, value)).toBe(n);
        expect(end).toBe(bytes.length);
        expect(bytes.length).toBeLessThanOrEqual(11);
      }),
    );
  });
});
