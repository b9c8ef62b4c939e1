import type { Tensor } from "../../tensor/tensor.js";

/*
 * What a data source and its workers say to each other.
 */

/** Where the bytes of one picture lie. */
export interface PictureRef {
  /** Absolute path of the file that holds them. */
  readonly path: string;
  /** What messages call the picture. */
  readonly name: string;
  readonly offset: number;
  readonly length: number;
}

/** How one picture becomes an example. */
export interface Frame {
  /** The picture is scaled until it just covers this size. */
  readonly cover: readonly [width: number, height: number];
  /** What is cut out of it then. */
  readonly size: readonly [width: number, height: number];
  /** Where, from 0 (left, top) to 1 (right, bottom). */
  readonly at: readonly [x: number, y: number];
  readonly flip: boolean;
  readonly resample: "lanczos" | "cubic";
}

/** A square of a painted picture: its side, and where it lies, from 0 to 1. */
export interface Crop {
  readonly side: number;
  readonly at: readonly [x: number, y: number];
}

/** What a worker is asked, and what it answers. */
export interface Jobs {
  /** Sizes of pictures, turned upright; a reason for each that is none. */
  readonly measure: {
    readonly ask: { readonly pictures: readonly PictureRef[] };
    readonly answer: readonly (readonly [width: number, height: number] | string)[];
  };
  /** Pictures as examples of one size. */
  readonly frame: {
    readonly ask: { readonly pictures: readonly PictureRef[]; readonly frames: readonly Frame[] };
    readonly answer: Framed;
  };
  /** Painted pictures and their captions; `crops` one a picture, or none. */
  readonly paint: {
    readonly ask: {
      readonly seeds: readonly number[];
      readonly crops: readonly Crop[];
    };
    readonly answer: { readonly images: Tensor; readonly captions: readonly string[] };
  };
}

export interface Framed {
  /** The pictures that could be read, [n,3,H,W] in [-1,1]; undefined if none could. */
  readonly images: Tensor | undefined;
  /** Why the others could not, by their place among those asked for. */
  readonly broken: ReadonlyMap<number, string>;
}

export type Job = keyof Jobs;

/** A question to a worker. */
export type Question = {
  [J in Job]: { readonly id: number; readonly job: J } & Jobs[J]["ask"];
}[Job];

/** What comes back. */
export type Answer =
  | { readonly id: number; readonly ok: true; readonly value: Jobs[Job]["answer"] }
  | { readonly id: number; readonly ok: false; readonly message: string };
