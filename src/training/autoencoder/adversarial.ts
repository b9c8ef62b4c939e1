import { grad } from "../../graph/grad.js";
import * as op from "../../graph/ops.js";
import type { Value } from "../../graph/value.js";
import { clamp, mean, norm, relu, total } from "../losses.js";
import type { AutoencoderTerms } from "./loss.js";

/** What the adversarial term adds to a step of the autoencoder; scalars. */
export interface AdversarialTerms {
  /** What is minimised: its gradient is to be taken, its value means nothing. */
  readonly surrogate: Value;
  /** The value of the whole loss. */
  readonly loss: Value;
  /** -mean D(reconstruction). */
  readonly generator: Value;
  /** What `generator` counts with: the ratio of both gradients, times the given weight. */
  readonly adversarialWeight: Value;
}

/**
 * The loss with `weight` * d * -mean D(reconstruction), where d = |grad nll| / (|grad g| + 1e-4) at
 * the decoder's last weight, at most 1e4, is taken as a number. `last` is that weight. Both gradients
 * are taken to the picture once, and their sum goes on from there. Source: Rombach et al. 2022,
 * appendix G, eq. 25; CompVis/latent-diffusion, calculate_adaptive_weight.
 */
export function withAdversary(
  { reconstruction, nll, rest, loss }: Omit<AutoencoderTerms, "metrics">,
  logits: Value,
  last: Value,
  weight: number,
): AdversarialTerms {
  const generator = op.neg(mean(logits));
  const [byNll] = grad(nll, [reconstruction]);
  const [byGenerator] = grad(generator, [reconstruction]);
  const at = (direction: Value): Value => norm(grad(along(reconstruction, direction), [last])[0]!);
  const ratio = op.div(at(byNll!), op.add(at(byGenerator!), 1e-4));
  const adversarialWeight = op.detach(op.mul(clamp(ratio, 0, 1e4), weight));
  const both = op.add(byNll!, op.mul(byGenerator!, adversarialWeight));
  const surrogate = along(reconstruction, both);
  return {
    surrogate: rest ? op.add(surrogate, rest) : surrogate,
    loss: op.add(loss, op.mul(generator, adversarialWeight)),
    generator,
    adversarialWeight,
  };
}

/** A number whose gradient at x is `direction`. */
function along(x: Value, direction: Value): Value {
  return total(op.mul(x, op.detach(direction)));
}

/** What a discriminator minimises: ((1 - D(real))+ + (1 + D(fake))+) / 2. Source: Lim & Ye 2017. */
export function hingeLoss(real: Value, fake: Value): Value {
  const wrong = op.add(mean(relu(op.sub(1, real))), mean(relu(op.add(1, fake))));
  return op.mul(wrong, 0.5);
}
