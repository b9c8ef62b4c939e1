"""What Pillow and diffusers make of pictures, for test/golden/image/.

    PYTHONPATH=<diffusers>/src python scripts/golden/image.py test/golden/image

Writes resize.json (Image.resize, every filter), decode.json and files/ (load_image: exif_transpose, then convert("RGB")),
tensors.json (VaeImageProcessor), text.png (PngInfo). Made with Pillow 12.3.0 (libjpeg-turbo 3.1, libwebp 1.6), numpy 2.4, Python 3.11.
Pictures come from a seeded congruential generator that the tests have too. Tolerance: none; for lossy files decoded by
another build of the same libraries the test states it.
"""
import base64, hashlib, io, json, os, struct, sys, zlib
import numpy as np
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

OUT = sys.argv[1]
os.makedirs(f"{OUT}/files", exist_ok=True)


def noise(count, seed):
    """Bytes of x -> 1103515245 x + 12345 mod 2^31, bits 16 to 23."""
    out, x = bytearray(), seed
    for _ in range(count):
        x = (1103515245 * x + 12345) & 0x7fffffff
        out.append(x >> 16 & 255)
    return bytes(out)


def image(mode, width, height, seed):
    return Image.frombytes(mode, (width, height), noise(width * height * len(mode), seed))


def b64(data):
    return base64.b64encode(data).decode()


def lines(name, rows):
    with open(f"{OUT}/{name}", "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")


def resize_cases():
    filters = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4}
    sizes = [(13, 7, 8, 8), (7, 13, 24, 16), (33, 17, 5, 3), (1, 1, 4, 4), (9, 9, 1, 1), (10, 6, 10, 4), (10, 6, 3, 6), (16, 16, 15, 17)]
    large = [(517, 389, 512, 384), (64, 48, 512, 512), (1000, 61, 64, 64), (301, 203, 296, 200)]
    for i, (w, h, ow, oh) in enumerate(sizes + large):
        for name, code in filters.items():
            for mode in ("RGB", "L"):
                data = image(mode, w, h, i + 1).resize((ow, oh), code).tobytes()
                yield {"mode": mode, "from": [w, h], "to": [ow, oh], "filter": name, "seed": i + 1, "sha256": hashlib.sha256(data).hexdigest()[:32],
                       **({"data": b64(data)} if i < 3 else {})}


def png(width, height, depth, color, rows, extra=b""):
    """A PNG that Pillow cannot write."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    raw = b"".join(b"\0" + row for row in rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)) + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def swapped_profile():
    """sRGB with red and green exchanged: whoever applies it is seen."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {bytes(profile[132 + 12 * i:136 + 12 * i]): 132 + 12 * i for i in range(struct.unpack(">I", profile[128:132])[0])}
    r, g = tags[b"rXYZ"], tags[b"gXYZ"]
    profile[r + 4:r + 12], profile[g + 4:g + 12] = bytes(profile[g + 4:g + 12]), bytes(profile[r + 4:r + 12])
    profile[24:36] = bytes(12)  # the time at which it was made
    return bytes(profile)


def smooth(width, height):
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([x * 255 // width, y * 255 // height, (x * 7 + y * 11) % 256], -1).astype(np.uint8)
    return Image.fromarray(rgb)


def files():
    w, h = 19, 13
    color, gray, rgba = image("RGB", w, h, 21), image("L", w, h, 22), image("RGBA", w, h, 23)
    palette = color.quantize(17)
    wide = [noise(w * 6, 30 + y) for y in range(h)]
    yield "rgb.png", color, {}
    yield "gray.png", gray, {}
    yield "rgba.png", rgba, {}
    yield "gray-alpha.png", Image.merge("LA", (gray, gray.transpose(0))), {}
    yield "palette.png", palette, {}
    yield "palette-transparent.png", palette, {"transparency": bytes([0, 128, 255, 0])}
    yield "rgb-transparent-color.png", color, {"transparency": color.getpixel((3, 3))}
    yield "black-white.png", gray.point(lambda v: v > 127, mode="1"), {}
    yield "gray4.png", png(w, h, 4, 0, [row[:10] for row in wide])
    yield "gray16.png", png(w, h, 16, 0, [row[:w * 2] for row in wide])
    yield "gray16-low.png", png(w, h, 16, 0, [b"".join(b"\0" + row[i:i + 1] for i in range(w)) for row in wide])
    yield "rgb16.png", png(w, h, 16, 2, wide)
    yield "rgba16.png", png(w, h, 16, 6, [row + row[:w * 2] for row in wide])
    yield "gray-alpha16.png", png(w, h, 16, 4, [row[:w * 4] for row in wide])
    yield "gamma.png", png(w, h, 8, 2, [row[:w * 3] for row in wide], struct.pack(">I", 4) + b"gAMA" + struct.pack(">I", 100000) + struct.pack(">I", zlib.crc32(b"gAMA" + struct.pack(">I", 100000))))
    yield "profile.png", color, {"icc_profile": swapped_profile()}
    yield "profile.jpg", smooth(w, h), {"quality": 90, "icc_profile": swapped_profile()}
    big = smooth(45, 37)
    yield "420.jpg", big, {"quality": 85, "subsampling": 2}
    yield "422.jpg", big, {"quality": 70, "subsampling": 1}
    yield "444-progressive.jpg", big, {"quality": 95, "subsampling": 0, "progressive": True}
    yield "noise.jpg", image("RGB", 40, 24, 24), {"quality": 75}
    yield "gray.jpg", big.convert("L"), {"quality": 80}
    yield "cmyk.jpg", big.convert("CMYK"), {"quality": 90}
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x112] = orientation
        yield f"exif{orientation}.jpg", smooth(w, h), {"quality": 90, "exif": exif}
    exif = Image.Exif()
    exif[0x112] = 6
    yield "exif6.png", color, {"exif": exif}
    yield "lossy.webp", big, {"quality": 80}
    yield "lossless-alpha.webp", rgba, {"lossless": True, "exact": True}
    yield "palette.gif", palette, {}
    yield "rgb.tif", color, {}
    yield "lzw.tif", gray, {"compression": "tiff_lzw"}


def load(data):
    return ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")


def decode_cases():
    for name, source, *options in files():
        data = source
        if not isinstance(source, bytes):
            buffer = io.BytesIO()
            source.save(buffer, {"jpg": "jpeg", "tif": "tiff"}.get(name[-3:], name[name.rindex(".") + 1:]), **options[0])
            data = buffer.getvalue()
        with open(f"{OUT}/files/{name}", "wb") as file:
            file.write(data)
        opened, picture = Image.open(io.BytesIO(data)), load(data)
        yield {"name": name, "mode": opened.mode, "size": list(picture.size), "rgb": b64(picture.tobytes()), "luma": b64(picture.convert("L").tobytes())}


def tensor_cases():
    import torch
    from diffusers.image_processor import VaeImageProcessor
    values = torch.linspace(-1.2, 1.2, 3 * 16 * 16)
    halves = (torch.arange(3 * 256, dtype=torch.float32) % 256 + 0.5) / 255 * 2 - 1
    processor, masks = VaeImageProcessor(), VaeImageProcessor(do_normalize=False, do_binarize=True, do_convert_grayscale=True)
    for name, x in (("linspace", values), ("halves", halves)):
        picture = processor.postprocess(x.reshape(1, 3, 16, 16))[0]
        yield {"name": name, "x": b64(x.numpy().tobytes()), "rgb": b64(picture.tobytes())}
    x = processor.preprocess(image("RGB", 21, 18, 40))
    yield {"name": "preprocess", "shape": list(x.shape), "x": b64(x.numpy().tobytes())}
    for mode in ("RGB", "L"):
        m = masks.preprocess(image(mode, 45, 31, 41), height=24, width=32)
        small = torch.nn.functional.interpolate(m, size=(3, 4))
        odd = torch.nn.functional.interpolate(m, size=(5, 7))
        yield {"name": f"mask {mode}", **{k: "".join(str(int(v)) for v in t.flatten()) for k, t in (("mask", m), ("small", small), ("odd", odd))}}


def text_png():
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "café, 1girl\nSteps: 20")
    info.add_text("zipped", "déjà vu " * 40, zip=True)
    info.add_text("utf8", "猫 🎨 Ω")
    info.add_itxt("utf8 zipped", "猫" * 99, zip=True)
    Image.new("RGB", (2, 2)).save(f"{OUT}/text.png", pnginfo=info)


text_png()
lines("resize.json", resize_cases())
lines("decode.json", decode_cases())
lines("tensors.json", tensor_cases())
