/** How a member's name is written where it does not fit the old field. */
export type LongNames = "ustar" | "gnu" | "pax";

const encoder = new TextEncoder();

function header(name: string, size: number, type: string, prefix = ""): Uint8Array {
  const block = new Uint8Array(512);
  const put = (text: string, at: number): void => block.set(encoder.encode(text), at);
  put(name, 0);
  put("0000644\0", 100);
  put("0000000\0", 108);
  put("0000000\0", 116);
  put(`${size.toString(8).padStart(11, "0")}\0`, 124);
  put("00000000000\0", 136);
  put("        ", 148);
  put(type, 156);
  put("ustar\x0000", 257);
  put(prefix, 345);
  const sum = block.reduce((a, b) => a + b);
  put(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

function padded(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(Math.ceil(bytes.length / 512) * 512);
  out.set(bytes);
  return out;
}

function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = encoder.encode(rest).length;
  while (`${length}`.length + encoder.encode(rest).length !== length) {
    length = `${length}`.length + encoder.encode(rest).length;
  }
  return `${length}${rest}`;
}

function named(name: string, size: number, long: LongNames): Uint8Array[] {
  if (encoder.encode(name).length <= 100) return [header(name, size, "0")];
  const short = "cut-off";
  if (long === "ustar") {
    const fits = (at: number): boolean => encoder.encode(name.slice(at + 1)).length <= 100;
    const slash = [...name].findIndex((c, at) => c === "/" && fits(at));
    return [header(name.slice(slash + 1), size, "0", name.slice(0, slash))];
  }
  const facts = encoder.encode(long === "gnu" ? `${name}\0` : paxRecord("path", name));
  const [type, own] = long === "gnu" ? ["L", "././@LongLink"] : ["x", "PaxHeaders/x"];
  return [header(own!, facts.length, type!), padded(facts), header(short, size, "0")];
}

/** A tar archive of these files. */
export function writeTar(
  files: readonly (readonly [name: string, content: string | Uint8Array])[],
  long: LongNames = "ustar",
): Uint8Array<ArrayBuffer> {
  const blocks = files.flatMap(([name, content]) => {
    const bytes = typeof content === "string" ? encoder.encode(content) : content;
    return [...named(name, bytes.length, long), padded(bytes)];
  });
  blocks.push(new Uint8Array(1024));
  const out = new Uint8Array(blocks.reduce((n, b) => n + b.length, 0));
  let at = 0;
  for (const block of blocks) {
    out.set(block, at);
    at += block.length;
  }
  return out;
}
