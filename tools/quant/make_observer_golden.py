#!/usr/bin/env python3
"""Writes src/quant/testdata/observer_golden.json: ranges, scales and zero points by PyTorch and ONNX Runtime.

    .venv/bin/python tools/quant/make_observer_golden.py [--check]

--check compares with the committed file instead. The tensors are made by a generator that src/quant/observer_golden.h
repeats, so only results are stored, floats as their bits.
"""
import argparse
import contextlib
import inspect
import io
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto
from onnxruntime.quantization import quantize_static
from onnxruntime.quantization.calibrate import HistogramCollector
from onnxruntime.quantization.quant_utils import QuantType, compute_scale_zp, get_qmin_qmax_for_qType
from torch.ao.quantization import get_default_qconfig, observer

from random_values import Random

TARGET = Path("src/quant/testdata/observer_golden.json")
KINDS = ("normal", "heavy", "positive", "zero", "tiny", "outlier", "constant")
BATCHES, ROWS, COLS = 4, 256, 8
F32 = np.float32


def batches(kind, seed):
    result, random = [], Random(seed)
    for b in range(BATCHES):
        u = random.values(ROWS * COLS, 4)
        normal = (u[:, 0] + u[:, 1]) + (u[:, 2] + u[:, 3])
        cube = u[:, 0] * u[:, 0] * u[:, 0]
        x = {"heavy": cube * cube * cube * F32(50), "positive": np.abs(normal), "zero": normal * F32(0) + F32(0),
             "constant": np.full_like(normal, F32(0.7)), "tiny": normal * F32(1e-30)}.get(kind, normal)
        if kind != "constant":
            x = x * (F32(1) + F32(0.25) * F32(b))
        if kind == "outlier" and b == 2:
            x[77] = 20
        assert x.dtype == F32
        result.append(x.reshape(ROWS, COLS))
    return result


def bits(value):
    return int(np.asarray(value, F32).reshape(-1)[0].view(np.uint32))


def moment(histogram):
    """What two histograms hardly share by chance; exact in f64."""
    return float(np.dot(np.arange(1, len(histogram) + 1, dtype=np.float64), np.asarray(histogram, np.float64)))


def bit_list(values):
    return np.ascontiguousarray(values, F32).reshape(-1).view(np.uint32).tolist()


# --- scale and zero point of a range

def torch_dtype(config):
    return torch.quint8 if config["dtype"] == "u8" else torch.qint8


def torch_observer(config, kind=observer.MinMaxObserver, **settings):
    scheme = "channel" if kind is observer.PerChannelMinMaxObserver else "tensor"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(dtype=torch_dtype(config), qscheme=getattr(torch, f"per_{scheme}_{config['scheme']}"),
                    reduce_range=config["range"] == "reduced", **settings)


def torch_params(config, low, high):
    made = torch_observer(config)
    scale, zero_point = made._calculate_qparams(torch.tensor(low), torch.tensor(high))
    return scale.numpy(), int(zero_point)


def ort_params(config, low, high):
    dtype = TensorProto.UINT8 if config["dtype"] == "u8" else TensorProto.INT8
    symmetric = config["scheme"] == "symmetric"
    lowest, highest = get_qmin_qmax_for_qType(dtype, config["range"] == "reduced", symmetric)
    zero_point, scale = compute_scale_zp(np.array(low, F32), np.array(high, F32), lowest, highest, symmetric)
    return scale, int(zero_point)


def configs(convention):
    for dtype in ("u8", "s8"):
        for scheme in ("affine", "symmetric"):
            for reach in ("full", "reduced"):
                if convention == "pytorch" and (dtype, scheme, reach) == ("u8", "symmetric", "reduced"):
                    continue  # PyTorch refuses it
                yield {"convention": convention, "dtype": dtype, "scheme": scheme, "range": reach}


def params():
    rng = np.random.default_rng(5)
    ranges = [(-1.5, 3.0), (0.0, 0.0), (2.0, 5.0), (-5.0, -2.0), (-1e-38, 2e-38), (-1e-30, 1e-30), (-3e38, 3e37), (-127.5, 127.5)]
    ranges += [tuple(sorted(rng.standard_normal(2) * 10.0 ** rng.uniform(-4, 4))) for _ in range(12)]
    entries = []
    for convention, compute in (("pytorch", torch_params), ("onnxruntime", ort_params)):
        for config in configs(convention):
            for low, high in np.array(ranges, F32):
                scale, zero_point = compute(config, low, high)
                entries.append({"config": config, "min": bits(low), "max": bits(high), "scale": bits(scale), "zero_point": zero_point})
    return entries


# --- observers

def torch_observers():
    """By kind: the state that each observer ends in, and scale and zero point for some configurations."""
    entries = []
    for seed, kind in enumerate(KINDS, 1):
        x = batches(kind, seed)
        for name, made_of, settings in (("minmax", observer.MinMaxObserver, {}),
                                        ("moving_average", observer.MovingAverageMinMaxObserver, {"averaging_constant": 0.01}),
                                        ("histogram", observer.HistogramObserver, {})):
            for config in configs("pytorch"):
                made = torch_observer(config, made_of, **settings)
                for batch in x:
                    made(torch.from_numpy(batch))
                scale, zero_point = made.calculate_qparams()
                entry = {"tensor": kind, "seed": seed, "config": config | {"observer": name},
                         "min": bits(made.min_val), "max": bits(made.max_val),
                         "scale": bits(scale), "zero_point": int(zero_point)}
                if name == "histogram":
                    low, high = made._non_linear_param_search()
                    entry |= {"min": bits(low), "max": bits(high), "moment": moment(made.histogram.double().numpy())}
                entries.append(entry)
    return entries


def torch_channels():
    entries = []
    for seed, kind in enumerate(KINDS, 1):
        for config in configs("pytorch"):
            made = torch_observer(config, observer.PerChannelMinMaxObserver, ch_axis=1)
            for batch in batches(kind, seed):
                made(torch.from_numpy(batch))
            scale, zero_point = made.calculate_qparams()
            entries.append({"tensor": kind, "seed": seed, "config": config, "min": bit_list(made.min_val),
                            "max": bit_list(made.max_val), "scale": bit_list(scale), "zero_point": zero_point.tolist()})
    return entries


def ort_collected(method, x, symmetric, num_bins, percentile=None, num_levels=128):
    collector = HistogramCollector(method, symmetric, num_bins, num_levels, percentile, None)
    with contextlib.redirect_stdout(io.StringIO()):
        for batch in x:
            collector.collect({"x": batch})
        low, high = collector.compute_collection_result()["x"][:2]
    return low, high, collector.get_histogram_dict()["x"][0]


def ort_observers():
    entries = []
    for seed, kind in enumerate(KINDS, 1):
        x = batches(kind, seed)
        for scheme in ("affine", "symmetric"):
            for observed in ({"kind": "ort_entropy", "num_bins": 256, "num_levels": 128},
                             {"kind": "ort_percentile", "num_bins": 256, "percentile": 99.9},
                             {"kind": "ort_percentile", "num_bins": 128, "percentile": 99.0}):
                low, high, histogram = ort_collected(observed["kind"][4:], x, scheme == "symmetric", observed["num_bins"],
                                                     observed.get("percentile"))
                config = {"observer": observed, "dtype": "u8", "scheme": scheme, "convention": "onnxruntime", "range": "full"}
                scale, zero_point = ort_params(config, low, high)
                entries.append({"tensor": kind, "seed": seed, "config": config, "min": bits(low), "max": bits(high),
                                "bins": len(histogram), "moment": moment(histogram), "scale": bits(scale), "zero_point": zero_point})
    return entries


# --- presets

def of_torch(made):
    made = made()
    kind = {observer.HistogramObserver: "histogram"}.get(type(made), "minmax")
    described = {"observer": {"kind": kind} | ({"num_bins": made.bins} if kind == "histogram" else {}),
                 "dtype": {torch.quint8: "u8", torch.qint8: "s8"}[made.dtype],
                 "range": "reduced" if (made.quant_min, made.quant_max) in ((0, 127), (-64, 63)) else "full",
                 "scheme": "symmetric" if "symmetric" in str(made.qscheme) else "affine",
                 "granularity": "channel" if "per_channel" in str(made.qscheme) else "tensor", "convention": "pytorch"}
    assert (made.quant_min, made.quant_max) in ((0, 127), (0, 255), (-64, 63), (-128, 127))
    return described


def presets():
    result = {}
    for name in ("fbgemm", "qnnpack", "x86", "onednn"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = get_default_qconfig(name)
            result[name] = {"activations": of_torch(config.activation), "weights": of_torch(config.weight)}
    unasked = {name: p.default for name, p in inspect.signature(quantize_static).parameters.items()}
    dtypes = {QuantType.QInt8: "s8", QuantType.QUInt8: "u8"}
    shared = {"observer": {"kind": unasked["calibrate_method"].name.lower()},
              "range": "reduced" if unasked["reduce_range"] else "full", "convention": "onnxruntime"}
    result["onnxruntime"] = {"activations": shared | {"dtype": dtypes[unasked["activation_type"]], "granularity": "tensor"},
                             "weights": shared | {"dtype": dtypes[unasked["weight_type"]],
                                                  "granularity": "channel" if unasked["per_channel"] else "tensor"}}
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    golden = {"made_by": f"tools/quant/make_observer_golden.py, torch {torch.__version__}, "
                         f"onnxruntime {onnxruntime.__version__}, numpy {np.__version__}",
              "presets": presets(), "params": params(), "torch": torch_observers(), "torch_channels": torch_channels(),
              "ort": ort_observers()}
    text = json.dumps(golden, separators=(",", ":")).replace('{"config"', '\n{"config"').replace('{"tensor"', '\n{"tensor"') + "\n"
    if args.check:
        committed = TARGET.read_text(encoding="utf-8")
        print("the same" if text == committed else f"{TARGET} differs from what the installed versions give")
        return 0 if text == committed else 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
