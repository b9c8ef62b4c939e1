import type { StoredTensor, StoredTensors } from "../tensor/stored.js";
import { invariant } from "../util/errors.js";

/**
 * How a tensor is seen under its canonical name, its bytes left where they are: a 1x1 convolution
 * as a linear layer, or one third of the rows (OpenCLIP stacks queries, keys and values).
 */
export type View = "linear" | 0 | 1 | 2;

/** One row of a key map: a key, or a module and all keys below it, in both dialects. */
export interface KeyRule {
  /** Canonical name: diffusers' for UNet and VAE, transformers' for the text encoder. */
  readonly ours: string;
  /** The name in the file's dialect. */
  readonly theirs: string;
  readonly view?: View;
}

/** A name in the other dialect, and how the tensor is seen there. */
export interface Named {
  readonly name: string;
  readonly view?: View;
}

/** A reversible map between the keys of a dialect and the canonical ones. */
export interface KeyMap {
  /** Canonical names of a key: several where the file stacks tensors, none where it is unknown. */
  toOurs(key: string): readonly Named[];
  /** The file's key for a canonical name. */
  toTheirs(name: string): Named | undefined;
}

type Index = ReadonlyMap<string, readonly KeyRule[]>;

function indexBy(rules: readonly KeyRule[], side: "ours" | "theirs"): Index {
  const index = new Map<string, KeyRule[]>();
  for (const rule of rules) {
    const same = index.get(rule[side]);
    if (same === undefined) index.set(rule[side], [rule]);
    else same.push(rule);
  }
  return index;
}

/** The rules of the longest module that holds `key`, and the rest of the key below it. */
function find(index: Index, key: string): readonly [readonly KeyRule[], string] {
  for (let end = key.length; end > 0; end = key.lastIndexOf(".", end - 1)) {
    const rules = index.get(key.slice(0, end));
    if (rules !== undefined) return [rules, key.slice(end)];
  }
  return [[], ""];
}

function named(name: string, rule: KeyRule): Named {
  return rule.view === undefined ? { name } : { name, view: rule.view };
}

/** The map that `rules` describe. Of several modules that hold a key, the longest decides. */
export function keyMap(rules: readonly KeyRule[]): KeyMap {
  const ours = indexBy(rules, "ours");
  const theirs = indexBy(rules, "theirs");
  return {
    toOurs(key) {
      const [found, rest] = find(theirs, key);
      return found.map((rule) => named(rule.ours + rest, rule));
    },
    toTheirs(name) {
      const [[rule], rest] = find(ours, name);
      return rule && named(rule.theirs + rest, rule);
    },
  };
}

/** The same bytes with another shape. */
export function reshaped(tensor: StoredTensor, shape: readonly number[]): StoredTensor {
  const size = (s: readonly number[]) => s.reduce((n, d) => n * d, 1);
  invariant(size(shape) === size(tensor.shape), `reshape [${tensor.shape}] to [${shape}]`);
  return { ...tensor, shape };
}

/** Rows `[part * n, (part + 1) * n)` of a tensor of `parts * n` rows. */
export function rowSlice(tensor: StoredTensor, part: number, parts: number): StoredTensor {
  const [rows, ...rest] = tensor.shape;
  invariant(rows !== undefined && rows % parts === 0, `split [${tensor.shape}] into ${parts}`);
  const length = tensor.length / parts;
  return {
    ...tensor,
    shape: [rows / parts, ...rest],
    offset: tensor.offset + part * length,
    length,
  };
}

/** The tensor as `view` sees it; a shape that the view does not fit is left for the checks. */
export function viewed(tensor: StoredTensor, view: View | undefined): StoredTensor {
  const { shape } = tensor;
  if (view === undefined) return tensor;
  if (view !== "linear") {
    return (shape[0] ?? 0) % 3 === 0 && shape.length > 0 ? rowSlice(tensor, view, 3) : tensor;
  }
  const isConv1x1 = shape.length > 2 && shape.slice(2).every((d) => d === 1);
  return isConv1x1 ? reshaped(tensor, shape.slice(0, 2)) : tensor; // [O,I,1,1] -> [O,I]
}

/** What a key map makes of a file's tensors. */
export interface Mapped {
  /** By canonical name. */
  readonly weights: StoredTensors;
  /** Keys that the map does not know, or that give a name twice. */
  readonly unknown: readonly string[];
}

/** Names `tensors` canonically. */
export function mapKeys(map: KeyMap, tensors: StoredTensors): Mapped {
  const weights = new Map<string, StoredTensor>();
  const unknown: string[] = [];
  for (const [key, tensor] of tensors) {
    const names = map.toOurs(key);
    if (names.length === 0 || names.some((n) => weights.has(n.name))) unknown.push(key);
    else for (const { name, view } of names) weights.set(name, viewed(tensor, view));
  }
  return { weights, unknown };
}

/** The tensors whose keys start with `prefix`, under the rest of their keys. */
export function below(tensors: StoredTensors, prefix: string): StoredTensors {
  const out = new Map<string, StoredTensor>();
  for (const [key, tensor] of tensors) {
    if (key.startsWith(prefix)) out.set(key.slice(prefix.length), tensor);
  }
  return out;
}
