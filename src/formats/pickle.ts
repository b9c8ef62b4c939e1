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
 * A checkpoint of 1,500 tensors spends half a million.
 */
const MAX_COST = 32_000_000;
const OBJECT_COST = 32;
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
  m.spend(OBJECT_COST);
  return m.stack.splice(height);
}

/** A value that takes memory of its own. */
function object<T extends PickleValue>(m: Machine, value: T): T {
  m.spend(OBJECT_COST);
  return value;
}

function tuple(m: Machine, length: number): void {
  const items = object(m, [] as PickleValue[]);
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
  m.spend(OBJECT_COST);
  push(m, make(args, m));
}

function stackGlobal(m: Machine): void {
  const name = pop(m);
  const module = pop(m);
  if (typeof name !== "string" || typeof module !== "string") broken(m, "a name that is no text");
  push(m, object(m, m.host.find(module, name)));
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

function reduce(m: Machine): void {
  const args = pop(m);
  call(m, pop(m), args);
}

function protocol(m: Machine): void {
  const version = u8(m);
  if (version > 5) broken(m, `protocol ${version}, newer than 5`);
}

type Op = (m: Machine) => void;

/** One row per opcode. Without: EXT1-4 and the buffers of protocol 5, which need the writer's process. */
const OPS: ReadonlyMap<number, Op> = new Map<number, Op>([
  [0x28, mark], // ( MARK
  [0x30, (m) => void (m.stack.length === m.marks.at(-1) ? m.marks.pop() : pop(m))], // 0 POP
  [0x31, (m) => void popMark(m)], // 1 POP_MARK
  [0x32, (m) => push(m, top(m))], // 2 DUP
  [0x46, (m) => push(m, object(m, decimalFloat(m)))], // F FLOAT
  [0x49, (m) => push(m, object(m, decimalInteger(m)))], // I INT
  [0x4a, (m) => push(m, i32(m))], // J BININT
  [0x4b, (m) => push(m, u8(m))], // K BININT1
  [0x4c, (m) => push(m, object(m, decimalInteger(m)))], // L LONG
  [0x4d, (m) => push(m, u16(m))], // M BININT2
  [0x4e, (m) => push(m, null)], // N NONE
  [0x50, (m) => push(m, object(m, m.host.load(line(m))))], // P PERSID
  [0x51, (m) => push(m, object(m, m.host.load(pop(m))))], // Q BINPERSID
  [0x52, reduce], // R REDUCE
  [0x53, (m) => push(m, object(m, quotedString(m)))], // S STRING
  [0x54, (m) => push(m, object(m, oldString(raw(m, i32(m)))))], // T BINSTRING
  [0x55, (m) => push(m, object(m, oldString(raw(m, u8(m)))))], // U SHORT_BINSTRING
  [0x56, (m) => push(m, object(m, escapedUnicode(m)))], // V UNICODE
  [0x58, (m) => push(m, object(m, utf8(m, u32(m))))], // X BINUNICODE
  [0x42, (m) => push(m, object(m, raw(m, u32(m))))], // B BINBYTES
  [0x43, (m) => push(m, object(m, raw(m, u8(m))))], // C SHORT_BINBYTES
  [0x47, (m) => push(m, m.view.getFloat64(take(m, 8), false))], // G BINFLOAT
  [0x61, (m) => append(m, [pop(m)])], // a APPEND
  [0x62, build], // b BUILD
  [0x63, (m) => push(m, object(m, m.host.find(line(m), line(m))))], // c GLOBAL
  [0x64, (m) => push(m, dictOf(m, popMark(m)))], // d DICT
  [0x65, (m) => append(m, popMark(m))], // e APPENDS
  [0x67, (m) => recall(m, textKey(m))], // g GET
  [0x68, (m) => recall(m, u8(m))], // h BINGET
  [0x69, (m) => markedCall(m, m.host.find(line(m), line(m)))], // i INST
  [0x6a, (m) => recall(m, u32(m))], // j LONG_BINGET
  [0x6c, (m) => push(m, popMark(m))], // l LIST
  [0x6f, (m) => markedCall(m, undefined)], // o OBJ
  [0x70, (m) => remember(m, textKey(m))], // p PUT
  [0x71, (m) => remember(m, u8(m))], // q BINPUT
  [0x72, (m) => remember(m, u32(m))], // r LONG_BINPUT
  [0x73, (m) => setItems(m, [pop(m), pop(m)].reverse(), top(m))], // s SETITEM
  [0x74, (m) => push(m, popMark(m))], // t TUPLE
  [0x75, (m) => setItems(m, popMark(m), top(m))], // u SETITEMS
  [0x7d, (m) => push(m, object(m, new Map()))], // } EMPTY_DICT
  [0x5d, (m) => push(m, object(m, []))], // ] EMPTY_LIST
  [0x29, (m) => tuple(m, 0)], // ) EMPTY_TUPLE
  [0x80, protocol], // PROTO
  [0x81, reduce], // NEWOBJ
  [0x85, (m) => tuple(m, 1)], // TUPLE1
  [0x86, (m) => tuple(m, 2)], // TUPLE2
  [0x87, (m) => tuple(m, 3)], // TUPLE3
  [0x88, (m) => push(m, true)], // NEWTRUE
  [0x89, (m) => push(m, false)], // NEWFALSE
  [0x8a, (m) => push(m, object(m, longInteger(m, u8(m))))], // LONG1
  [0x8b, (m) => push(m, object(m, longInteger(m, i32(m))))], // LONG4
  [0x8c, (m) => push(m, object(m, utf8(m, u8(m))))], // SHORT_BINUNICODE
  [0x8d, (m) => push(m, object(m, utf8(m, u64(m))))], // BINUNICODE8
  [0x8e, (m) => push(m, object(m, raw(m, u64(m))))], // BINBYTES8
  [0x8f, (m) => push(m, object(m, new Set()))], // EMPTY_SET
  [0x90, (m) => addItems(m, popMark(m))], // ADDITEMS
  [0x91, (m) => push(m, new Set(popMark(m)))], // FROZENSET
  [0x92, newObjectEx], // NEWOBJ_EX
  [0x93, stackGlobal], // STACK_GLOBAL
  [0x94, (m) => remember(m, m.memo.size)], // MEMOIZE
  [0x95, (m) => void take(m, 8)], // FRAME
  [0x96, (m) => push(m, object(m, raw(m, u64(m))))], // BYTEARRAY8
]);

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
    const op = OPS.get(code);
    if (op === undefined) return broken(m, `opcode 0x${code.toString(16)} is not known`);
    op(m);
  }
}
