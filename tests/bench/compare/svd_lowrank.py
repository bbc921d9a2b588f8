"""Our randomised SVD beside torch.svd_lowrank(q=rank, niter=2), the call of the authors' code.

svd_lowrank.py make FILE [SHAPE ...]            writes test matrices (safetensors), 8 (large: 2) a shape
svd_lowrank.py compare FILE LITTLEBIT_BENCH [ROUNDS]  runs both in turn on every shape and budget, prints a table

Both sides get two threads and the same matrices: ours a thread per matrix (as littlebit-train factorises layers),
torch both threads per matrix. Seconds are for all matrices of a shape, the least of ROUNDS (3) turns of half a second,
two runs or more, and include nothing but the SVD; CPU time is the one to look at on a machine that does other work
too. Errors are the means over the matrices of |W - approximation| / |W|: of the truncation itself, and of Dual-SVID
with two paths, whose rank-1 fits are made exactly on torch's side. Development time only: needs torch, safetensors, numpy.
"""

import json
import subprocess
import tempfile
from pathlib import Path
import sys
import time

import torch
from safetensors.torch import load_file, save_file

SHAPES = ["512x512", "1024x1024", "1024x4096", "2048x2048", "4096x4096"]
BITS = [1.0, 0.55, 0.3, 0.1]
THREADS = 2


def rank_of(d_out, d_in, bits):
    """The authors' rule for two paths (docs/specification.md section 3)."""
    rank = int((d_out * d_in * bits - 32 * (d_out + d_in)) / (2 * (d_out + d_in + 16))) // 8 * 8
    return max(8, min(rank, min(d_out, d_in) // 8 * 8))


def matrices(d_out, d_in, generator):
    """Two kinds: noise with some strong directions and uneven columns; a spectrum that falls slowly all the way."""
    small = min(d_out, d_in)
    normal = lambda *size: torch.randn(*size, generator=generator)
    strong = small // 8
    strength = 3 * torch.arange(1, strong + 1).float().pow(-0.7)
    weight = normal(d_out, d_in) + (normal(d_out, strong) * strength) @ normal(strong, d_in)
    yield "noise", weight * (0.3 * normal(d_in)).exp() / small**0.5
    left = torch.linalg.qr(normal(d_out, small))[0]
    right = torch.linalg.qr(normal(d_in, small))[0]
    yield "slow", (left * torch.arange(1, small + 1).float().pow(-0.3)) @ right.T


def make(path, shapes):
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for shape in shapes:
        d_out, d_in = map(int, shape.split("x"))
        for i in range(1 if d_out * d_in > 2**22 else 4):
            for kind, matrix in matrices(d_out, d_in, generator):
                tensors[f"{shape}/{kind}{i}"] = matrix.contiguous()
    save_file(tensors, path)


def factors(w, rank):
    u, s, v = torch.svd_lowrank(w, q=rank, niter=2)
    return u * s.sqrt(), (v * s.sqrt()).T


def leading_pair(a):
    right = torch.ones(a.shape[1])
    for _ in range(100):
        left = a @ right
        left /= left.norm()
        right = a.T @ left
        sigma = right.norm()
        right = right / sigma
    return left * sigma.sqrt(), right * sigma.sqrt()


def dual_svid_error(w, rank):
    sign = lambda t: torch.where(t >= 0, 1.0, -1.0)
    rest = w
    for _ in range(2):
        left, right = factors(rest, rank)
        (u1, u2), (v1, v2) = leading_pair(left.abs()), leading_pair(right.abs())
        rest = rest - (sign(left) * u1[:, None] * (u2 * v1)) @ (sign(right) * v2)
    return (rest.norm() / w.norm()).item()


def theirs(ws, rank):
    seconds = cpu_seconds = float("inf")
    begin = time.perf_counter()
    runs = 0
    while runs < 2 or time.perf_counter() - begin < 0.5:  # the first one also warms up
        runs += 1
        start, cpu_start = time.perf_counter(), time.process_time()
        results = [factors(w, rank) for w in ws]
        seconds = min(seconds, time.perf_counter() - start)
        cpu_seconds = min(cpu_seconds, time.process_time() - cpu_start)
    errors = [((w - left @ right).norm() / w.norm()).item() for w, (left, right) in zip(ws, results)]
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "truncation_error": sum(errors) / len(ws),
        "dual_svid_error": sum(dual_svid_error(w, rank) for w in ws) / len(ws),
    }


def ours(path, bench, shape, rank):
    with tempfile.NamedTemporaryFile(suffix=".json") as output:
        words = [f"case.matrices={path}", f"case.shapes=[{shape}]", f"case.svd_rank={rank}",
                 f"bench.threads={THREADS}", f"bench.output={output.name}"]
        subprocess.run([bench, "svd", *words], check=True, capture_output=True)
        return json.loads(Path(output.name).read_text())["cases"]["svd"]["rows"][0]


def compare(path, bench, rounds):
    torch.set_num_threads(THREADS)
    tensors = load_file(path)
    shapes = dict.fromkeys(name.split("/")[0] for name in tensors)
    print("| layer | bits | rank | torch s | ours s | times faster | in CPU time | truncation: torch, ours | Dual-SVID: torch, ours |")
    print("|---|---|---|---|---|---|---|---|---|")
    for shape in sorted(shapes, key=lambda s: [int(n) for n in s.split("x")]):
        ws = [w for name, w in tensors.items() if name.startswith(shape + "/")]
        for bits in BITS:
            rank = rank_of(*ws[0].shape, bits)
            runs = [(theirs(ws, rank), ours(path, bench, shape, rank)) for _ in range(rounds)]
            least = lambda key: [min(run[side][key] for run in runs) for side in (0, 1)]
            seconds, cpu = least("seconds"), least("cpu_seconds")
            error = lambda key: ", ".join(
                "%.4f" % (sum(run[side][key] for run in runs) / rounds) for side in (0, 1)
            )
            print(
                f"| {shape} | {bits} | {rank} | {seconds[0]:.3f} | {seconds[1]:.3f} | "
                f"{seconds[0] / seconds[1]:.1f} | {cpu[0] / cpu[1]:.1f} | {error('truncation_error')} | {error('dual_svid_error')} |",
                flush=True,
            )


if __name__ == "__main__":
    if len(sys.argv) >= 3 and sys.argv[1] == "make":
        make(sys.argv[2], sys.argv[3:] or SHAPES)
    elif len(sys.argv) >= 4 and sys.argv[1] == "compare":
        compare(sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else 3)
    else:
        sys.exit(__doc__)
