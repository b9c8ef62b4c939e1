import { invariant } from "../util/errors.js";
import type { Client } from "./client.js";
import type { Request } from "./protocol.js";

/** One of several workers. */
interface Member {
  readonly client: Client;
  /** Requests that it has not answered. */
  pending: number;
}

/** A session, where it lives and what it is called there. */
interface Place {
  readonly member: Member;
  readonly session: number;
}

/**
 * One client of up to `most` workers, which `start` starts when they are needed. Loading keeps one core
 * busy, so programs that are asked for at once are loaded side by side; running keeps all busy, so
 * programs run in turn, and are freed in turn with that. Weights are made by all. Stores, and sessions over them, live with the first worker.
 */
export function clientPool(start: () => Client, most: number): Client {
  const members: Member[] = [];
  const places = new Map<number, Place>();
  let next = 1;
  let closed = false;
  let running: Promise<unknown> = Promise.resolve();

  const grow = (): Member => {
    const member = { client: start(), pending: 0 };
    members.push(member);
    return member;
  };
  const first = (): Member => members[0] ?? grow();
  const idlest = (): Member => {
    const idle = members.find(({ pending }) => pending === 0);
    if (idle) return idle;
    if (members.length < most && !closed) return grow();
    return members.reduce((a, b) => (b.pending < a.pending ? b : a));
  };
  const ask = async (member: Member, request: Request, transfer?: readonly ArrayBuffer[]) => {
    member.pending++;
    try {
      return await member.client.request(request, transfer);
    } finally {
      member.pending--;
    }
  };
  const placeOf = (session: number): Place => {
    const place = places.get(session);
    invariant(place !== undefined, `no session ${session}`);
    return place;
  };
  const request = async (asked: Request, transfer?: readonly ArrayBuffer[]): Promise<unknown> => {
    switch (asked.kind) {
      case "load": {
        const member = asked.stores ? first() : idlest();
        const { session } = (await ask(member, asked, transfer)) as { session: number };
        const id = next++;
        places.set(id, { member, session });
        return { session: id };
      }
      case "run":
      case "release": {
        const { member, session } = placeOf(asked.session);
        if (asked.kind === "release") places.delete(asked.session);
        const turn = running.then(() => ask(member, { ...asked, session }, transfer));
        running = turn.catch(() => {});
        return await turn;
      }
      case "make":
        return await ask(idlest(), asked, transfer);
      default:
        return await ask(first(), asked, transfer);
    }
  };
  first();
  return {
    request: request as Client["request"],
    async terminate() {
      closed = true;
      await Promise.all(members.map(({ client }) => client.terminate()));
    },
  };
}
