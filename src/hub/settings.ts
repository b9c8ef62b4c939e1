import type { Platform } from "../platform/types.js";
import { readText } from "../util/bytes.js";
import { TintypeError } from "../util/errors.js";

/** Where the hub is, who asks, and where downloads are kept. */
export interface HubSettings {
  /** Without a slash at its end. */
  readonly endpoint: string;
  readonly token?: string | undefined;
  /** The folder of `models--owner--name` folders, shared with Python's huggingface_hub. */
  readonly cacheDir: string;
  /** Never ask the network. */
  readonly offline: boolean;
}

/**
 * The settings that every Hugging Face tool takes from the environment: HF_ENDPOINT; HF_TOKEN or
 * the file that `hf auth login` writes (HF_TOKEN_PATH); HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE,
 * HF_HOME, XDG_CACHE_HOME; HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE.
 * Source: huggingface_hub constants.py.
 */
export async function readHubSettings(platform: Platform): Promise<HubSettings> {
  const { env } = platform;
  const cache = env("XDG_CACHE_HOME") ?? `${platform.home}/.cache`;
  const home = expand(platform, env("HF_HOME") ?? `${cache}/huggingface`);
  const hub = env("HF_HUB_CACHE") ?? env("HUGGINGFACE_HUB_CACHE") ?? `${home}/hub`;
  const tokenPath = expand(platform, env("HF_TOKEN_PATH") ?? `${home}/token`);
  return {
    endpoint: checkEndpoint(env("HF_ENDPOINT") ?? "https://huggingface.co"),
    token: await readToken(platform, tokenPath),
    cacheDir: platform.resolve(expand(platform, hub)),
    offline: isTrue(env("HF_HUB_OFFLINE") ?? env("TRANSFORMERS_OFFLINE")),
  };
}

/** `$NAME` and `${NAME}`, then `~/`; unknown names stay. */
function expand(platform: Platform, path: string): string {
  const named = path.replace(
    /\$(?:(\w+)|\{(\w+)\})/g,
    (all: string, bare?: string, braced?: string) => platform.env((bare ?? braced)!) ?? all,
  );
  return platform.resolve(named);
}

function checkEndpoint(endpoint: string): string {
  if (/^https?:\/\/[^/\s]+/.test(endpoint) && URL.canParse(endpoint)) {
    return endpoint.replace(/\/+$/, "");
  }
  throw new TintypeError(
    "bad-argument",
    `HF_ENDPOINT: expected a URL such as https://huggingface.co, got "${endpoint}".`,
  );
}

async function readToken(platform: Platform, path: string): Promise<string | undefined> {
  const token =
    platform.env("HF_TOKEN") ??
    platform.env("HUGGING_FACE_HUB_TOKEN") ??
    ((await platform.files.stat(path))?.kind === "file"
      ? await readText(await platform.openFile(path))
      : "");
  const clean = token.trim();
  if (/[^\x21-\x7e]/.test(clean)) {
    throw new TintypeError(
      "bad-argument",
      "the Hugging Face token (HF_TOKEN, or the file of `hf auth login`) has characters that no " +
        "token has. Copy it again from https://huggingface.co/settings/tokens.",
    );
  }
  return clean === "" ? undefined : clean;
}

function isTrue(value: string | undefined): boolean {
  return ["1", "ON", "YES", "TRUE"].includes((value ?? "").toUpperCase());
}
