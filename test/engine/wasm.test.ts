import { engineSuite } from "./suite.js";

await engineSuite("in WebAssembly", { device: "wasm" }, { operators: 2e-6, networks: 1e-5 });
