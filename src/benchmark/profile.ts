import { invariant, TintypeError } from "../util/errors.js";
import { median } from "./statistics.js";

/*
 * ONNX Runtime's profile of a program, by layer and by operator.
 */

/** One operator in one run; its module is undefined while nobody knows. */
type NamedNode = Omit<ProfiledNode, "path"> & { readonly path: string | undefined };

/** One operator in one run. */
export interface ProfiledNode {
  /** The module that it belongs to, "down_blocks.0.resnets.1.conv1"; "" for the network as a whole. */
  readonly path: string;
  readonly operator: string;
  readonly microseconds: number;
}

/** One run of a program. */
export interface ProfiledRun {
  readonly nodes: readonly ProfiledNode[];
  /** From call to return. */
  readonly microseconds: number;
}

/** Time that belongs together. */
export interface ProfileShare {
  readonly name: string;
  /** Operators. */
  readonly calls: number;
  readonly milliseconds: number;
  /** Of all operators' time. */
  readonly share: number;
  /** What takes most of it: an operator in a list of layers, a layer in a list of operators. */
  readonly mostly: { readonly name: string; readonly share: number };
}

interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  readonly dur: number;
  readonly args?: { readonly op_name?: string };
}

const KERNEL = "_kernel_time";

/** The runs in a profile as ONNX Runtime writes it. Throws "bad-file" for anything else. */
export function readProfile(events: unknown): ProfiledRun[] {
  const isProfile = Array.isArray(events) && events.every((e) => typeof e?.dur === "number");
  if (!isProfile) {
    throw new TintypeError(
      "bad-file",
      "the profile: expected a list of events with durations, as ONNX Runtime writes them, got something else.",
    );
  }
  const runs: ProfiledRun[] = [];
  let nodes: NamedNode[] = [];
  for (const { cat, name, dur, args } of events as ProfileEvent[]) {
    if (cat === "Node" && name.endsWith(KERNEL)) {
      const operator = args?.op_name ?? "unknown";
      nodes.push({ path: moduleOf(name), operator, microseconds: dur });
    } else if (name === "model_run") {
      runs.push({ nodes: enclosed(nodes), microseconds: dur });
      nodes = [];
    }
  }
  return runs;
}

/** What the engine calls nodes that it made of others without weights: "Slice_134/GatherSliceToSplitFusion". */
const NO_MODULE = /^[A-Z]\w*_\d+$/;

/** "conv_in/Conv_11_kernel_time" -> "conv_in": nodes that use weights are named after their module. */
function moduleOf(name: string): string | undefined {
  const end = name.indexOf("/");
  const path = name.slice(0, Math.max(0, end));
  return path === "" || NO_MODULE.test(path) ? undefined : path;
}

/**
 * Nodes without weights (attention's products, activations, residual sums, and what the engine adds)
 * belong to the innermost module around the one that ran before and the one that runs after.
 */
function enclosed(nodes: readonly NamedNode[]): ProfiledNode[] {
  const after: string[] = [];
  for (const { path } of nodes.toReversed()) after.push(path ?? after.at(-1) ?? "");
  let before = "";
  return nodes.map((node) => {
    const next = after.pop()!;
    before = node.path ?? before;
    return { ...node, path: node.path ?? commonModule(before, next) };
  });
}

function commonModule(a: string, b: string): string {
  const [x, y] = [modulesOf(a), modulesOf(b)];
  const differs = x.findIndex((name, i) => name !== y[i]);
  return x.slice(0, differs < 0 ? x.length : differs).join(".");
}

/** "down_blocks.0.attentions.1.proj_in" -> down_blocks.0, attentions.1, proj_in: a number counts for nothing. */
function modulesOf(path: string): string[] {
  return path === "" ? [] : path.split(/\.(?!\d+(?:\.|$))/);
}

/** The run that several of one size come to: of each operator the median time. */
export function typicalRun(runs: readonly ProfiledRun[]): ProfiledRun {
  const [first] = runs;
  invariant(first !== undefined, "no run to be typical");
  invariant(
    runs.every((run) => run.nodes.length === first.nodes.length),
    "runs of one program and size that differ in their operators",
  );
  const nodes = first.nodes.map((node, i) => {
    return { ...node, microseconds: median(runs.map((run) => run.nodes[i]!.microseconds)) };
  });
  return { nodes, microseconds: median(runs.map((run) => run.microseconds)) };
}

/** Microseconds of all operators. */
export function operatorTime({ nodes }: Pick<ProfiledRun, "nodes">): number {
  return nodes.reduce((total, node) => total + node.microseconds, 0);
}

/** Time by module, cut to `depth` modules, the longest first. */
export function timeByLayer(run: ProfiledRun, depth: number): ProfileShare[] {
  return shares(run, layerOf(depth), (node) => node.operator);
}

/**
 * Time by what layers are, wherever they stand: the first attention of all transformer blocks, the first
 * convolution of all ResNet blocks; the longest first.
 */
export function timeByKind(run: ProfiledRun): ProfileShare[] {
  return shares(run, kindOf, (node) => node.operator);
}

/** Time by operator, the longest first, and the layers that use it most, cut to `depth` modules. */
export function timeByOperator(run: ProfiledRun, depth: number): ProfileShare[] {
  return shares(run, (node) => node.operator, layerOf(depth));
}

type Key = (node: ProfiledNode) => string;

const layerOf =
  (depth: number): Key =>
  ({ path }) =>
    modulesOf(path).slice(0, depth).join(".");

/** Modules that hold others: those with a number, and these. */
const CONTAINER = /^(\w+\.\d+|mid_block|encoder|decoder)$/;

/**
 * "down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q" -> "transformer_blocks.attn1";
 * "down_blocks.0.resnets.0", its activations, -> "resnets".
 */
const kindOf: Key = ({ path }) => {
  const modules = modulesOf(path);
  const first = modules.findIndex((name) => !CONTAINER.test(name));
  const held = first < 0 ? [] : [modules[first]!];
  const holder = (first < 0 ? modules.at(-1) : modules[first - 1])?.replace(/\.\d+$/, "");
  return [...(holder === undefined ? [] : [holder]), ...held].join(".");
};

function shares({ nodes }: ProfiledRun, key: Key, part: Key): ProfileShare[] {
  const total = operatorTime({ nodes });
  const rows = [...grouped(nodes, key)].map(([name, group]): ProfileShare => {
    const time = operatorTime({ nodes: group });
    const parts = [...grouped(group, part)].map(([name, of]) => {
      return { name, time: operatorTime({ nodes: of }) };
    });
    const first = parts.reduce((a, b) => (b.time > a.time ? b : a));
    return {
      name,
      calls: group.length,
      milliseconds: time / 1000,
      share: total === 0 ? 0 : time / total,
      mostly: { name: first.name, share: time === 0 ? 0 : first.time / time },
    };
  });
  return rows.sort((a, b) => b.milliseconds - a.milliseconds);
}

function grouped(nodes: readonly ProfiledNode[], key: Key): Map<string, ProfiledNode[]> {
  const groups = new Map<string, ProfiledNode[]>();
  for (const node of nodes) {
    const name = key(node);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [node]);
    else group.push(node);
  }
  return groups;
}
