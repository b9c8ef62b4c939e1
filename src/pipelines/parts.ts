/** The programs of a model, each loaded when it is first needed. */
export type Part = "text" | "unet" | "encoder" | "decoder";

/** What people read while a part is loaded. */
export const PART_TITLES: Readonly<Record<Part, string>> = {
  text: "text encoder",
  unet: "UNet",
  encoder: "VAE encoder",
  decoder: "VAE decoder",
};
