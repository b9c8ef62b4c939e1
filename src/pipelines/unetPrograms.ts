import { type Dim, symbol } from "../graph/dim.js";
import { type Graph, graphOf } from "../graph/graph.js";
import { input } from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import { changedAttention, textFeatures } from "../models/unet/attentionHooks.js";
import { placeOf, skipCount, type UNetConfig } from "../models/unet/config.js";
import { deep, shallowDown, shallowUp, type UNetHooks, unet } from "../models/unet/model.js";
import type { KeysAndValues } from "../nn/attention.js";
import { denseParams } from "../nn/layers.js";
import type { Params } from "../nn/params.js";

/** How the UNet is made of programs, and what its attention leaves out. */
export interface UNetForm {
  /** The skip connection where it is cut in three, so that deep features can be kept; whole without. */
  readonly branch?: number | undefined;
  /** Side of the cells of pixels that are one key and value at the finest level with attention; 1: none are merged. */
  readonly mergeTokens: number;
  /** Whether keys and values of the text are worked out by a program of their own. */
  readonly textApart: boolean;
}

/** The programs of a form, which follow one another: text, then unet, or down, deep and up. */
export type UNetProgram = "text" | "unet" | "down" | "deep" | "up";

/** Says which form this is. */
export function formName({ branch, mergeTokens, textApart }: UNetForm): string {
  return `branch ${branch ?? "none"}, merge ${mergeTokens}, text ${textApart ? "apart" : "inside"}`;
}

/** Programs of a form in the order that they run in. */
export function programsOf({ branch, textApart }: UNetForm): readonly UNetProgram[] {
  const parts: readonly UNetProgram[] = branch === undefined ? ["unet"] : ["down", "deep", "up"];
  return textApart ? ["text", ...parts] : parts;
}

/** Whether what a program gives is for others alone, and new in each step. */
export function handsOn(program: UNetProgram): boolean {
  return program === "down" || program === "deep";
}

/** Traces one program of the UNet. Each asks for some of what the others give. */
export function unetProgramGraph(
  program: UNetProgram,
  config: UNetConfig,
  form: UNetForm,
  p: Params = denseParams(),
): Graph {
  const fed = inputsOf(config);
  const { branch = 0 } = form;
  const hooks = hooksOf(config, form);
  switch (program) {
    case "text":
      return graphOf(named(textFeatures(p, config, fed.context)));
    case "unet":
      return graphOf({ prediction: unet(p, config, fed, hooks) });
    case "down": {
      const { temb, skips } = shallowDown(p, config, fed, branch, hooks);
      return graphOf({ temb, ...Object.fromEntries(skips.map((v, i) => [`skip.${i}`, v])) });
    }
    case "deep": {
      const { context, picture } = fed;
      const given = { ...between(config, branch), context, picture };
      return graphOf({ features: deep(p, config, given, branch, hooks) });
    }
    case "up": {
      const { temb, skips } = between(config, branch);
      const features = input("features", featuresShape(config, branch));
      const { context, picture } = fed;
      const given = { temb, skips, features, context, picture };
      return graphOf({ prediction: shallowUp(p, config, given, branch, hooks) });
    }
  }
}

/** Texts, tokens of a text, and pictures. */
const [b, n, pictures] = [symbol("b"), symbol("n"), symbol("p")];

/** Sides of pictures at a level: symbols of their own, so that any program may be the first to see them. */
function sidesOf(level: number): readonly [Dim, Dim] {
  return level === 0 ? [symbol("h"), symbol("w")] : [symbol(`h${level}`), symbol(`w${level}`)];
}

/** Values of the symbols for latents of this size. */
export function unetBindings(height: number, width: number): Record<string, number> {
  const bindings: Record<string, number> = { h: height, w: width };
  for (let level = 1; level < 8; level++) {
    bindings[`h${level}`] = Math.ceil(height / 2 ** level);
    bindings[`w${level}`] = Math.ceil(width / 2 ** level);
  }
  return bindings;
}

/** x [p,C,h,w], t [p], context [b,n,D], picture [b] */
function inputsOf(config: UNetConfig) {
  return {
    x: input("x", [pictures, config.inChannels, ...sidesOf(0)]),
    t: input("t", [pictures]),
    context: input("context", [b, n, config.crossAttentionDim]),
    picture: input("picture", [b], "int"),
  };
}

/** What the way down hands on: the time embedding and the first skip connections. */
function between(config: UNetConfig, branch: number) {
  const skips = Array.from({ length: branch + 1 }, (_, skip): Value => {
    const { channels, level } = placeOf(config, skip);
    const batch = knowsText(config, skip) ? b : pictures;
    return input(`skip.${skip}`, [batch, channels, ...sidesOf(level)]);
  });
  return { temb: input("temb", [pictures, 4 * config.blockOutChannels[0]!]), skips };
}

/** Whether a skip connection comes after a layer that looks at the text. */
function knowsText(config: UNetConfig, skip: number): boolean {
  const before = Array.from({ length: skip }, (_, i) => placeOf(config, i + 1));
  return before.some(({ level, place }) => place > 0 && config.blocks[level] === "crossAttention");
}

/** Deep features: as large as the skip connection that they meet, with the channels of their level. */
function featuresShape(config: UNetConfig, branch: number): readonly Dim[] {
  const deeper = Math.min(branch + 1, skipCount(config) - 1);
  const channels = config.blockOutChannels[placeOf(config, deeper).level]!;
  return [b, channels, ...sidesOf(placeOf(config, branch).level)];
}

function hooksOf(config: UNetConfig, { mergeTokens, textApart }: UNetForm): UNetHooks {
  if (mergeTokens === 1 && !textApart) return {};
  const text = (path: string, channels: number): KeysAndValues => ({
    k: input(`${path}.k`, [b, n, channels]),
    v: input(`${path}.v`, [b, n, channels]),
  });
  return {
    attention: changedAttention(config, { mergeTokens, text: textApart ? text : undefined }),
  };
}

function named(features: ReadonlyMap<string, KeysAndValues>): Record<string, Value> {
  const outputs: Record<string, Value> = {};
  for (const [path, { k, v }] of features)
    Object.assign(outputs, { [`${path}.k`]: k, [`${path}.v`]: v });
  return outputs;
}
