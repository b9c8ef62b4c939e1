import { engineSuite } from "./suite.js";

await engineSuite("on the CPU", { device: "cpu" }, { operators: 2e-6, networks: 1e-5 });
