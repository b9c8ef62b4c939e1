"""What numpy and scipy make of the evaluation's measures, for test/golden/evaluation/metrics.json.

    python scripts/golden/evaluation.py test/golden/evaluation

- quality: PSNR and SSIM of pairs of 8-bit RGB pictures that a congruential generator draws (see `picture`; the test has it too).
  SSIM is scikit-image's definition written out (structural_similarity with gaussian_weights=True, sigma=1.5,
  use_sample_covariance=False, data_range=255, channel_axis=2): filters of scipy.ndimage.gaussian_filter with truncate 3.5, mean
  over what is 5 pixels from the border, then over channels.
- frechet: the distance of normal distributions fitted to features [pictures, n] (float32, base64), with scipy.linalg.sqrtm.
- eigen: numpy.linalg.eigvalsh of symmetric matrices.
Made with numpy 2.4.6, scipy 1.17.1, Python 3.11. Tolerance 1e-9 relative; 1e-6 where a covariance is singular (the root of a
rounded zero).
"""
import base64, json, os, sys
import numpy as np
from scipy import linalg, ndimage

OUT = sys.argv[1]
os.makedirs(OUT, exist_ok=True)


def picture(width, height, seed):
    """Bytes of x -> 1103515245 x + 12345 mod 2^31, bits 16 to 23."""
    out, x = bytearray(), seed
    for _ in range(width * height * 3):
        x = (1103515245 * x + 12345) & 0x7fffffff
        out.append(x >> 16 & 255)
    return np.frombuffer(bytes(out), np.uint8).reshape(height, width, 3)


def mixed(a, b, share):
    """The nearest whole number of a + (b - a) share / 8, halves up."""
    return ((a.astype(np.int64) * (8 - share) + b.astype(np.int64) * share + 4) // 8).astype(np.uint8)


def ssim_channel(x, y):
    blur = lambda z: ndimage.gaussian_filter(z, sigma=1.5, truncate=3.5, mode="reflect")
    ux, uy = blur(x), blur(y)
    vx, vy, vxy = blur(x * x) - ux * ux, blur(y * y) - uy * uy, blur(x * y) - ux * uy
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    s = ((2 * ux * uy + c1) * (2 * vxy + c2)) / ((ux ** 2 + uy ** 2 + c1) * (vx + vy + c2))
    return s[5:-5, 5:-5].mean()


def quality():
    for width, height, share in [(24, 20, 1), (11, 11, 4), (40, 13, 8), (31, 33, 2)]:
        a, b = picture(width, height, 1), picture(width, height, 2)
        b = mixed(a, b, share)
        x, y = a.astype(np.float64), b.astype(np.float64)
        mse = ((x - y) ** 2).mean()
        yield {"width": width, "height": height, "share": share, "psnr": 10 * np.log10(255 ** 2 / mse),
               "ssim": float(np.mean([ssim_channel(x[..., c], y[..., c]) for c in range(3)]))}


def b64(x):
    return base64.b64encode(np.ascontiguousarray(x, "<f4").tobytes()).decode()


def frechet():
    rng = np.random.default_rng(7)
    for n, counts, shift in [(1, (5, 9), 0.5), (4, (40, 30), 0.0), (12, (60, 50), 1.0), (6, (4, 3), 0.3)]:
        a = (rng.standard_normal((counts[0], n)) @ rng.standard_normal((n, n))).astype(np.float32)
        b = (rng.standard_normal((counts[1], n)) @ rng.standard_normal((n, n)) + shift).astype(np.float32)
        m, s = zip(*((x.astype(np.float64).mean(0), np.atleast_2d(np.cov(x.astype(np.float64), rowvar=False))) for x in (a, b)))
        # tr (S1 S2)^1/2 by eigenvalues of the product, which are real and not negative; equal to sqrtm's trace where that converges.
        trace = np.sqrt(np.maximum(linalg.eigvals(s[0] @ s[1]).real, 0)).sum()
        if min(counts) > n:
            assert abs(np.trace(linalg.sqrtm(s[0] @ s[1])).real - trace) < 1e-8 * trace
        d = ((m[0] - m[1]) ** 2).sum() + np.trace(s[0]) + np.trace(s[1]) - 2 * trace
        yield {"n": n, "counts": counts, "a": b64(a), "b": b64(b), "distance": float(d), "singular": min(counts) <= n}


def eigen():
    rng = np.random.default_rng(8)
    for n in (1, 2, 5, 20):
        a = rng.standard_normal((n, n)).astype(np.float32).astype(np.float64)
        a = ((a + a.T) / 2).astype(np.float32)
        yield {"n": n, "matrix": b64(a), "values": np.linalg.eigvalsh(a.astype(np.float64)).tolist()}


with open(f"{OUT}/metrics.json", "w") as file:
    json.dump({"quality": list(quality()), "frechet": list(frechet()), "eigen": list(eigen())}, file, indent=1)
    file.write("\n")
