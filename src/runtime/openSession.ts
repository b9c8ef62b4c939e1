import type { Graph } from "../graph/graph.js";
import { type LoweredGraph, lower } from "../onnx/lower.js";
import { encodeModel } from "../onnx/model.js";
import type { StoredTensor, StoredTensors } from "../tensor/stored.js";
import { type BlockedSetup, inBlocks } from "./blocks.js";
import type { CompleteSpec } from "./cache/programs.js";
import { type Client, loadSession } from "./client.js";
import { explained } from "./explain.js";
import type { SessionSpec } from "./protocol.js";
import type { DeviceSetup } from "./setup.js";
import { placeWeights, sessionSpec, unchanged, weightOf } from "./weights.js";

/** Settings of one program. */
export interface LoadOptions {
  /** What messages and the cache call it: "unet of stable-diffusion-v1-5". */
  readonly label: string;
  /** Computes in float32 even where the device would take half precision. */
  readonly fullPrecision?: boolean;
  /** Writes what each operator took, as ONNX Runtime's profile, to PROFILE_date.json when it is disposed. */
  readonly profile?: string | undefined;
  /** Whether the compiled program is needed just once and not kept on disk. */
  readonly once?: boolean | undefined;
  /** Whether its results are for other programs alone: on devices that can, they stay there then. */
  readonly handsOn?: boolean | undefined;
}

/** What sessions of one engine are made with. */
export interface Workshop {
  readonly client: Client;
  readonly setup: DeviceSetup;
  /** Asks the worker, once. */
  readonly blocks: () => Promise<BlockedSetup | undefined>;
}

/** A session, and what it must be fed beside the graph's inputs. */
export interface OpenSession extends Pick<LoweredGraph, "shapeFeeds" | "buffers"> {
  readonly session: number;
}

/**
 * A session over a graph's weights: in blocks where they can be kept so, or as they are. Throws "mismatch"
 * when one is missing.
 */
export async function openSession(
  workshop: Workshop,
  graph: Graph,
  weights: StoredTensors,
  options: LoadOptions,
): Promise<OpenSession> {
  const { client, setup } = workshop;
  const { label, once = false } = options;
  const origin = [...graph.params.keys()].map((name) => weightOf(label, weights, name));
  const opened = async (): Promise<OpenSession> => {
    const isKept = !once && setup.cache?.keeps(origin) === true;
    const overBlocks = isKept ? await openBlocks(workshop, graph, weights, options) : undefined;
    if (overBlocks) return overBlocks;
    const { lowered, spec, complete } = specOver(setup, graph, weights, options);
    const settled = async (): Promise<CompleteSpec | undefined> => {
      const files = await setup.cache?.settle(client, weights);
      return (
        files && { ...files, spec: await specOver(setup, graph, files.weights, options).complete() }
      );
    };
    const { session } = setup.cache
      ? await setup.cache.load(client, { label, weights: origin, once, spec, complete, settled })
      : await loadSession(client, await complete());
    return { ...lowered, session };
  };
  return await explained(label, setup.name, () => unchanged(origin, opened));
}

/** A session over weights in blocks; undefined where there are none, or they cannot be kept. */
async function openBlocks(
  { client, setup, blocks }: Workshop,
  graph: Graph,
  weights: StoredTensors,
  options: LoadOptions,
): Promise<OpenSession | undefined> {
  const blocked = await blocks();
  const wanted = blocked && inBlocks(graph, weights, blocked);
  const kept =
    wanted && (await setup.cache?.keep(client, { label: options.label, weights: wanted }));
  if (!blocked || !kept) return undefined;
  const { lowered, spec } = specOver({ ...setup, rules: blocked.rules }, graph, kept, options);
  // Convolutions' weights are in order, and linear layers are no faster over packed ones.
  const config = { ...spec.config, "session.disable_prepacking": "1" };
  const { session } = await loadSession(client, { ...spec, config, optimization: "extended" });
  return { ...lowered, session };
}

/** What a session over these weights is made of, and how to complete it with those in no file. */
function specOver(
  setup: DeviceSetup,
  graph: Graph,
  weights: StoredTensors,
  { label, fullPrecision = false, profile, handsOn = false }: LoadOptions,
) {
  const compute = fullPrecision ? "f32" : setup.compute;
  const { place, blobs } = placeWeights(label, weights, { mapsFiles: setup.mapsFiles, compute });
  const lowered = lower(graph, { rules: setup.rules, compute, weight: place });
  const used = [...graph.params.keys()].map((name) => weights.get(name)!);
  const spec = sessionSpec(setup, encodeModel(lowered.onnx), [], {
    config: waiting(setup, used),
    profile,
    resident: handsOn && setup.keepsResults === true,
    optimization: optimizationOf(used),
  });
  return { lowered, spec, complete: async () => ({ ...spec, blobs: await blobs() }) };
}

/**
 * Convolutions of floats are worth the seconds that the engine takes to lay out their weights anew. A
 * program in 8 bits has next to none.
 */
function optimizationOf(weights: readonly StoredTensor[]): SessionSpec["optimization"] {
  return weights.some(({ dtype }) => dtype === "i8") ? "extended" : "all";
}

const SPINNING = "session.intra_op.allow_spinning";

/** Bytes of weights up to which a program's pieces of work are over in no time. */
const SMALL = 64 * 2 ** 20;

/**
 * How threads of the CPU wait for their next piece of work. Those that spin take the processor from
 * each other, and from other programs, for as long as they wait: a small program then took six times
 * as long on a busy machine.
 */
function waiting(
  { name, config }: DeviceSetup,
  weights: readonly StoredTensor[],
): SessionSpec["config"] {
  if (SPINNING in config) return {};
  const bytes = weights.reduce((n, { length }) => n + length, 0);
  return name === "cpu" && bytes < SMALL ? { [SPINNING]: "0" } : {};
}
