/** Memory of so many bytes, the same again and again: to find new one takes longer than reading. */
export type Room = (bytes: number) => Uint8Array<ArrayBuffer>;

/** A room, empty until it is used. */
export function room(): Room {
  let whole = new Uint8Array();
  return (bytes) => {
    if (whole.length < bytes) whole = new Uint8Array(bytes);
    return whole.subarray(0, bytes);
  };
}

/** Acts at a place that nobody else is at. */
export type AtPlace<P> = <T>(act: (place: P) => Promise<T>) => Promise<T>;

/** As many places as are used at a time, and none, nor their memory, when none is. */
export function workplaces<P>(make: () => P): AtPlace<P> {
  const idle: P[] = [];
  let busy = 0;
  return async (act) => {
    const place = idle.pop() ?? make();
    busy++;
    try {
      const result = await act(place);
      idle.push(place); // what failed may still be read to
      return result;
    } finally {
      if (--busy === 0) idle.length = 0;
    }
  };
}
