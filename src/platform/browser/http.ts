import {
  type ByteSource,
  checkRange,
  type Folder,
  memorySource,
  readJson,
} from "../../util/bytes.js";
import { TintypeError } from "../../util/errors.js";
import { checkInside, missingInFolder } from "../paths.js";

/** How to fetch. */
export interface HttpOptions {
  readonly fetch?: typeof fetch | undefined;
  readonly signal?: AbortSignal | undefined;
}

const TRIES = 3;

/**
 * A file behind a URL, read by range requests. A server that knows none sends the whole file once,
 * which then stays in memory. Throws "not-found" or "network".
 */
export async function httpSource(
  url: string,
  { fetch: get = fetch, signal }: HttpOptions = {},
  name: string = url,
): Promise<ByteSource> {
  const request = async (range: string): Promise<Response> => {
    for (let attempt = 1; ; attempt++) {
      const init = { headers: { Range: range }, signal: signal ?? null };
      const response = await get(url, init).catch((cause: unknown) => {
        if (signal?.aborted) throw new TintypeError("aborted", "stopped", { cause });
        return attempt < TRIES ? undefined : unreachable(name, cause);
      });
      if (response instanceof Error) throw response;
      if (response === undefined || (response.status >= 500 && attempt < TRIES)) continue;
      if (response.status === 404 || isPage(response)) {
        throw new TintypeError("not-found", `${name}: there is no such file on the server.`);
      }
      if (response.status === 416 || response.ok) return response;
      throw new TintypeError("network", `${name}: the server answers ${response.status}.`);
    }
  };
  const probe = await request("bytes=0-0");
  if (probe.status === 416) return memorySource(name, new Uint8Array(0));
  const size = Number(/\/(\d+)$/.exec(probe.headers.get("content-range") ?? "")?.[1] ?? Number.NaN);
  if (probe.status !== 206 || Number.isNaN(size)) {
    // Without a readable Content-Range (another origin may hide it) the size is not known.
    const whole = probe.status === 200 ? probe : await get(url, { signal: signal ?? null });
    return memorySource(name, new Uint8Array(await whole.arrayBuffer()));
  }
  await probe.arrayBuffer();
  return {
    name,
    size,
    async read(offset, length) {
      checkRange(name, size, offset, length);
      if (length === 0) return new Uint8Array(0);
      const response = await request(`bytes=${offset}-${offset + length - 1}`);
      const bytes = new Uint8Array(
        await response.arrayBuffer().catch((cause: unknown) => {
          throw unreachable(name, cause);
        }),
      );
      if (response.status === 206 && bytes.byteLength === length) return bytes;
      if (response.status === 200 && bytes.byteLength === size) {
        return bytes.subarray(offset, offset + length);
      }
      const message = `${name}: expected ${length} bytes from the server, got ${bytes.byteLength}.`;
      throw new TintypeError("network", `${message} It changed or was cut: load it again.`);
    },
  };
}

function unreachable(name: string, cause: unknown): TintypeError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new TintypeError(
    "network",
    `${name}: cannot be fetched (${reason}). Check the connection, and that the server allows ` +
      "this page (CORS).",
    { cause },
  );
}

/** Many servers of web pages answer a missing file with their start page. */
function isPage(response: Response): boolean {
  return /^text\/html\b/.test(response.headers.get("content-type") ?? "");
}

/**
 * A folder below a URL. HTTP cannot list, so `files` names what is there; without it the files of
 * a diffusers folder are looked for, as its model_index.json says.
 */
export function httpFolder(
  base: string,
  options: HttpOptions & { readonly files?: readonly string[] | undefined } = {},
  name: string = base,
): Folder {
  const root = base.replace(/\/*$/, "/");
  const open = (path: string): Promise<ByteSource> => {
    checkInside(name, path);
    const url = root + path.split("/").map(encodeURIComponent).join("/");
    return httpSource(url, options, `${name.replace(/\/+$/, "")}/${path}`);
  };
  let listing: Promise<readonly string[]> | undefined;
  const list = (): Promise<readonly string[]> => {
    listing ??=
      options.files === undefined ? discover(open) : Promise.resolve([...options.files].sort());
    return listing;
  };
  return {
    name,
    list,
    async open(path) {
      if (options.files !== undefined && !options.files.includes(path)) {
        throw missingInFolder(name, path, options.files);
      }
      return open(path);
    },
  };
}

const TOKENIZER = [
  "tokenizer.json",
  "vocab.json",
  "merges.txt",
  "tokenizer_config.json",
  "special_tokens_map.json",
];
const WEIGHTS = ["diffusion_pytorch_model", "model"].flatMap((stem) =>
  ["", ".fp16"].flatMap((variant) => [
    `${stem}${variant}.safetensors`,
    `${stem}.safetensors.index${variant}.json`,
  ]),
);

/** The files of a pipeline that answer. */
async function discover(open: (path: string) => Promise<ByteSource>): Promise<readonly string[]> {
  const index = (await readJson(await open("model_index.json"))) as Record<string, unknown>;
  const candidates = Object.entries(index).flatMap(([folder, value]) => {
    if (!Array.isArray(value) || typeof value[1] !== "string") return [];
    const names = /Tokenizer(Fast)?$/.test(value[1])
      ? TOKENIZER
      : value[1].endsWith("Scheduler")
        ? ["scheduler_config.json"]
        : ["config.json", ...WEIGHTS];
    return names.map((name) => `${folder}/${name}`);
  });
  const found = await Promise.all(
    candidates.map(async (path) => {
      const source = await open(path).catch((error: unknown) => {
        if (error instanceof TintypeError && error.code === "not-found") return undefined;
        throw error;
      });
      return source === undefined ? [] : [path, ...(await shardsOf(path, source))];
    }),
  );
  return ["model_index.json", ...found.flat()].sort();
}

async function shardsOf(path: string, source: ByteSource): Promise<readonly string[]> {
  if (!/\.safetensors\.index/.test(path)) return [];
  const { weight_map } = (await readJson(source)) as { weight_map?: Record<string, string> };
  const folder = path.slice(0, path.lastIndexOf("/") + 1);
  return [...new Set(Object.values(weight_map ?? {}))].map((shard) => folder + shard);
}
