// The pickle inside a PyTorch checkpoint, read as data: nothing in it is ever executed.
//
// A pickle is a program for a stack machine that can import and call anything. Understood here are the opcodes of
// protocol 2 that torch.save emits for a dict of tensors, and as callables `collections.OrderedDict`,
// `torch._utils._rebuild_tensor_v2`, `torch._utils._rebuild_parameter` and the typed storages of `torch`.
// Source: CPython's Lib/pickletools.py (opcodes), PyTorch's torch/serialization.py and torch/_utils.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "tensor/tensor_map.h"

namespace laconic::pickle {

// A storage's elements as a tensor of shape [num_elements]; asked for once for each key and dtype.
using LoadStorage = std::function<Tensor(std::string_view key, DType dtype, std::int64_t num_elements)>;

// The tensors by name: those of the top-level dict or, where it holds none, of the only dict in it that does, e.g.
// {"epoch": 3, "state_dict": {...}}. Other values are left out. Tensors view the storages: they may share elements and
// need not be contiguous.
// Errors: kInvalidFile, with the byte: any other callable (named), opcode or structure, a tensor outside its storage.
TensorMap ParseStateDict(std::span<const std::byte> pickle, const LoadStorage& load_storage);

}  // namespace laconic::pickle
