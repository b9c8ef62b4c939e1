import type { Platform, Sink } from "../platform/types.js";
import { TintypeError } from "../util/errors.js";
import { type Answer, connectionError, get, type Hub, type RepoFile } from "./client.js";
import { formatReference, type HubReference } from "./reference.js";
import { retry, Transient } from "./retry.js";

/** One file to fetch. */
export interface Download {
  readonly ref: HubReference;
  readonly file: RepoFile;
  readonly url: string;
  /** Where the whole, verified file goes. */
  readonly blob: string;
  /** Called with the bytes that are on the disk so far. */
  readonly onBytes: (done: number) => void;
}

/**
 * Fetches one file to `blob`. Bytes gather in `<blob>.tintype.incomplete`, which any later call
 * continues after a cut, an abort or a kill; what lies on the disk at the end is hashed, and only
 * then gets its name. (Not `<blob>.incomplete`: older huggingface_hub appends to that one under a
 * kind of lock that Node does not have.)
 */
export async function download(hub: Hub, job: Download): Promise<void> {
  const { files } = hub.platform;
  const { file, blob } = job;
  const partial = `${blob}.tintype.incomplete`;
  for (let round = 0; ; round++) {
    let done = (await files.stat(partial))?.size ?? 0;
    const onBytes = (bytes: number): void => {
      done = bytes;
      job.onBytes(bytes);
    };
    const fetchIt = (): Promise<void> => fetchRest(hub, { ...job, onBytes }, partial);
    await retry(fetchIt, hub.patience, hub.signal, () => done);
    const actual = await checksum(hub.platform, partial, file);
    if (actual === file.etag) break;
    await files.remove(partial);
    // A partial file may have been spoilt by a crash: once more from the start tells.
    if (round > 0) throw wrongChecksum(job, actual);
  }
  await files.rename(partial, blob);
}

function wrongChecksum({ ref, file }: Download, actual: string): TintypeError {
  return new TintypeError(
    "network",
    `${formatReference(ref)}: ${file.path} came with a wrong checksum twice: expected ` +
      `${file.algorithm} ${file.etag}, got ${actual}. Nothing of it is kept. ` +
      "Check for a proxy that changes downloads, and try again.",
  );
}

async function fetchRest(hub: Hub, job: Download, partial: string): Promise<void> {
  const { files } = hub.platform;
  const { size } = job.file;
  const have = (await files.stat(partial))?.size ?? 0;
  const keep = have > size ? 0 : have;
  job.onBytes(keep);
  if (keep === size && size > 0) return;
  const headers: Record<string, string> = keep > 0 ? { Range: `bytes=${keep}-` } : {};
  const answer = await get(hub, job.ref, job.url, headers);
  try {
    const start = startOf(answer.response, keep, job);
    if (start === undefined) {
      await files.remove(partial);
      throw new Transient(cutShort(job, keep));
    }
    checkLength(answer.response, start, job);
    const sink = keepingSink(await files.append(partial, start));
    try {
      await copyBody(hub, job, answer, sink, start);
    } finally {
      await sink.close();
    }
  } catch (error) {
    if (error instanceof Surplus) await files.remove(partial);
    throw error instanceof Surplus ? tooLong(job) : error;
  } finally {
    answer.end();
  }
}

/** The offset that the body begins at; undefined when the server cannot continue our file. */
function startOf(response: Response, keep: number, { file }: Download): number | undefined {
  if (response.status === 416) return undefined;
  if (response.status !== 206) return 0; // the whole file, whatever was asked for
  const [, first, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(
    response.headers.get("content-range") ?? "",
  ) ?? [undefined, undefined, undefined];
  const fits = Number(first) === keep && (total === "*" || Number(total) === file.size);
  return fits ? keep : undefined;
}

async function copyBody(
  hub: Hub,
  job: Download,
  answer: Answer,
  sink: Sink,
  start: number,
): Promise<void> {
  const { size } = job.file;
  let done = start;
  const reader = answer.response.body?.getReader();
  while (reader !== undefined) {
    const { done: ended, value } = await reader.read().catch((error: unknown) => {
      throw connectionError(hub, job.url, error);
    });
    if (ended) break;
    answer.alive();
    if (done + value.byteLength > size) throw new Surplus();
    await sink.write(value);
    done += value.byteLength;
    job.onBytes(done);
  }
  if (done < size) throw new Transient(cutShort(job, done));
}

/** More bytes came than the file has. */
class Surplus extends Error {}

/** Weights are never compressed on their way, so a wrong Content-Length tells at once. */
function checkLength(response: Response, start: number, job: Download): void {
  const length = response.headers.get("content-length");
  if (job.file.algorithm !== "sha256" || length === null) return;
  if (response.headers.has("content-encoding") || Number(length) === job.file.size - start) return;
  throw new Transient(
    new TintypeError(
      "network",
      `${formatReference(job.ref)}: ${job.file.path} should have ${job.file.size - start} bytes ` +
        `left to send, but the server announces ${length}. Check HF_ENDPOINT, and proxies that ` +
        "ask for a login.",
    ),
  );
}

function tooLong({ ref, file }: Download): TintypeError {
  return new TintypeError(
    "network",
    `${formatReference(ref)}: the hub sends more than the ${file.size} bytes that ${file.path} ` +
      "should have. Check HF_ENDPOINT, and proxies that ask for a login.",
  );
}

function cutShort({ ref, file }: Download, done: number): TintypeError {
  return new TintypeError(
    "network",
    `${formatReference(ref)}: the download of ${file.path} stops at ${done} of ${file.size} ` +
      "bytes. What has come is kept: run the same command again to continue.",
  );
}

/** Adds to a full disk's message that nothing is lost. */
function keepingSink(sink: Sink): Sink {
  const explain = (error: unknown): never => {
    if (!(error instanceof TintypeError) || error.code !== "io") throw error;
    const advice = "What has been downloaded is kept: run the same command again to continue.";
    throw new TintypeError("io", `${error.message} ${advice}`, { cause: error });
  };
  return {
    write: (chunk) => sink.write(chunk).catch(explain),
    close: () => sink.close().catch(explain),
  };
}

const BLOCK = 1 << 22;

/** The hash of what lies on the disk, in the form that the hub names it by. */
async function checksum(platform: Platform, path: string, file: RepoFile): Promise<string> {
  const source = await platform.openFile(path);
  const hasher = platform.hash(file.algorithm === "sha256" ? "sha256" : "sha1");
  if (file.algorithm === "git-sha1") {
    hasher.update(new TextEncoder().encode(`blob ${source.size}\0`));
  }
  for (let at = 0; at < source.size; at += BLOCK) {
    hasher.update(await source.read(at, Math.min(BLOCK, source.size - at)));
  }
  return hasher.digest();
}
