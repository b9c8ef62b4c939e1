export * from "./clip/config.js";
export * from "./clip/model.js";
export * from "./judge/config.js";
export * from "./judge/model.js";
export * from "./unet/config.js";
export * from "./unet/model.js";
export * from "./vae/config.js";
export * from "./vae/model.js";
