/* The thread that owns the engine's sessions, as a file of its own for the page to start. */
import "../src/runtime/browser/worker.js";
