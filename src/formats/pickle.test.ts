import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { TintypeError } from "../util/errors.js";
import { unpickle } from "./pickle.js";
import { PickleCutError } from "./pickleReader.js";
import type { PickleHost, PickleValue } from "./pickleValues.js";
import { findTorchGlobal } from "./torchGlobals.js";

const host: PickleHost = {
  find: (module, name) => findTorchGlobal("p", module, name),
  load: (id) => id,
};

function run(bytes: Uint8Array<ArrayBuffer>): PickleValue {
  return unpickle("p", bytes, 0, host).value;
}

function ops(...parts: (string | number[])[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(
    Buffer.concat(
      parts.map((p) => (typeof p === "string" ? Buffer.from(p, "latin1") : Buffer.from(p))),
    ),
  );
}

const PICKLES: Uint8Array<ArrayBuffer>[] = JSON.parse(
  readFileSync(new URL("../../test/golden/formats/pickles.json", import.meta.url), "utf8"),
).map((text: string) => new Uint8Array(Buffer.from(text, "base64")));

describe("unpickle", () => {
  it.each([0, 1, 2, 3, 4, 5])("reads what Python wrote in protocol %i", (protocol) => {
    const value = run(PICKLES[protocol]!) as Map<string, PickleValue>;
    expect(Object.fromEntries(value)).toEqual({
      text: "é\n\u{1f5bc}",
      bytes: new Uint8Array([0, 0x80, 0xff]),
      ints: [0, 255, 65535, -1, 2 ** 31, -(2 ** 40), 2n ** 70n],
      floats: [0.1, Number.POSITIVE_INFINITY],
      none: null,
      yes: true,
      no: false,
      set: new Set([1]),
      tuples: [[], [1], [1, 2], [1, 2, 3], [1, 2, 3, 4]],
      ordered: new Map([["a", 1]]),
      long: Array.from({ length: 1200 }, (_, i) => i),
    });
  });

  it("reads the strings and numbers of Python 2", () => {
    const items = [["hi", [true, false, -2500]]];
    const value = run(PICKLES[6]!) as Map<PickleValue, PickleValue>;
    expect([...value]).toEqual([["aA\n\t\\'", 1], ["q", 12], ...items]);
  });

  it("keeps an object's class and state, by every way of making one", () => {
    const state = "(dp0\nS'seed'\nI1\nsb.";
    const ways = [
      `ccopy_reg\n_reconstructor\n(cargparse\nNamespace\nc__builtin__\nobject\nNtR${state}`,
      `cargparse\nNamespace\n)R${state}`,
      `cargparse\nNamespace\n)\x81${state}`,
      `cargparse\nNamespace\n)}\x92${state}`,
      `(iargparse\nNamespace\n${state}`,
      `(cargparse\nNamespace\no${state}`,
    ];
    const record = {
      kind: "record",
      name: "argparse.Namespace",
      args: [],
      state: new Map([["seed", 1]]),
    };
    for (const way of ways) expect(run(ops(way))).toEqual(record);
  });

  it("drops what goes into a class that may be a dict or a list", () => {
    const value = run(
      ops("comegaconf.listconfig\nListConfig\n)\x81(K\x01K\x02e(K\x01K\x02uK\x03a."),
    );
    expect(value).toMatchObject({ kind: "record", name: "omegaconf.listconfig.ListConfig" });
  });

  it("makes the containers that Python's own classes are", () => {
    expect(run(ops("ccollections\nOrderedDict\n((K\x01K\x02tl\x85R."))).toEqual(new Map([[1, 2]]));
    expect(run(ops("c__builtin__\nset\n](K\x01K\x01e\x85R."))).toEqual(new Set([1]));
    expect(run(ops("c_codecs\nencode\n(X\x02\0\0\0\xc3\xbfU\x06latin1tR."))).toEqual(
      new Uint8Array([255]),
    );
  });

  it("keeps sharing and cycles", () => {
    const value = run(ops("]q\0h\0a.")) as PickleValue[];
    expect(value[0]).toBe(value);
  });

  it.each([
    ["a name that is not on the list", "cos\nsystem\n.", /os\.system/],
    ["such a name from the stack", "\x80\x04\x8c\x02os\x8c\x06system\x93.", /os\.system/],
    ["such a name of an instance", "(ios\nsystem\n.", /os\.system/],
    ["eval under its old name", "c__builtin__\neval\n.", /builtins\.eval/],
    ["getattr", "cbuiltins\ngetattr\n.", /builtins\.getattr/],
    ["a storage from bytes", "ctorch.storage\n_load_from_bytes\n.", /_load_from_bytes/],
    ["a dotted way out", "\x80\x04\x8c\x05torch\x8c\x0cload.__doc__\x93.", /torch\.load/],
    ["a call of a dtype", "ctorch\nfloat32\n)R.", /cannot be called/],
    ["a call of a string", "U\x01x)R.", /calls what is no function/],
    ["a call without a tuple", "ccollections\nOrderedDict\nNR.", /without arguments/],
    ["an unknown opcode", "\xff.", /opcode 0xff/],
    ["an extension", "\x82\x01.", /opcode 0x82/],
    ["an empty stack", ".", /the stack is empty/],
    ["a pop below a mark", "K\x01(a.", /the stack is empty/],
    ["a missing mark", "u.", /MARK is missing/],
    ["an empty memo", "h\x05.", /memo 5 is empty/],
    ["items for a number", "K\x01K\x02a.", /no list/],
    ["an odd dict", "(K\x01d.", /key without a value/],
    ["a huge integer", "\x8b\xff\xff\xff\x7f", /integer of 2147483647 bytes/],
    ["a negative length", "T\xff\xff\xff\xff.", /length of -1/],
    ["a number that is none", "Iten\n.", /a number that is none/],
    ["a new protocol", "\x80\x06N.", /protocol 6/],
  ])("refuses %s", (_, text, message) => {
    const bytes = ops(text);
    expect(() => run(bytes)).toThrow(TintypeError);
    expect(() => run(bytes)).toThrow(message);
  });

  it("says where a pickle is cut", () => {
    for (const bytes of PICKLES) {
      for (let length = 0; length < Math.min(bytes.length, 400); length++) {
        expect(() => run(bytes.slice(0, length))).toThrow(PickleCutError);
      }
    }
  });

  it.each([
    ["a stack without end", ops("N".repeat(2_000_000), ".")],
    ["bytes without end", ops("]", "U\x01\xffa".repeat(2_000_000), ".")],
    ["lists without end", ops("]0".repeat(2_000_000), "N.")],
    ["marks without end", ops("(".repeat(8_000_000), ".")],
    ["memo without end", ops("N", "\x94".repeat(8_000_000), ".")],
    [
      "copies of a long list",
      ops(
        "]q\0(",
        "N".repeat(50_000),
        "e0ccollections\nOrderedDict\n0",
        "cbuiltins\nlist\nq\x01",
        "0h\x01h\0\x85R".repeat(5000),
        ".",
      ),
    ],
  ])("stops at %s", (_, bytes) => {
    expect(() => run(bytes)).toThrow(/more work|on the stack/);
  });
});
