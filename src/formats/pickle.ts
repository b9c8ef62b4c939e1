import {
  broken,
  decimalFloat,
  decimalInteger,
  escapedUnicode,
  i32,
  line,
  longInteger,
  oldString,
  type PickleReader,
  quotedString,
  raw,
  take,
  u8,
  u16,
  u32,
  u64,
  utf8,
} from "./pickleReader.js";
import {
  isGlobal,
  isRecord,
  type PickleCall,
  type PickleGlobal,
  type PickleHost,
  type PickleValue,
} from "./pickleValues.js";

/*
 * An interpreter of Python's pickles that never executes anything: a pickle may name functions and
 * classes, and what a name stands for is decided by a `PickleHost` here, not by Python.
 * Source: CPython Lib/pickletools.py, which describes every opcode.
 */

/*
 * Limits. A pickle of a few kilobytes can ask for any amount of memory or time, so each step costs
 * 1, what allocates costs more, and no more than this may be spent: some seconds, some hundred MB.
 * A checkpoint of 1,500 tensors, more than Stable Diffusion has, spends half a million.
 */
const MAX_COST = 32_000_000;
const CONTAINER_COST = 32;
const SLOT_COST = 8;
const MAX_STACK = 1_000_000;

interface Machine extends PickleReader, PickleCall {
  readonly host: PickleHost;
  readonly stack: PickleValue[];
  /** Heights of the stack at each open MARK. */
  readonly marks: number[];
  readonly memo: Map<number, PickleValue>;
}

/* The stack. */

function push(m: Machine, value: PickleValue): void {
  if (m.stack.length >= MAX_STACK) broken(m, `more than ${MAX_STACK} values on the stack`);
  m.stack.push(value);
}

/** Values above the last MARK are out of reach until the MARK is taken back. */
function checkHeight(m: Machine): void {
  if (m.stack.length <= (m.marks.at(-1) ?? 0)) broken(m, "the stack is empty");
}

function pop(m: Machine): PickleValue {
  checkHeight(m);
  return m.stack.pop()!;
}

function top(m: Machine): PickleValue {
  checkHeight(m);
  return m.stack.at(-1)!;
}

function mark(m: Machine): void {
  m.spend(SLOT_COST);
  m.marks.push(m.stack.length);
}

/** Takes the values above the last MARK, and the MARK. */
function popMark(m: Machine): PickleValue[] {
  const height = m.marks.pop();
  if (height === undefined) return broken(m, "a MARK is missing");
  m.spend(CONTAINER_COST);
  return m.stack.splice(height);
}

function container<T extends PickleValue>(m: Machine, value: T): T {
  m.spend(CONTAINER_COST);
  return value;
}

function tuple(m: Machine, length: number): void {
  const items = container(m, [] as PickleValue[]);
  for (let i = 0; i < length; i++) items.unshift(pop(m));
  push(m, items);
}

function remember(m: Machine, key: number): void {
  m.spend(SLOT_COST);
  m.memo.set(key, top(m));
}

function recall(m: Machine, key: number): void {
  const value = m.memo.get(key);
  if (value === undefined) broken(m, `memo ${key} is empty`);
  push(m, value);
}

function textKey(m: Machine): number {
  const key = decimalInteger(m);
  return typeof key === "number" ? key : broken(m, "a memo key that is no number");
}

/* Filling containers. What goes into a record, whose class may derive from dict or list, is dropped. */

function append(m: Machine, items: readonly PickleValue[]): void {
  const list = top(m);
  if (isRecord(list)) return;
  if (!Array.isArray(list)) broken(m, "items for what is no list");
  for (const item of items) list.push(item);
}

function setItems(m: Machine, items: readonly PickleValue[], dict: PickleValue): void {
  if (items.length % 2 !== 0) broken(m, "a key without a value");
  if (isRecord(dict)) return;
  if (!(dict instanceof Map)) broken(m, "items for what is no dict");
  for (let i = 0; i < items.length; i += 2) dict.set(items[i]!, items[i + 1]!);
}

function addItems(m: Machine, items: readonly PickleValue[]): void {
  const set = top(m);
  if (!(set instanceof Set)) broken(m, "items for what is no set");
  for (const item of items) set.add(item);
}

function dictOf(m: Machine, items: readonly PickleValue[]): PickleValue {
  const dict = new Map<PickleValue, PickleValue>();
  setItems(m, items, dict);
  return dict;
}

/* Naming and making things. */

function call(m: Machine, target: PickleValue, args: PickleValue): void {
  if (!isGlobal(target)) broken(m, "it calls what is no function");
  if (!Array.isArray(args)) broken(m, "a call without arguments");
  const { name, make } = target;
  if (make === undefined) broken(m, `${name} cannot be called`);
  m.spend(CONTAINER_COST);
  push(m, make(args, m));
}

function stackGlobal(m: Machine): void {
  const name = pop(m);
  const module = pop(m);
  if (typeof name !== "string" || typeof module !== "string") broken(m, "a name that is no text");
  push(m, m.host.find(module, name));
}

function markedCall(m: Machine, found: PickleGlobal | undefined): void {
  const args = popMark(m);
  const target = found ?? args.shift();
  if (target === undefined) broken(m, "a class is missing");
  call(m, target, args);
}

/** The state of a record is kept, that of anything else (attributes of a dict, hooks) is dropped. */
function build(m: Machine): void {
  const state = pop(m);
  const target = top(m);
  if (isRecord(target)) target.state = state;
}

function newObjectEx(m: Machine): void {
  pop(m); // keyword arguments
  const args = pop(m);
  call(m, pop(m), args);
}

function swapCall(m: Machine): void {
  const args = pop(m);
  call(m, pop(m), args);
}

function protocol(m: Machine): void {
  const version = u8(m);
  if (version > 5) broken(m, `protocol ${version}, newer than 5`);
}

type Op = (m: Machine) => void;

/** One row per opcode. Without: EXT1-4 and the buffers of protocol 5, which need the writer's process. */
const OPS: Readonly<Record<number, Op>> = {
  40: mark, // ( MARK
  48: (m) => void (m.stack.length === m.marks.at(-1) ? m.marks.pop() : pop(m)), // 0 POP
  49: (m) => void popMark(m), // 1 POP_MARK
  50: (m) => push(m, top(m)), // 2 DUP
  70: (m) => push(m, decimalFloat(m)), // F FLOAT
  73: (m) => push(m, decimalInteger(m)), // I INT
  74: (m) => push(m, i32(m)), // J BININT
  75: (m) => push(m, u8(m)), // K BININT1
  76: (m) => push(m, decimalInteger(m)), // L LONG
  77: (m) => push(m, u16(m)), // M BININT2
  78: (m) => push(m, null), // N NONE
  80: (m) => push(m, m.host.load(line(m))), // P PERSID
  81: (m) => push(m, m.host.load(pop(m))), // Q BINPERSID
  82: swapCall, // R REDUCE
  83: (m) => push(m, quotedString(m)), // S STRING
  84: (m) => push(m, oldString(raw(m, i32(m)))), // T BINSTRING
  85: (m) => push(m, oldString(raw(m, u8(m)))), // U SHORT_BINSTRING
  86: (m) => push(m, escapedUnicode(m)), // V UNICODE
  88: (m) => push(m, utf8(m, u32(m))), // X BINUNICODE
  66: (m) => push(m, raw(m, u32(m))), // B BINBYTES
  67: (m) => push(m, raw(m, u8(m))), // C SHORT_BINBYTES
  71: (m) => push(m, m.view.getFloat64(take(m, 8), false)), // G BINFLOAT
  97: (m) => append(m, [pop(m)]), // a APPEND
  98: build, // b BUILD
  99: (m) => push(m, m.host.find(line(m), line(m))), // c GLOBAL
  100: (m) => push(m, dictOf(m, popMark(m))), // d DICT
  101: (m) => append(m, popMark(m)), // e APPENDS
  103: (m) => recall(m, textKey(m)), // g GET
  104: (m) => recall(m, u8(m)), // h BINGET
  105: (m) => markedCall(m, m.host.find(line(m), line(m))), // i INST
  106: (m) => recall(m, u32(m)), // j LONG_BINGET
  108: (m) => push(m, popMark(m)), // l LIST
  111: (m) => markedCall(m, undefined), // o OBJ
  112: (m) => remember(m, textKey(m)), // p PUT
  113: (m) => remember(m, u8(m)), // q BINPUT
  114: (m) => remember(m, u32(m)), // r LONG_BINPUT
  115: (m) => setItems(m, [pop(m), pop(m)].reverse(), top(m)), // s SETITEM
  116: (m) => push(m, popMark(m)), // t TUPLE
  117: (m) => setItems(m, popMark(m), top(m)), // u SETITEMS
  125: (m) => push(m, container(m, new Map())), // } EMPTY_DICT
  93: (m) => push(m, container(m, [])), // ] EMPTY_LIST
  41: (m) => tuple(m, 0), // ) EMPTY_TUPLE
  128: protocol, // PROTO
  129: swapCall, // NEWOBJ
  133: (m) => tuple(m, 1), // TUPLE1
  134: (m) => tuple(m, 2), // TUPLE2
  135: (m) => tuple(m, 3), // TUPLE3
  136: (m) => push(m, true), // NEWTRUE
  137: (m) => push(m, false), // NEWFALSE
  138: (m) => push(m, longInteger(m, u8(m))), // LONG1
  139: (m) => push(m, longInteger(m, i32(m))), // LONG4
  140: (m) => push(m, utf8(m, u8(m))), // SHORT_BINUNICODE
  141: (m) => push(m, utf8(m, u64(m))), // BINUNICODE8
  142: (m) => push(m, raw(m, u64(m))), // BINBYTES8
  143: (m) => push(m, container(m, new Set())), // EMPTY_SET
  144: (m) => addItems(m, popMark(m)), // ADDITEMS
  145: (m) => push(m, new Set(popMark(m))), // FROZENSET
  146: newObjectEx, // NEWOBJ_EX
  147: stackGlobal, // STACK_GLOBAL
  148: (m) => remember(m, m.memo.size), // MEMOIZE
  149: (m) => void take(m, 8), // FRAME
  150: (m) => push(m, raw(m, u64(m))), // BYTEARRAY8
};

const STOP = 0x2e;

/**
 * Interprets the pickle that begins at `start`; `end` is the byte behind it. Protocols 0 to 5.
 * Throws `PickleCutError` when the bytes end early, "bad-file" for nonsense and for a pickle that
 * wants absurd time or memory, and whatever `host` throws.
 */
export function unpickle(
  who: string,
  bytes: Uint8Array<ArrayBuffer>,
  start: number,
  host: PickleHost,
): { value: PickleValue; end: number } {
  let spent = 0;
  const spend = (cost: number): void => {
    spent += cost;
    if (spent > MAX_COST) broken(m, "it asks for more work than any checkpoint does");
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fail = (what: string): never => broken(m, what);
  const state = { stack: [], marks: [], memo: new Map<number, PickleValue>(), at: start };
  const m: Machine = { who, bytes, view, host, spend, fail, ...state };
  for (;;) {
    spend(1);
    const code = u8(m);
    if (code === STOP) return { value: pop(m), end: m.at };
    const op = OPS[code];
    if (op === undefined) return broken(m, `opcode 0x${code.toString(16)} is not known`);
    op(m);
  }
}
