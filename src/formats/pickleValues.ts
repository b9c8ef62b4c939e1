/** Anything that is no plain value: a named global, an opaque record, a tensor. */
export interface PickleObject {
  readonly kind: string;
}

/** What a pickle can hold. Lists and tuples are arrays; dicts are Maps, in the order of insertion. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array<ArrayBuffer>
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | Set<PickleValue>
  | PickleObject;

/** What a call inside a pickle may do. */
export interface PickleCall {
  /** Takes `cost` from what the pickle may still spend; throws when it is used up. */
  spend(cost: number): void;
  /** Throws "bad-file", naming the file. */
  fail(what: string): never;
}

/** A function or class that a pickle names. `make` is our own account of what calling it gives. */
export interface PickleGlobal extends PickleObject {
  readonly kind: "global";
  readonly name: string;
  readonly make?: (args: readonly PickleValue[], call: PickleCall) => PickleValue;
}

/** An instance of a class that is only kept: nothing of the class is run. */
export interface PickleRecord extends PickleObject {
  readonly kind: "record";
  readonly name: string;
  readonly args: readonly PickleValue[];
  /** What its `__dict__` was. */
  state: PickleValue;
}

/** What stands outside the pickle. Both throw for what they do not know. */
export interface PickleHost {
  find(module: string, name: string): PickleGlobal;
  load(persistentId: PickleValue): PickleValue;
}

/** Is this a value of its own kind, rather than a plain one? */
export function isObject(value: PickleValue): value is PickleObject {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return !(value instanceof Map || value instanceof Set || value instanceof Uint8Array);
}

export function isGlobal(value: PickleValue): value is PickleGlobal {
  return isObject(value) && value.kind === "global";
}

export function isRecord(value: PickleValue): value is PickleRecord {
  return isObject(value) && value.kind === "record";
}
