"""Random numbers as PyTorch, NumPy, torchsde and an NVIDIA GPU draw them.

    python scripts/golden/random_numbers.py        writes test/golden/random/random.json

(Not named random.py: Python would take it for its own module.)

Made with torch 2.13.0+cpu (on x86 with AVX2 or AVX-512; checked), numpy 2.4, torchsde 0.2.6.
torchsde imports a package `trampoline`; here a stand-in for its one function (running generators as coroutines) was used.
- cpu: torch.randn with a generator per case, sequences of draws from one generator. Tolerance: none, every bit.
- rand: torch.rand. Tolerance: none.
- seedSequence: numpy.random.SeedSequence. Tolerance: none.
- brownian: torchsde.BrownianTree, several queries of one tree. Tolerance: 1e-6 of the largest value.
- philox: Philox4x32-10 words; known answers from Random123 (kat_vectors).
- cuda: Philox numbers laid out as PyTorch's CUDA kernel does, in NumPy's float64 from float32 uniforms: an independent
  stand-in for a GPU. Tolerance: 1e-6.
Arrays are float32, base64; long ones are kept as the SHA-256 of their bytes with their first and last eight values.
"""
import base64, hashlib, json, os
import numpy as np
import torch
import torchsde

assert torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
OUT = os.path.join(os.path.dirname(__file__), "../../test/golden/random/random.json")
SEEDS = [0, 1, 42, 2**32 + 5, 2**63, 2**64 - 1, -1, -(2**63)]
SIZES = [1, 7, 15, 16, 17, 31, 33, 1000, 4 * 64 * 64]


def packed(x):
    data = np.ascontiguousarray(x, dtype="<f4").tobytes()
    text = lambda b: base64.b64encode(b).decode()
    if len(data) <= 256:
        return {"data": text(data)}
    return {"sha256": hashlib.sha256(data).hexdigest(), "ends": text(data[:32] + data[-32:])}


def torch_cpu():
    generator = lambda seed: torch.Generator().manual_seed(seed)
    single = [{"seed": str(s), "sizes": [n], "draws": [packed(torch.randn(n, generator=generator(s)))]} for s in SEEDS for n in SIZES]
    sequences = []
    for seed, sizes in [(7, [3, 16, 1, 17, 2, 5, 31, 7]), (8, [1, 1, 1, 1]), (9, [15, 15, 1000, 1, 33, 3]), (2**63, [16, 1, 16, 1, 4096])]:
        g = generator(seed)
        sequences.append({"seed": str(seed), "sizes": sizes, "draws": [packed(torch.randn(n, generator=g)) for n in sizes]})
    uniform = [{"seed": str(s), "size": n, "draw": packed(torch.rand(n, generator=generator(s)))} for s in (0, 2**32 + 5) for n in (5, 3000)]
    return single + sequences, uniform


def seed_sequences():
    cases = []
    for entropy in (0, 1, 42, 2**32 - 1, 2**32, 2**63, 2**64 - 1):
        for key in ((), (0, 0), (5, 3), (2**33 + 1, 35)):
            for pool in (4, 24):
                words = np.random.SeedSequence(entropy, spawn_key=key, pool_size=pool).generate_state(30)
                cases.append({"entropy": str(entropy), "spawnKey": [str(k) for k in key], "poolSize": pool, "words": words.tolist()})
    child = np.random.SeedSequence(42).spawn(3)[2]
    assert child.spawn_key == (2,)
    return cases + [{"entropy": "42", "spawnKey": ["2"], "poolSize": 4, "words": child.generate_state(30).tolist()}]


def brownian():
    f = lambda x: float(np.float32(x))
    karras = [14.614643096923828, 9.7232, 6.2, 3.6, 1.9, 0.8, 0.3, f(0.1), 0.029167533]
    pairs = list(zip(karras[:-1], karras[1:]))
    cases = [
        (0, [4, 3, 3], f(0.029167533), 14.614643096923828, [(f(a), f(b)) for a, b in pairs]),
        (2**64 - 1, [5], f(0.029167533), 14.614643096923828, [(f(a), f(b)) for a, b in reversed(pairs)]),
        # midpoints that are exact decimal halves, whole interval, points beyond the ends, the same point twice
        (42, [2, 2, 2], 0.0, 1.0, [(0.0, 1.0), (0.0, 0.0078125), (0.0234375, 0.5), (0.25, 0.250001), (0.3, 0.3), (-1.0, 0.5), (0.5, 3.0)]),
        (2**32 + 5, [17], -3.5, 5.25, [(-3.5, -1.234567), (-1.234567, 0.0), (0.0, 4.9999999), (-2.0, 5.25)]),
        (7, [16], 0.0, 157.40673828125, [(80.0, 157.40673828125), (80.0, 1e-3), (80.0, 40.0), (157.0, 1.0)]),
    ]
    out = []
    for seed, shape, t0, t1, queries in cases:
        tree = torchsde.BrownianTree(t0, torch.zeros(shape), t1, entropy=seed)
        draws = []
        for a, b in queries:
            w = tree(min(a, b), max(a, b)) * (1 if a < b else -1)
            draws.append({"from": a, "to": b, **packed(w)})
        out.append({"seed": str(seed), "shape": shape, "t0": t0, "t1": t1, "draws": draws})
    return out


def philox(counter, key):
    """Philox4x32-10 on columns: counter [4, n], key [2]. Python integers, as the paper states it."""
    columns = []
    for c in zip(*counter):
        c, k = [int(w) for w in c], [int(w) for w in key]
        for _ in range(10):
            p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
            c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
            k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
        columns.append(c)
    return np.array(columns, dtype=np.uint64).T


KNOWN = [  # Random123, tests/kat_vectors: counter, key, answer
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0], [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
]


def normals(x, y):
    """cuRAND's Box-Muller: uniforms in float32, the rest in float64."""
    inv, inv2pi = np.float32(2.3283064e-10), np.float32(np.float32(2.3283064e-10) * np.float32(6.2831855))
    uniform = lambda w, s: (w.astype(np.float32).astype(np.float64) * float(s) + float(s) / 2).astype(np.float32).astype(np.float64)
    radius, angle = np.sqrt(-2 * np.log(uniform(x, inv))), uniform(y, inv2pi)
    return radius * np.sin(angle), radius * np.cos(angle)


def cuda_randn(seed, offset, n, capacity):
    """The kernel, thread by thread: returns the numbers and the generator's next offset (in 32-bit draws)."""
    grid = min(-(-n // 256), capacity // 256)
    threads = grid * 256
    out = np.empty(n)
    rounds = (n - 1) // (threads * 4) + 1
    for r in range(rounds):
        idx = np.arange(threads)
        counter = [np.full(threads, offset // 4 + r), np.zeros(threads, int), idx, np.zeros(threads, int)]
        w = philox(counter, [seed & 0xFFFFFFFF, seed >> 32])
        lanes = [*normals(w[0], w[1]), *normals(w[2], w[3])]
        for ii, lane in enumerate(lanes):
            li = r * threads * 4 + ii * threads + idx
            out[li[li < n]] = lane[li < n]
    return out, offset + 4 * rounds


def cuda():
    cases = []
    for seed, capacity, sizes in [(0, 1 << 30, [12]), (0, 1 << 30, [12, 300, 5]), (2**33 + 7, 1 << 30, [64, 64]), (2**64 - 1, 512, [500, 513, 4096, 9, 2049, 16])]:
        offset, draws = 0, []
        for n in sizes:
            x, offset = cuda_randn(seed, offset, n, capacity)
            draws.append({"data": base64.b64encode(x.astype("<f4").tobytes()).decode()})
        cases.append({"seed": str(seed), "threads": capacity, "sizes": sizes, "draws": draws})
    return cases


for counter, key, answer in KNOWN:
    assert philox([[c] for c in counter], key)[:, 0].tolist() == answer
cpu, rand = torch_cpu()
golden = {
    "cpu": cpu, "rand": rand, "seedSequence": seed_sequences(), "brownian": brownian(), "cuda": cuda(),
    "philox": [{"counter": c, "key": k, "words": a} for c, k, a in KNOWN],
}
with open(OUT, "w") as file:
    file.write("{\n" + ",\n".join(f'"{k}": [\n' + ",\n".join(json.dumps(c) for c in v) + "\n]" for k, v in golden.items()) + "\n}\n")
