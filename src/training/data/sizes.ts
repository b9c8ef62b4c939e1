import { check } from "../../util/errors.js";
import type { Stepped } from "./types.js";

/** Throws "bad-argument" for pictures that do not divide into latents of factor x factor pixels. */
export function checkSizes({ sizes }: Pick<Stepped<unknown>, "sizes">, factor: number): void {
  const odd = sizes.find(([width, height]) => width % factor !== 0 || height % factor !== 0);
  check(
    odd === undefined,
    "bad-argument",
    `data: pictures of ${odd?.join("x")} do not divide into latents of ${factor}x${factor} pixels. ` +
      `Set the data's crop, or else its resolution and multipleOf, to multiples of ${factor}.`,
  );
}
