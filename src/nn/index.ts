export * from "./attention.js";
export * from "./layers.js";
export * from "./params.js";
export * from "./resnet.js";
export * from "./timestep.js";
