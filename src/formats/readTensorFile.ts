import type { ByteSource } from "../util/bytes.js";
import { type ErrorCode, TintypeError } from "../util/errors.js";
import { MAX_HEADER_BYTES, readSafetensors } from "./safetensors.js";
import type { TensorFile } from "./tensorFile.js";
import { isLegacyCheckpoint, latin1, readTorchCheckpoint } from "./torchCheckpoint.js";

const HEAD_BYTES = 512;

interface Head {
  readonly size: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same as text, one character per byte. */
  readonly text: string;
}

interface Kind {
  readonly is: (head: Head) => boolean;
}

interface Readable extends Kind {
  readonly read: (source: ByteSource) => Promise<TensorFile>;
}

interface Refused extends Kind {
  readonly code: ErrorCode;
  /** What the file is, and what to do about it. */
  readonly message: string;
}

function looksLikeSafetensors({ bytes }: Head): boolean {
  if (bytes.length < 9) return false;
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  // 0x7b is the brace that begins the header; the reference also lets white space go before it.
  const isBrace = [0x7b, 0x20, 0x0a, 0x0d, 0x09].includes(bytes[8]!);
  return isBrace && length >= 2n && length <= BigInt(MAX_HEADER_BYTES);
}

function begins(...prefixes: readonly string[]): Kind["is"] {
  return ({ text }) => prefixes.some((prefix) => text.startsWith(prefix));
}

const AGAIN = "Download it again.";

/** From the surest sign to the vaguest. */
const KINDS: readonly (Readable | Refused)[] = [
  {
    is: ({ size }) => size === 0,
    code: "bad-file",
    message: `the file is empty. ${AGAIN}`,
  },
  { is: looksLikeSafetensors, read: readSafetensors },
  { is: begins("PK\x03\x04", "PK\x05\x06", "PK\x06\x06"), read: readTorchCheckpoint },
  {
    is: ({ text }) => isLegacyCheckpoint(text),
    read: readTorchCheckpoint,
  },
  {
    is: begins("version https://git-lfs.github.com/"),
    code: "bad-file",
    message: "this is a Git LFS pointer, not the file: run `git lfs pull` where it lies.",
  },
  {
    is: begins("GGUF"),
    code: "unsupported",
    message: "a GGUF file, which is not supported yet. Get the .safetensors version.",
  },
  {
    is: ({ text }) => /^\s*<(?:!doctype|html|head|\?xml|!--)/i.test(text),
    code: "bad-file",
    message:
      "this is a web page, not a model: the download got a page instead of the file. " +
      "Download it again from the link to the file itself, signed in where the model asks for it.",
  },
  {
    is: ({ text }) => /^\s*[{[]\s*["{[\]}]/.test(text),
    code: "bad-file",
    message:
      "this is JSON text, not tensors. Of a sharded model, open the folder or the index file.",
  },
  {
    is: begins("\x89HDF\r\n"),
    code: "unsupported",
    message: "an HDF5 file (Keras), which is not supported. Get the .safetensors version.",
  },
  {
    is: ({ text }) => text.slice(257, 262) === "ustar",
    code: "unsupported",
    message: "a tar archive: unpack it, or, if PyTorch before 0.2 wrote it, save it again.",
  },
  {
    is: begins("\x1f\x8b", "7z\xbc\xaf", "Rar!", "\x28\xb5\x2f\xfd", "\xfd7zXZ"),
    code: "unsupported",
    message: "a packed archive. Unpack it first.",
  },
  {
    is: ({ bytes }) => bytes[0] === 0x80 && bytes[1]! >= 2 && bytes[1]! <= 5,
    code: "unsupported",
    message:
      "a plain pickle that torch.save did not write; nothing was executed. " +
      "Get the .safetensors version.",
  },
  {
    is: ({ bytes }) => bytes.every((byte) => byte === 0),
    code: "bad-file",
    message: `it begins with zeros alone, as a download does that was not finished. ${AGAIN}`,
  },
];

/**
 * Reads a file of tensors, whatever its name says: safetensors, or a PyTorch checkpoint, zip or
 * legacy. Throws "bad-file" or "unsupported" with what the file is instead, and what to do.
 */
export async function readTensorFile(source: ByteSource): Promise<TensorFile> {
  const bytes = await source.read(0, Math.min(source.size, HEAD_BYTES));
  const text = latin1(bytes);
  const kind = KINDS.find(({ is }) => is({ size: source.size, bytes, text }));
  if (kind !== undefined && "read" in kind) return kind.read(source);
  if (kind !== undefined) throw new TintypeError(kind.code, `${source.name}: ${kind.message}`);
  const start = Array.from(bytes.subarray(0, 8), (b) => b.toString(16).padStart(2, "0")).join(" ");
  throw new TintypeError(
    "bad-file",
    `${source.name}: expected .safetensors or a PyTorch checkpoint (.ckpt, .pt, .bin), got ` +
      `${source.size} bytes that begin with ${start}. It is another format, or damaged: ${AGAIN.toLowerCase()}`,
  );
}
