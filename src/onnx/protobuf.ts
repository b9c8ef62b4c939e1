/**
 * A protobuf message being written: fields are appended in order. Only what ONNX and TensorBoard need.
 * Wire format: https://protobuf.dev/programming-guides/encoding
 */
export class Message {
  #bytes = new Uint8Array(64);
  #length = 0;

  /** An integer field: int32, int64, enum. Negative numbers take ten bytes, as int64 does. */
  int(field: number, value: number | bigint): this {
    return this.#tag(field, 0).#varint(value);
  }

  /** A float field, 32 bits. */
  float(field: number, value: number): this {
    this.#tag(field, 5);
    this.#room(4);
    new DataView(this.#bytes.buffer).setFloat32(this.#length, value, true);
    this.#length += 4;
    return this;
  }

  /** A double field, 64 bits. */
  double(field: number, value: number): this {
    this.#tag(field, 1);
    this.#room(8);
    new DataView(this.#bytes.buffer).setFloat64(this.#length, value, true);
    this.#length += 8;
    return this;
  }

  string(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  bytes(field: number, value: Uint8Array): this {
    this.#tag(field, 2).#varint(value.length);
    this.#room(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  message(field: number, value: Message): this {
    return this.bytes(field, value.#bytes.subarray(0, value.#length));
  }

  /** The message so far. */
  encode(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  #tag(field: number, wireType: number): this {
    return this.#varint((field << 3) | wireType);
  }

  #varint(value: number | bigint): this {
    this.#room(10);
    // Sizes and most numbers need no 64 bits, which are slow.
    const isShort = typeof value === "number" && value >= 0 && value < 2 ** 31;
    return isShort ? this.#short(value) : this.#long(BigInt.asUintN(64, BigInt(value)));
  }

  #short(value: number): this {
    let rest = value;
    for (; rest > 0x7f; rest >>>= 7) this.#bytes[this.#length++] = (rest & 0x7f) | 0x80;
    this.#bytes[this.#length++] = rest;
    return this;
  }

  #long(value: bigint): this {
    let rest = value;
    for (; rest > 0x7fn; rest >>= 7n) {
      this.#bytes[this.#length++] = Number(rest & 0x7fn) | 0x80;
    }
    this.#bytes[this.#length++] = Number(rest);
    return this;
  }

  /** Makes room for so many bytes more. */
  #room(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}
