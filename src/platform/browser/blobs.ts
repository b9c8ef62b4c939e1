import { type ByteSource, checkRange, type Folder } from "../../util/bytes.js";
import { TintypeError } from "../../util/errors.js";
import { missingInFolder } from "../paths.js";

/** A Blob, or a File that the user picked or dropped; bytes are read when asked for. */
export function blobSource(blob: Blob, name: string = nameOf(blob)): ByteSource {
  return {
    name,
    size: blob.size,
    async read(offset, length) {
      checkRange(name, blob.size, offset, length);
      try {
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      } catch (cause) {
        throw new TintypeError(
          "io",
          `cannot read ${name}: the file changed or went away since it was chosen. Choose it again.`,
          { cause },
        );
      }
    },
  };
}

function nameOf(blob: Blob): string {
  return "name" in blob && typeof blob.name === "string" ? blob.name : "blob";
}

/**
 * The folder that a user chose with `<input type="file" webkitdirectory>`: paths are relative to
 * it. Files without a folder count as lying in it.
 */
export function fileListFolder(files: Iterable<File>): Folder {
  const byPath = new Map<string, File>();
  let name = "chosen files";
  for (const file of files) {
    const [top, ...inner] = file.webkitRelativePath?.split("/") ?? [];
    const path = inner.length > 0 ? inner.join("/") : file.name;
    if (inner.length > 0) name = top!;
    if (!path.split("/").some((part) => part.startsWith("."))) byPath.set(path, file);
  }
  const paths = [...byPath.keys()].sort();
  return {
    name,
    list: () => Promise.resolve(paths),
    open(path) {
      const file = byPath.get(path);
      if (file === undefined) return Promise.reject(missingInFolder(name, path, paths));
      return Promise.resolve(blobSource(file, `${name}/${path}`));
    },
  };
}
