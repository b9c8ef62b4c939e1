/** One end of a channel between a thread and its worker. */
export interface Port {
  /** Sends a message; `transfer` moves those buffers instead of copying them. */
  post(message: unknown, transfer?: readonly ArrayBuffer[]): void;
  /** Called with every message that arrives; one listener at a time. */
  listen(listener: (message: unknown) => void): void;
}

/** A worker, as its owner sees it. */
export interface WorkerHandle extends Port {
  /** Called once if the worker dies of something other than `terminate`. */
  onDeath(listener: (reason: Error) => void): void;
  /** Whether the process must live on for this worker's sake; platforms without processes have none. */
  keepAlive?(busy: boolean): void;
  terminate(): Promise<void>;
}
