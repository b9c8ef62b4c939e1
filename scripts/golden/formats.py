"""Fixtures of src/formats and src/tensor/convert.ts: tiny safetensors and PyTorch checkpoints.

Made with Python 3.11, PyTorch 2.13.0 (CPU), safetensors 0.8.0, NumPy 2.4. Seed 0.
Tolerance: none; bytes, bits and float32 values must be equal.

    OMP_NUM_THREADS=2 python scripts/golden/formats.py

writes test/golden/formats/:
  dtypes.safetensors   every dtype, a scalar, an empty tensor, awkward names, one key of metadata
  verdicts.json        small crafted headers (base64) and whether the reference reads them
  *.ckpt               one state dict saved in several ways; expected.safetensors has the values
  hostile.ckpt         asks for os.system, as an attack would
  casts.safetensors    float32 values and what PyTorch rounds them to in f16 and bf16
Legacy checkpoints name their storages after addresses in memory, so their bytes differ from run to
run; their values do not. The checkpoints' classes stand in for Lightning's, which need not be installed.
"""

import argparse
import base64
import collections
import io
import json
import os
import pathlib
import pickle
import struct
import sys
import types
import zipfile

import numpy
import safetensors
import torch
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parents[2] / "test" / "golden" / "formats"
DTYPES = [
    torch.bool, torch.uint8, torch.int8, torch.float8_e5m2, torch.float8_e4m3fn, torch.int16,
    torch.uint16, torch.float16, torch.bfloat16, torch.int32, torch.uint32, torch.float32,
    torch.float64, torch.int64, torch.uint64,
]


def stand_in(module: str, name: str) -> type:
    """A class that pickles as `module.name`."""
    cls = type(name, (), {"__module__": module})
    parts = module.split(".")
    for i in range(len(parts)):
        path = ".".join(parts[: i + 1])
        sys.modules.setdefault(path, types.ModuleType(path))
    setattr(sys.modules[module], name, cls)
    return cls


def values(dtype: torch.dtype) -> torch.Tensor:
    if dtype == torch.bool:
        return torch.tensor([[True, False, True]])
    if not dtype.is_floating_point:
        low, high = torch.iinfo(dtype).min, torch.iinfo(dtype).max
        if dtype == torch.uint64:
            return torch.tensor([[0, 7, 2**63 - 1]]).to(dtype)
        return torch.tensor([[low, 7, high]], dtype=dtype)
    return torch.tensor([[-0.0, 1.5, 0.1]], dtype=torch.float64).to(dtype)


def dtypes() -> None:
    tensors = {f"{str(d).removeprefix('torch.')}.weight": values(d) for d in DTYPES}
    tensors["scalar"] = torch.tensor(3.25)
    tensors["empty"] = torch.zeros(0, 4)
    tensors['quote" back\\slash é \U0001f5bc \uff5e\n\x01\x7f'] = torch.arange(3, dtype=torch.float32)
    tensors["b"] = torch.arange(4, dtype=torch.float16).reshape(2, 2)
    tensors["B"] = torch.arange(2, dtype=torch.bfloat16)
    save_file(tensors, OUT / "dtypes.safetensors", metadata={"format": "pt"})
    expected = {k: v.double().float().flatten().tolist() for k, v in tensors.items()}
    expected["int64.weight"] = tensors["int64.weight"].float().flatten().tolist()
    expected["uint64.weight"] = tensors["uint64.weight"].float().flatten().tolist()
    (OUT / "dtypes.json").write_text(json.dumps(expected, indent=1) + "\n")


def crafted() -> dict[str, bytes]:
    def file(header, data: bytes = b"", length: int | None = None) -> bytes:
        if not isinstance(header, bytes):
            header = json.dumps(header, separators=(",", ":")).encode()
        return struct.pack("<Q", len(header) if length is None else length) + header + data

    def t(dtype, shape, begin, end, **extra):
        return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end], **extra}

    one = b'{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
    return {
        "plain": file({"a": t("F32", [2], 0, 8)}, bytes(8)),
        "no tensors": file({}),
        "any order": file({"b": t("U8", [2], 1, 3), "a": t("U8", [1], 0, 1)}, bytes(3)),
        "white space around": file(b' {"a":' + one + b"}\n  \n", b"1"),
        "extra field": file({"a": t("U8", [1], 0, 1, foo=1)}, b"1"),
        "scalar": file({"a": t("F32", [], 0, 4)}, bytes(4)),
        "zero elements": file({"a": t("F32", [0, 3], 0, 0)}),
        "zero elements at the end": file({"a": t("F32", [0], 4, 4), "b": t("F32", [1], 0, 4)}, bytes(4)),
        "zero elements at the start, listed last": file(
            {"b": t("F32", [1], 0, 4), "a": t("F32", [0], 0, 0)}, bytes(4)),
        "zero elements inside": file({"a": t("F32", [0], 2, 2), "b": t("F32", [1], 0, 4)}, bytes(4)),
        "unaligned data": file(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]} }', bytes(4)),
        "empty name": file({"": t("U8", [1], 0, 1)}, b"1"),
        "null metadata": file({"__metadata__": None}),
        "empty header": file(b""),
        "trailing bytes": file({"a": t("F32", [2], 0, 8)}, bytes(9)),
        "cut data": file({"a": t("F32", [2], 0, 8)}, bytes(7)),
        "hole": file({"a": t("U8", [1], 0, 1), "b": t("U8", [1], 2, 3)}, bytes(3)),
        "hole at the start": file({"a": t("U8", [1], 1, 2)}, bytes(2)),
        "overlap": file({"a": t("U8", [2], 0, 2), "b": t("U8", [2], 1, 3)}, bytes(3)),
        "same place": file({"a": t("U8", [1], 0, 1), "b": t("U8", [1], 0, 1)}, bytes(1)),
        "duplicate field": file(b'{"a":{"dtype":"U8",' + one[1:] + b"}", b"1"),
        "duplicate metadata": file(b'{"__metadata__":{"x":"1"},"__metadata__":{"x":"2"}}'),
        "metadata number": file({"__metadata__": {"x": 1}}),
        "metadata list": file({"__metadata__": ["x"]}),
        "negative size": file({"a": t("U8", [-1], 0, 1)}, b"1"),
        "fraction": file({"a": t("U8", [1.5], 0, 1)}, b"1"),
        "text size": file({"a": t("U8", ["1"], 0, 1)}, b"1"),
        "backwards": file({"a": t("U8", [1], 1, 0)}, b"1"),
        "beyond 2^64": file({"a": t("U8", [2**64], 0, 1)}, b"1"),
        "overflow": file({"a": t("U8", [2**32, 2**32], 0, 0)}),
        "overflow times zero": file({"a": t("U8", [2**40, 2**40, 0], 0, 0)}),
        "three offsets": file({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1, 2]}}, b"1"),
        "no dtype": file({"a": {"shape": [1], "data_offsets": [0, 1]}}, b"1"),
        "no shape": file({"a": {"dtype": "U8", "data_offsets": [0, 1]}}, b"1"),
        "lower case dtype": file({"a": t("f32", [1], 0, 4)}, bytes(4)),
        "inherited dtype": file({"a": t("constructor", [1], 0, 4)}, bytes(4)),
        "wrong length": file({"a": t("F32", [3], 0, 8)}, bytes(8)),
        "tensor is a number": file({"a": 1}),
        "header is a list": file([]),
        "header is null": file(b"null"),
        "not UTF-8": file(b'{"\xff":1}'),
        "byte order mark": file(b"\xef\xbb\xbf{}"),
        "zeros behind": file(b"{}\0\0"),
        "not JSON": file(b"{a:1}"),
        "huge header": file(b"{}", length=2**63),
        "header over the limit": file(b"{}", length=100_000_001),
        "header beyond the file": file(b"{}", length=3),
        "seven bytes": b"1234567",
        "no bytes": b"",
    }


def verdicts() -> None:
    rows = []
    for name, data in crafted().items():
        try:
            safetensors.deserialize(data)
            accepted = True
        except safetensors.SafetensorError:
            accepted = False
        rows.append({"name": name, "accepted": accepted, "base64": base64.b64encode(data).decode()})
    (OUT / "verdicts.json").write_text(json.dumps(rows, indent=1) + "\n")


def state_dict() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    base = torch.randn(4, 6)
    state = collections.OrderedDict()
    state["model.weight"] = base
    state["model.same_storage"] = base
    state["model.row"] = base[2]
    state["model.transposed"] = base.t()
    state["model.column"] = base[:, 3]
    state["model.every_other"] = base[::2, 1::2]
    state["model.expanded"] = torch.tensor([1.0, 2.0]).reshape(2, 1).expand(2, 3)
    state["model.parameter"] = torch.nn.Parameter(torch.randn(3))
    state["model.half"] = torch.randn(5).half()
    state["model.bf16"] = torch.randn(2, 2).bfloat16()
    state["model.double"] = torch.randn(2).double()
    state["model.ids"] = torch.arange(7)
    state["model.i32"] = torch.arange(3, dtype=torch.int32)
    state["model.i16"] = torch.arange(3, dtype=torch.int16)
    state["model.i8"] = torch.arange(3, dtype=torch.int8)
    state["model.u8"] = torch.arange(3, dtype=torch.uint8)
    state["model.mask"] = torch.tensor([True, False])
    state["model.scalar"] = torch.tensor(0.5)
    state["model.empty"] = torch.zeros(0, 3)
    state["model.channels_last"] = torch.randn(1, 2, 3, 2).to(memory_format=torch.channels_last)
    state._metadata = collections.OrderedDict(version=1)
    return state


def lightning(state: dict[str, torch.Tensor]) -> dict:
    """A training checkpoint: weights beside everything that a trainer keeps."""
    callback = stand_in("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")()
    callback.best_model_score = numpy.float64(0.25)
    callback.path = pathlib.PurePosixPath("x").as_posix()
    config = stand_in("omegaconf.dictconfig", "DictConfig")()
    config._content = {"lr": 1e-4}
    return {
        "epoch": 3,
        "global_step": 470000,
        "pytorch-lightning_version": "1.4.2",
        "loss": 0.125,
        "done": False,
        "big": 2**70,
        "callbacks": {type(callback): {"monitor": "val/loss", "best": callback}},
        "hyper_parameters": {"lr": 1e-4, "betas": (0.9, 0.999), "config": config,
                             "args": argparse.Namespace(seed=1), "size": torch.Size([4, 64]),
                             "dtype": torch.float16, "device": torch.device("cpu"),
                             "bytes": b"\x00\xff", "keys": {1, 2}, "array": numpy.arange(3)},
        "optimizer_states": [{"state": {0: {"step": 7, "exp_avg": torch.ones(3)}}}],
        "lr_schedulers": [],
        "state_dict": state,
    }


def checkpoints() -> None:
    state = state_dict()
    legacy = {"_use_new_zipfile_serialization": False}
    torch.save(lightning(state), OUT / "lightning.ckpt")
    torch.save(lightning(state), OUT / "lightning-legacy.ckpt", **legacy)
    torch.save(dict(state), OUT / "flat-protocol5.ckpt", pickle_protocol=5)
    torch.save(dict(state), OUT / "flat-legacy-protocol4.ckpt", pickle_protocol=4, **legacy)
    exotic = {
        "u16": torch.tensor([1, 65535], dtype=torch.uint16),
        "f8": torch.tensor([0.5, -448.0]).to(torch.float8_e4m3fn),
        "nested": {"list": [torch.zeros(1), {"deep": torch.ones(2)}], 5: torch.full((1,), 5.0)},
        "embedding": torch.nn.ParameterDict({"*": torch.nn.Parameter(torch.tensor([9.0]))}),
    }
    torch.save(exotic, OUT / "nested.pt")
    expected = {k: v.detach().contiguous().clone() for k, v in state.items()}
    save_file(expected, OUT / "expected.safetensors")
    packed = io.BytesIO()
    with zipfile.ZipFile(OUT / "flat-protocol5.ckpt") as old:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
            for info in old.infolist():
                plain = zipfile.ZipInfo(info.filename)  # dated 1980, as torch does
                new.writestr(plain, old.read(info), zipfile.ZIP_DEFLATED)
    (OUT / "deflated.ckpt").write_bytes(packed.getvalue())


class Hostile:
    def __reduce__(self):
        return os.system, ("echo owned > owned.txt",)


def hostile() -> None:
    torch.save({"state_dict": {"w": torch.ones(1)}, "x": Hostile()}, OUT / "hostile.ckpt")
    legacy = {"_use_new_zipfile_serialization": False}
    torch.save({"x": Hostile()}, OUT / "hostile-legacy.ckpt", **legacy)
    (OUT / "plain.pkl").write_bytes(pickle.dumps({"w": [1.0]}, protocol=2))
    # The same object in every protocol, for the interpreter alone.
    sample = {"text": "é\n\U0001f5bc", "bytes": b"\x00\x80\xff", "ints": [0, 255, 65535, -1, 2**31, -(2**40), 2**70],
              "floats": [0.1, float("inf")], "none": None, "yes": True, "no": False, "set": {1},
              "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
              "ordered": collections.OrderedDict(a=1), "long": list(range(1200))}
    pickles = [base64.b64encode(pickle.dumps(sample, protocol=p)).decode() for p in range(6)]
    # As Python 2 wrote str, with an escape of each kind.
    pickles.append(base64.b64encode(b"(dS'a\\x41\\n\\t\\\\\\''\nI1\nsS\"q\"\nL12L\nsU\x02hi(I01\nI00\nF-2.5e3\nlp0\ns.").decode())
    (OUT / "pickles.json").write_text(json.dumps(pickles, indent=1) + "\n")


def casts() -> None:
    torch.manual_seed(0)
    halves = torch.arange(65536, dtype=torch.int32).to(torch.uint16).view(torch.float16)
    exact = halves[torch.isfinite(halves)].float()
    middle = (exact[:-1].double() + exact[1:].double()) / 2  # the ties, both signs, subnormals too
    ties = middle.float()[::13]
    down = torch.nextafter(ties, torch.tensor(-torch.inf))
    up = torch.nextafter(ties, torch.tensor(torch.inf))
    bits = torch.randint(-(2**31), 2**31 - 1, (4000,), dtype=torch.int64).to(torch.int32).view(torch.float32)
    special = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, 65519.996, 65520.0, -65520.0, 65504.0,
                            2.0**-24, 2.0**-25, 2.0**-25 * 1.0001, 2.0**-26, 1e-45, 3.4e38, 3.3961775e38])
    x = torch.cat([special, ties, down, up, bits[~torch.isnan(bits)]])
    out = {"x": x, "f16": x.half().view(torch.int16), "bf16": x.bfloat16().view(torch.int16)}
    e4m3 = torch.arange(256, dtype=torch.int32).to(torch.uint8).view(torch.float8_e4m3fn)
    out["f8e4m3"] = e4m3.float()
    save_file(out, OUT / "casts.safetensors")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    dtypes()
    verdicts()
    checkpoints()
    hostile()
    casts()
