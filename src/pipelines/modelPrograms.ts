import type { Component, ModelFiles } from "../checkpoints/index.js";
import type { Graph } from "../graph/graph.js";
import type { Params } from "../nn/params.js";
import type { DeviceName, Program } from "../runtime/engine.js";
import { decoderGraph } from "./graphs.js";
import type { ProgramKey } from "./handover.js";
import { type Int8Mode, type Int8Part, int8Program } from "./int8.js";
import { honest, observed, overRanges } from "./int8Runs.js";
import type { Part } from "./parts.js";
import type { PartForm, ProgramSource } from "./programShelf.js";
import type { Shortcuts } from "./shortcuts.js";
import { type TiledPart, type TileProgram, tileGraph } from "./tileGraphs.js";
import {
  formName,
  handsOn,
  programsOf,
  type UNetForm,
  type UNetProgram,
  unetProgramGraph,
} from "./unetPrograms.js";

/** What the parts of a model are made of. */
export interface ModelPrograms {
  /** Parts of one program, which has the part's name. */
  readonly whole: Readonly<Record<Exclude<Part, "unet">, PartForm>>;
  /** The UNet with these shortcuts. */
  unet(shortcuts: Shortcuts): PartForm & { readonly unet: UNetForm };
  /** An encoder or a decoder that works in tiles: programs by the names of `TileProgram`. */
  readonly tiled: Readonly<Record<TiledPart, PartForm>>;
  /** Graphs of a part: those of the UNet with these shortcuts. */
  graphs(part: Part, shortcuts: Shortcuts): readonly Graph[];
}

/** How a model is computed. */
export interface ModelProgramsOptions {
  readonly device: DeviceName;
  readonly int8?: Int8Mode | undefined;
  /** Whether keys and values of a text are a program of their own; by default on a CPU. */
  readonly textApart?: boolean | undefined;
}

/** The programs of a model in floats or in 8 bits; `graphs` are those of its parts in floats. */
export function modelPrograms(
  files: ModelFiles,
  graphs: Readonly<Record<Exclude<Part, "unet">, Graph>>,
  { device, int8, textApart = device === "cpu" || device === "wasm" }: ModelProgramsOptions,
): ModelPrograms {
  const observes = int8 !== undefined && "peaks" in int8;
  const float = (part: Exclude<Part, "unet">, { weights }: Component<unknown>): PartForm => ({
    form: "",
    source: () => ({ graph: graphs[part], weights }),
  });
  const decoder = (mode: Int8Mode): PartForm => {
    const key = { part: "decoder", form: "", name: "decoder" } as const;
    let source: ProgramSource | undefined;
    return {
      form: key.form,
      source: () =>
        (source ??= int8Source(files, mode, key, (p) => decoderGraph(files.vae.config, p))),
    };
  };
  const whole = {
    text: float("text", files.text),
    encoder: float("encoder", files.vae),
    decoder: int8 ? decoder(int8) : float("decoder", files.vae),
  };
  const tiled = (part: TiledPart): PartForm => ({
    form: "tiles",
    source(name) {
      const trace = (p?: Params): Graph =>
        tileGraph(part, name as TileProgram, files.vae.config, p);
      return part === "decoder" && int8
        ? int8Source(files, int8, { part, form: "tiles", name }, trace)
        : { graph: trace(), weights: files.vae.weights };
    },
  });
  const traced = new Map<string, ProgramSource>();
  const unet: ModelPrograms["unet"] = ({ deepCache, mergeTokens }) => {
    // What layers give is observed in the network as it is.
    const form: UNetForm = observes
      ? { mergeTokens: 1, textApart }
      : { branch: deepCache?.branch, mergeTokens, textApart };
    const trace = (name: string, p?: Params): Graph =>
      unetProgramGraph(name as UNetProgram, files.unet.config, form, p);
    const source = (name: string): ProgramSource => {
      const key = `${formName(form)}: ${name}`;
      const known =
        traced.get(key) ??
        (int8
          ? int8Source(files, int8, { part: "unet", form: formName(form), name }, (p) =>
              trace(name, p),
            )
          : {
              graph: trace(name),
              weights: files.unet.weights,
              handsOn: handsOn(name as UNetProgram),
            });
      traced.set(key, known);
      return known;
    };
    return { form: formName(form), source, unet: form };
  };
  return {
    whole,
    unet,
    tiled: { encoder: tiled("encoder"), decoder: tiled("decoder") },
    graphs(part, shortcuts) {
      if (part !== "unet") return [whole[part].source(part).graph];
      const { source, unet: form } = unet(shortcuts);
      return programsOf(form).map((name) => source(name).graph);
    },
  };
}

function int8Source(
  files: ModelFiles,
  mode: Int8Mode,
  key: ProgramKey & { readonly part: Int8Part },
  trace: (p: Params) => Graph,
): ProgramSource {
  const { limit, handover } = mode;
  const { part } = key;
  const int8 = int8Program(files, part, limit, trace);
  const { plain, graph, weights } = int8;
  const ranging = (program: Program): Program =>
    "ranges" in mode
      ? overRanges(program, int8, mode.ranges[part])
      : observed(handover?.lent(key, program) ?? program, int8, mode.peaks[part]);
  return {
    graph: plain,
    loads: graph,
    weights,
    ...(handover && "ranges" in mode ? { loaded: () => handover.take(key) } : {}),
    wrap: (program) => honest(ranging(program)),
  };
}
