import type { DType } from "../tensor/dtype.js";
import { TintypeError } from "../util/errors.js";
import {
  isGlobal,
  type PickleCall,
  type PickleGlobal,
  type PickleObject,
  type PickleRecord,
  type PickleValue,
} from "./pickleValues.js";

/** A storage that a checkpoint names: `numel` elements from element `start` of the one called `key`. */
export interface TorchStorage extends PickleObject {
  readonly kind: "storage";
  readonly key: string;
  readonly dtype: DType;
  readonly start: number;
  readonly numel: number;
  /** Elements of the whole storage, of which this may be a view. */
  readonly whole: number;
}

/** A tensor over a storage; `offset` and `stride` count elements of `dtype`. */
export interface TorchTensor extends PickleObject {
  readonly kind: "tensor";
  readonly storage: TorchStorage;
  readonly dtype: DType;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
}

type Make = NonNullable<PickleGlobal["make"]>;

const STORAGES: Readonly<Record<string, DType>> = {
  DoubleStorage: "f64",
  FloatStorage: "f32",
  HalfStorage: "f16",
  BFloat16Storage: "bf16",
  LongStorage: "i64",
  IntStorage: "i32",
  ShortStorage: "i16",
  CharStorage: "i8",
  ByteStorage: "u8",
  BoolStorage: "bool",
};

const DTYPES: Readonly<Record<string, DType>> = {
  float64: "f64",
  double: "f64",
  float32: "f32",
  float: "f32",
  float16: "f16",
  half: "f16",
  bfloat16: "bf16",
  int64: "i64",
  long: "i64",
  int32: "i32",
  int: "i32",
  int16: "i16",
  short: "i16",
  int8: "i8",
  uint8: "u8",
  uint16: "u16",
  uint32: "u32",
  uint64: "u64",
  bool: "bool",
  float8_e4m3fn: "f8e4m3",
  float8_e5m2: "f8e5m2",
};

/** The dtype that a storage class of `torch` or `torch.cuda` holds; untyped ones hold bytes. */
export function storageDtype(value: PickleValue): DType | undefined {
  if (!isGlobal(value)) return undefined;
  if (UNTYPED.has(value.name)) return "u8";
  const name = /^torch\.(?:cuda\.)?(\w+)$/.exec(value.name)?.[1] ?? "";
  return Object.hasOwn(STORAGES, name) ? STORAGES[name] : undefined;
}

const UNTYPED: ReadonlySet<string> = new Set([
  "torch.UntypedStorage",
  "torch.storage.UntypedStorage",
  "torch.storage._UntypedStorage",
]);

function isKind<T extends PickleObject>(
  value: PickleValue | undefined,
  kind: T["kind"],
): value is T {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === kind;
}

/** Is this a tensor? */
export function isTensor(value: PickleValue): value is TorchTensor {
  return isKind<TorchTensor>(value, "tensor");
}

function sizes(call: PickleCall, value: PickleValue | undefined, what: string): readonly number[] {
  const isSizes = Array.isArray(value) && value.length <= 64 && value.every(isSize);
  if (!isSizes) call.fail(`a tensor's ${what} must be whole numbers from 0 on`);
  return value as number[];
}

function isSize(value: PickleValue | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function makeTensor(
  args: readonly PickleValue[],
  call: PickleCall,
  dtype: DType | undefined,
): TorchTensor {
  const [storage, offset, shape, stride] = args;
  if (!isKind<TorchStorage>(storage, "storage")) return call.fail("a tensor without a storage");
  if (!isSize(offset)) return call.fail("a tensor's offset must be a whole number from 0 on");
  const tensor: TorchTensor = {
    kind: "tensor",
    storage,
    dtype: dtype ?? storage.dtype,
    offset,
    shape: sizes(call, shape, "shape"),
    stride: sizes(call, stride, "stride"),
  };
  if (tensor.shape.length !== tensor.stride.length)
    call.fail("a tensor's shape and stride differ in length");
  return tensor;
}

/** (storage, offset, shape, stride, requires_grad, hooks, metadata?) */
const rebuildTensor: Make = (args, call) => {
  const flags = args[6];
  if (flags instanceof Map && (flags.get("neg") === true || flags.get("conj") === true)) {
    call.fail("a tensor is a lazy negative or conjugate view, which is not supported");
  }
  return makeTensor(args, call, undefined);
};

/** (storage, offset, shape, stride, requires_grad, hooks, dtype, metadata?), over untyped bytes. */
const rebuildTensorV3: Make = (args, call) => {
  const dtype = args[6];
  const name = dtype !== undefined && isGlobal(dtype) ? dtype.name.replace(/^torch\./, "") : "";
  if (!Object.hasOwn(DTYPES, name))
    return call.fail("a tensor's dtype is missing or not supported");
  return makeTensor(args, call, DTYPES[name]);
};

/** (function, class, arguments, state): a tensor with Python attributes, which are dropped. */
const rebuildFromType: Make = ([rebuild, , args], call) => {
  const isRebuild = rebuild !== undefined && isGlobal(rebuild) && TENSOR_MAKERS.has(rebuild.name);
  if (!isRebuild || !Array.isArray(args))
    return call.fail("a tensor is put together in an unknown way");
  return TENSOR_MAKERS.get(rebuild.name)!(args, call);
};

const first: Make = ([value], call) => value ?? call.fail("a call without arguments");

const TENSOR_MAKERS: ReadonlyMap<string, Make> = new Map([
  ["torch._utils._rebuild_tensor", rebuildTensor],
  ["torch._utils._rebuild_tensor_v2", rebuildTensor],
  ["torch._utils._rebuild_tensor_v3", rebuildTensorV3],
  ["torch._utils._rebuild_parameter", first],
  ["torch._utils._rebuild_parameter_with_state", first],
]);

/** OrderedDict(), or from a list of pairs, as Python 2 wrote it. */
const makeDict: Make = ([pairs], call) => {
  if (pairs instanceof Map) {
    call.spend(pairs.size);
    return new Map(pairs);
  }
  const dict = new Map<PickleValue, PickleValue>();
  if (!Array.isArray(pairs)) return dict;
  call.spend(pairs.length);
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2) return call.fail("a dict of what is no pairs");
    dict.set(pair[0]!, pair[1]!);
  }
  return dict;
};

const makeList: Make = ([items], call) => {
  if (!Array.isArray(items)) return [];
  call.spend(items.length);
  return [...items];
};

const makeSet: Make = ([items], call) => {
  if (!Array.isArray(items)) return new Set();
  call.spend(items.length);
  return new Set(items);
};

/** Protocol 2 writes bytes as _codecs.encode(text, "latin1"). */
const encode: Make = ([text, codec], call) => {
  if (typeof text !== "string" || codec !== "latin1")
    return call.fail("_codecs.encode of no latin1 text");
  call.spend(text.length);
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
};

/** Numbers and text of a class that Python's own types stand for. */
const scalar: Make = ([value]) => value ?? null;

const CONTAINERS: ReadonlyMap<string, Make> = new Map([
  ["collections.OrderedDict", makeDict],
  ["collections.defaultdict", () => new Map()],
  ["collections.Counter", makeDict],
  ["builtins.dict", makeDict],
  ["builtins.list", makeList],
  ["builtins.tuple", makeList],
  ["builtins.set", makeSet],
  ["builtins.frozenset", makeSet],
  ["builtins.int", scalar],
  ["builtins.float", scalar],
  ["builtins.bool", scalar],
  ["builtins.str", scalar],
  ["_codecs.encode", encode],
  ["torch.Size", makeList],
]);

/** Classes whose instances are kept unread: what trainers leave in a checkpoint beside the weights. */
const RECORDS: ReadonlySet<string> = new Set([
  "builtins.object",
  "argparse.Namespace",
  "typing.Any",
  "pathlib.Path",
  "pathlib.PosixPath",
  "pathlib.WindowsPath",
  "datetime.datetime",
  "datetime.timedelta",
  "numpy.dtype",
  "numpy.ndarray",
  "numpy.core.multiarray.scalar",
  "numpy.core.multiarray._reconstruct",
  "numpy._core.multiarray.scalar",
  "numpy._core.multiarray._reconstruct",
  "torch.device",
  "torch.Tensor",
  "torch.nn.parameter.Parameter",
  "torch.nn.modules.container.ParameterDict",
]);

/** Packages of trainers and their configuration, all of whose classes are kept unread. */
const RECORD_PACKAGES: readonly string[] = [
  "pytorch_lightning.",
  "lightning.",
  "lightning_fabric.",
  "omegaconf.",
];

/** Python 2 called it __builtin__; otherwise the name as it stands. */
function qualified(module: string, name: string): string {
  return `${module === "__builtin__" ? "builtins" : module}.${name}`;
}

function makeRecord(name: string): Make {
  return (args) => ({ kind: "record", name, args, state: null }) satisfies PickleRecord;
}

/** copy_reg._reconstructor(class, base, state), by which protocols 0 and 1 make an object. */
const reconstruct: Make = ([type], call) => {
  if (type === undefined || !isGlobal(type)) return call.fail("an object without a class");
  return { kind: "record", name: type.name, args: [], state: null } satisfies PickleRecord;
};

function makerOf(path: string): Make | undefined {
  if (path === "torch._tensor._rebuild_from_type_v2") return rebuildFromType;
  if (path === "copy_reg._reconstructor" || path === "copyreg._reconstructor") return reconstruct;
  const made = TENSOR_MAKERS.get(path) ?? CONTAINERS.get(path);
  if (made !== undefined) return made;
  const isKept = RECORDS.has(path) || RECORD_PACKAGES.some((prefix) => path.startsWith(prefix));
  return isKept ? makeRecord(path) : undefined;
}

function isName(path: string): boolean {
  const name = /^torch\.(\w+)$/.exec(path)?.[1] ?? "";
  return Object.hasOwn(DTYPES, name);
}

/**
 * What a name in a checkpoint's pickle stands for. Throws "unsupported" for every name that is not
 * on the list; nothing is ever looked up in a running Python.
 */
export function findTorchGlobal(who: string, module: string, name: string): PickleGlobal {
  const path = qualified(module, name);
  const plain: PickleGlobal = { kind: "global", name: path };
  if (storageDtype(plain) !== undefined || isName(path)) return plain;
  const make = makerOf(path);
  if (make !== undefined) return { ...plain, make };
  const shown = path.length > 100 ? `${path.slice(0, 97)}...` : path;
  throw new TintypeError(
    "unsupported",
    `${who}: its pickle asks for ${shown}, which is not on the list of harmless globals; nothing ` +
      "was executed. Get the .safetensors version of this model; do not load this file elsewhere " +
      "unless you trust who made it.",
  );
}
