import { TintypeError } from "../util/errors.js";
import { isRecord, type PickleValue } from "./pickleValues.js";
import { isTensor, type TorchTensor } from "./torchGlobals.js";

/** The deepest nesting of dicts and lists that a checkpoint may have. */
const MAX_DEPTH = 32;

/**
 * A pickle can hold a dict that contains itself, or one that is shared so often that walking it
 * never ends. Each visit costs 1 and the length of the name; 1,500 tensors cost some hundred thousand.
 */
const MAX_COST = 16_000_000;

type Visit = (name: string, value: PickleValue) => void;

function keyName(key: PickleValue): string | undefined {
  if (typeof key === "string") return key;
  return typeof key === "number" || typeof key === "bigint" ? String(key) : undefined;
}

/** Named children of a value: of dicts, lists, and the parameters of a pickled ParameterDict. */
function children(value: PickleValue): Iterable<readonly [PickleValue, PickleValue]> | undefined {
  if (value instanceof Map) return value;
  if (Array.isArray(value)) return value.entries();
  if (!isRecord(value) || !value.name.endsWith(".ParameterDict")) return undefined;
  const parameters = value.state instanceof Map ? value.state.get("_parameters") : undefined;
  return parameters instanceof Map ? parameters : undefined;
}

/** Visits all leaves below `root`, under the path of their keys, joined by dots. */
function walk(who: string, root: PickleValue, visit: Visit): void {
  let spent = 0;
  const descend = (path: string, value: PickleValue, depth: number): void => {
    if (depth > MAX_DEPTH || spent > MAX_COST) {
      throw new TintypeError(
        "bad-file",
        `${who}: its contents nest deeper or wider than any checkpoint does. Get the .safetensors version.`,
      );
    }
    const below = children(value);
    if (below === undefined) visit(path, value);
    for (const [key, child] of below ?? []) {
      const name = keyName(key);
      spent += 1 + path.length + (name?.length ?? 0);
      if (name !== undefined) descend(path === "" ? name : `${path}.${name}`, child, depth + 1);
    }
  };
  descend("", root, 0);
}

function scalarText(value: PickleValue): string | undefined {
  if (typeof value === "string") return value;
  const isScalar = ["number", "bigint", "boolean"].includes(typeof value);
  return isScalar ? String(value) : undefined;
}

/** The tensors and the scalars of an unpickled checkpoint, nested names joined by dots. */
export function flattenCheckpoint(
  who: string,
  root: PickleValue,
): {
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  readonly metadata: Readonly<Record<string, string>>;
} {
  const tensors = new Map<string, TorchTensor>();
  const metadata = new Map<string, string>();
  const nested = root instanceof Map ? root.get("state_dict") : undefined;
  const weights = nested instanceof Map ? nested : root;
  walk(who, weights, (name, value) => {
    if (!isTensor(value) || value === root) return;
    if (tensors.has(name)) {
      const message = `${who}: two tensors are called ${JSON.stringify(name)}. The file is damaged.`;
      throw new TintypeError("bad-file", message);
    }
    tensors.set(name, value);
  });
  walk(who, root, (name, value) => {
    const text = scalarText(value);
    if (text !== undefined) metadata.set(name, text);
  });
  if (tensors.size > 0) return { tensors, metadata: Object.fromEntries(metadata) };
  throw new TintypeError(
    "bad-file",
    `${who}: expected a dict of tensors, and it holds none. It is not a model's checkpoint.`,
  );
}
