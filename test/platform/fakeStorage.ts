// An origin private file system in memory, for tests outside a browser: the part that Tintype uses.

const fail = (name: string): never => {
  throw new DOMException(name, name);
};

class FakeFile {
  readonly kind = "file";
  bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  readonly room: number;

  constructor(room: number) {
    this.room = room;
  }

  async getFile(): Promise<Blob> {
    return new Blob([this.bytes]);
  }

  async createWritable({ keepExistingData = false } = {}): Promise<unknown> {
    let draft = keepExistingData ? this.bytes.slice() : new Uint8Array(0);
    let end = 0;
    const resize = (size: number): void => {
      if (size > this.room) fail("QuotaExceededError");
      const next = new Uint8Array(size);
      next.set(draft.subarray(0, size));
      draft = next;
    };
    return {
      truncate: async (size: number) => resize(size),
      write: async (
        data: Uint8Array | { readonly position: number; readonly data: Uint8Array },
      ) => {
        const [at, bytes] = "position" in data ? [data.position, data.data] : [end, data];
        if (at + bytes.byteLength > draft.byteLength) resize(at + bytes.byteLength);
        draft.set(bytes, at);
        end = at + bytes.byteLength;
      },
      close: async () => {
        this.bytes = draft;
      },
      abort: async () => {},
    };
  }
}

class FakeFolder {
  readonly kind = "directory";
  readonly children = new Map<string, FakeFolder | FakeFile>();
  readonly room: number;

  constructor(room: number) {
    this.room = room;
  }

  keys(): AsyncGenerator<string> {
    return this.#each(([name]) => name);
  }

  entries(): AsyncGenerator<[string, FakeFolder | FakeFile]> {
    return this.#each((entry) => entry);
  }

  async *#each<T>(pick: (entry: [string, FakeFolder | FakeFile]) => T): AsyncGenerator<T> {
    for (const entry of this.children) yield pick(entry);
  }

  async getDirectoryHandle(name: string, { create = false } = {}): Promise<FakeFolder> {
    if (create && !this.children.has(name)) this.children.set(name, new FakeFolder(this.room));
    const child = this.children.get(name) ?? fail("NotFoundError");
    return child instanceof FakeFolder ? child : fail("TypeMismatchError");
  }

  async getFileHandle(name: string, { create = false } = {}): Promise<FakeFile> {
    if (create && !this.children.has(name)) this.children.set(name, new FakeFile(this.room));
    const child = this.children.get(name) ?? fail("NotFoundError");
    if (!(child instanceof FakeFile)) return fail("TypeMismatchError");
    const move = async (folder: FakeFolder, to: string): Promise<void> => {
      this.children.delete(name);
      folder.children.set(to, child);
    };
    return Object.assign(child, { move });
  }

  async removeEntry(name: string): Promise<void> {
    if (!this.children.delete(name)) fail("NotFoundError");
  }
}

/** A root folder whose files hold at most `room` bytes each. */
export function fakeStorage(room: number = Number.POSITIVE_INFINITY): FileSystemDirectoryHandle {
  return new FakeFolder(room) as unknown as FileSystemDirectoryHandle;
}
