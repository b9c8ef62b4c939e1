import type { ByteSource, Folder } from "../util/bytes.js";

/** What a path leads to, symbolic links followed. */
export interface FileStat {
  readonly kind: "file" | "folder";
  /** Bytes; 0 for a folder. */
  readonly size: number;
  /** When it was last written, milliseconds since 1970, where the platform knows. */
  readonly modified?: number;
}

/** An open file that is being written. Its methods throw "io" when the disk is full or refuses. */
export interface Sink {
  write(chunk: Uint8Array): Promise<void>;
  /** Returns once what was written is on the disk. */
  close(): Promise<void>;
}

/** The pieces of a file, in order. */
export type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * The files that a platform can keep: a disk, or a browser's private storage. Paths have forward
 * slashes. Errors are "not-found" and "io", and name the path and the fix.
 */
export interface Files {
  /** Undefined when nothing is there, or a broken link. */
  stat(path: string): Promise<FileStat | undefined>;
  /** Names directly inside a folder, sorted; none when it does not exist. */
  list(path: string): Promise<readonly string[]>;
  makeFolder(path: string): Promise<void>;
  /**
   * Writes a whole file or nothing: to a temporary file beside it, flushed, then renamed. An error,
   * an abort or a full disk leaves what was there before.
   */
  writeAtomically(path: string, chunks: Chunks, options?: WriteOptions): Promise<void>;
  /** Opens a file for writing, keeping its first `keep` bytes; makes it when it is not there. */
  append(path: string, keep: number): Promise<Sink>;
  /** Moves a file over whatever file is there; on a disk also a folder, to where nothing is. */
  rename(from: string, to: string, options?: Pick<WriteOptions, "durable">): Promise<void>;
  /** Removes a file, if it is there. */
  remove(path: string): Promise<void>;
  /** Removes a folder with all that is in it, if it is there. */
  removeFolder(path: string): Promise<void>;
  /**
   * Makes `path` show the file at `target`: a relative symbolic link, else a hard link, a copy, or
   * a move, whichever the file system has first. An existing `path` is replaced.
   */
  link(target: string, path: string): Promise<void>;
  /** Free bytes where `path` lies or would lie; undefined when nobody knows. */
  freeSpace(path: string): Promise<number | undefined>;
}

/** Options of `Files.writeAtomically`. */
export interface WriteOptions {
  /** Whether the file outlives a power cut; true by default, and slow for what is large. */
  readonly durable?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A running hash of bytes. */
export interface Hasher {
  update(chunk: Uint8Array): void;
  /** Lower-case hexadecimal. */
  digest(): Promise<string>;
}

/** What the rest of Tintype may ask of the place it runs in; always an argument, never imported. */
export interface Platform {
  readonly name: "node" | "browser";
  /** The home folder, "" where there is none. */
  readonly home: string;
  /** Folder for what Tintype can derive again: compiled graphs, prepacked weights. */
  readonly cacheDir: string;
  /** Bytes of memory that this process could still take; undefined where nobody knows. */
  availableMemory(): number | undefined;
  /** An environment variable; undefined when unset or empty. */
  env(name: string): string | undefined;
  readonly fetch: typeof fetch;
  readonly files: Files;
  /** The absolute form of a path or URL that a user gave; `~/` is the home folder. */
  resolve(ref: string): string;
  /** What a path or URL that a user gave leads to; undefined when nothing is there. */
  stat(ref: string): Promise<FileStat | undefined>;
  /** Opens a file by path or URL. `name` is what messages call it, `ref` by default. */
  openFile(ref: string, name?: string): Promise<ByteSource>;
  /** Opens a folder by path or URL. `name` is what messages call it, `ref` by default. */
  openFolder(ref: string, name?: string): Promise<Folder>;
  hash(algorithm: "sha1" | "sha256"): Hasher;
  /**
   * Waits until no other process or tab holds the lock of this name, and takes it. A holder that
   * died loses it. `waiting` is called once if there is a wait.
   */
  lock(path: string, options?: LockOptions): Promise<AsyncDisposable>;
}

/** Options of `Platform.lock`. */
export interface LockOptions {
  readonly signal?: AbortSignal | undefined;
  readonly waiting?: (() => void) | undefined;
}
