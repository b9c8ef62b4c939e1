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
