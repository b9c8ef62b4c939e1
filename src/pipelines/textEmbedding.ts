import { readTensor } from "../tensor/convert.js";
import { DTYPE_BYTES } from "../tensor/dtype.js";
import type { StoredTensor } from "../tensor/stored.js";
import { type Tensor, zeros } from "../tensor/tensor.js";
import { counted } from "../util/counted.js";
import { check } from "../util/errors.js";

/**
 * Rows of an embedding table for token ids -> [batch, N, width], read from the file row by row: a
 * prompt needs some ten of fifty thousand. Throws "mismatch" for an id that the table lacks.
 */
export async function lookUpTokens(
  table: StoredTensor,
  batch: readonly Int32Array[],
  file: string,
): Promise<Tensor> {
  const [rows, width] = table.shape as [number, number];
  const rowBytes = width * DTYPE_BYTES[table.dtype];
  const wanted = new Set(batch.flatMap((ids) => [...ids]));
  const read = new Map<number, Tensor["data"]>();
  for (const id of wanted) {
    check(
      id >= 0 && id < rows,
      "mismatch",
      `${file}: the tokenizer has a token ${id}, but the text encoder's table has ${counted(rows, "row")}. ` +
        "They belong to different models.",
    );
    const offset = table.offset + id * rowBytes;
    const row: StoredTensor = { ...table, shape: [width], offset, length: rowBytes };
    read.set(id, (await readTensor(row)).data);
  }
  const tokens = batch[0]!.length;
  const out = zeros([batch.length, tokens, width]);
  batch.forEach((ids, i) => {
    ids.forEach((id, j) => {
      out.data.set(read.get(id)!, (i * tokens + j) * width);
    });
  });
  return out;
}
