import { randomBytes } from "node:crypto";
import { mkdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { throwIfAborted } from "../../util/errors.js";
import type { LockOptions } from "../types.js";
import { errnoOf, fileError } from "./errors.js";

/** A holder touches its file this often, in ms, to show that it lives. */
const HEARTBEAT = 5_000;
/** A holder on another machine, or with a reused process id, counts as dead after this silence. */
const STALE = 60_000;
const POLL = 200;

/**
 * Takes a lock between processes: a file that only one can create. Node has no flock(), so a
 * holder writes who it is; one that died (its process is gone, or it fell silent) loses the lock.
 * Locks save work that would be done twice; what they guard must be safe without them.
 */
export async function lock(path: string, options: LockOptions = {}): Promise<AsyncDisposable> {
  const me = JSON.stringify({
    pid: process.pid,
    host: hostname(),
    nonce: randomBytes(8).toString("hex"),
  });
  let waited = false;
  try {
    await mkdir(dirname(path), { recursive: true });
    while (!(await create(path, me))) {
      throwIfAborted(options.signal);
      if (await isStale(path)) {
        await rm(path, { force: true });
        continue;
      }
      if (!waited) options.waiting?.();
      waited = true;
      await sleep(POLL, undefined, options.signal && { signal: options.signal }).catch(() => {});
      throwIfAborted(options.signal);
    }
  } catch (error) {
    throw await fileError("lock", path, error);
  }
  const beat = setInterval(() => {
    const now = new Date();
    void utimes(path, now, now).catch(() => {});
  }, HEARTBEAT);
  beat.unref();
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(beat);
      // Someone may have taken it from a holder that slept: then it is theirs.
      const holder = await readFile(path, "utf8").catch(() => "");
      if (holder === me) await rm(path, { force: true });
    },
  };
}

/** False when someone holds the lock. */
async function create(path: string, text: string): Promise<boolean> {
  try {
    await writeFile(path, text, { flag: "wx" });
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    await rm(path, { force: true }); // created, but no room for its text
    throw error;
  }
}

async function isStale(path: string): Promise<boolean> {
  try {
    const [text, info] = await Promise.all([readFile(path, "utf8"), stat(path)]);
    if (Date.now() - info.mtimeMs > STALE) return true;
    const { pid, host } = JSON.parse(text) as { pid?: unknown; host?: unknown };
    return host === hostname() && typeof pid === "number" && !(await isAlive(pid));
  } catch {
    return false; // just released, or just being written
  }
}

async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return errnoOf(error) !== "ESRCH";
  }
  // Linux keeps the number of a process that died until its parent has asked how.
  const state = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "");
  return !/\) [ZX] /.test(state);
}
