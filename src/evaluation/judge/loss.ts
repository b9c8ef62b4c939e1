import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import type { JudgeConfig } from "../../models/judge/config.js";
import { judgeMapSize } from "../../models/judge/config.js";
import type { Judgement } from "../../models/judge/model.js";
import { logSumExp, total } from "../../training/losses.js";

/** What is right, as the graph takes it: inputs "target.where", "target.scene.time"... */
export interface Targets {
  /** 1 where the middle of a thing of a kind is, 0 elsewhere [B,K,h,w]. */
  readonly where: Value;
  /** One-hot rows [B,answers]. */
  readonly scene: Readonly<Record<string, Value>>;
  /** One-hot rows [B,K,answers]; zeros where a kind has no answer. */
  readonly kinds: Readonly<Record<string, Value>>;
}

/** The inputs of a training graph for `batch` pictures. */
export function targetInputs(config: JudgeConfig, batch: number): Targets {
  const size = judgeMapSize(config);
  const kinds = config.kinds.length;
  const rows = (group: string, questions: JudgeConfig["kindQuestions"], shape: readonly number[]) =>
    Object.fromEntries(
      Object.entries(questions).map(([name, { length }]) => [
        name,
        op.input(`target.${group}.${name}`, [...shape, length]),
      ]),
    );
  return {
    where: op.input("target.where", [batch, kinds, size, size]),
    scene: rows("scene", config.sceneQuestions, [batch]),
    kinds: rows("kinds", config.kindQuestions, [batch, kinds]),
  };
}

/** Of the map beside a question: it is a guide, and its loss at the beginning is large. */
const WHERE_WEIGHT = 0.5;

/**
 * The sum of all questions' cross entropies and of the map's, each a mean over pictures; `terms` are
 * its parts: "time_loss"...
 */
export function judgeLoss(
  judgement: Judgement,
  targets: Targets,
): { readonly loss: Value; readonly terms: Readonly<Record<string, Value>> } {
  const each = 1 / (judgement.features.shape[0] as number);
  const map = binaryCrossEntropy(judgement.where, targets.where);
  const terms: Record<string, Value> = { where_loss: op.mul(map, WHERE_WEIGHT * each) };
  for (const group of ["scene", "kinds"] as const) {
    for (const [name, logits] of Object.entries(judgement[group])) {
      terms[`${name}_loss`] = op.mul(crossEntropy(logits, targets[group][name]!), each);
    }
  }
  return { loss: Object.values(terms).reduce((sum, term) => op.add(sum, term)), terms };
}

/** -sum(target log softmax(logits)); rows of zeros count nothing. */
function crossEntropy(logits: Value, target: Value): Value {
  return total(op.mul(target, op.sub(logSumExp(logits), logits)));
}

/** -sum(t log s(x) + (1 - t) log(1 - s(x))), written so that nothing overflows. */
function binaryCrossEntropy(x: Value, target: Value): Value {
  const softplus = op.log(op.add(1, op.exp(op.neg(op.abs(x)))));
  return total(op.add(op.sub(op.max(x, 0), op.mul(x, target)), softplus));
}
