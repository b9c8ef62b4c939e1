import type { Dim } from "../graph/dim.js";
import * as op from "../graph/ops.js";
import type { Value } from "../graph/value.js";

/**
 * Sinusoidal embedding of timesteps t [B] -> [B, width]: cos and sin of t / 10000^(i / (half - shift)).
 * `flipSinToCos` puts the cosines first. Vaswani et al. 2017; diffusers get_timestep_embedding.
 */
export function timestepEmbedding(
  t: Value,
  width: number,
  { flipSinToCos, freqShift }: { flipSinToCos: boolean; freqShift: number },
): Value {
  const half = Math.floor(width / 2);
  const frequencies = Float32Array.from({ length: half }, (_, i) =>
    Math.exp((-Math.log(10000) * i) / (half - freqShift)),
  );
  const batch = t.shape[0] as Dim;
  const angles = op.mul(op.reshape(t, [batch, 1]), op.constant([1, half], frequencies)); // [B, half]
  const [sin, cos] = [op.sin(angles), op.cos(angles)];
  const embedding = op.concat(flipSinToCos ? [cos, sin] : [sin, cos], 1);
  return width % 2 === 0
    ? embedding
    : op.pad(embedding, [
        [0, 0],
        [0, 1],
      ]);
}
