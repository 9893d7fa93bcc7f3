// Equal nodes become one, and so do matrices that a file stores twice: a shared weight is quantized and packed once.
#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <unordered_map>

#include "passes/fusion/match.h"
#include "passes/fusion/passes.h"

namespace laconic::passes::fusion {
namespace {

void AppendBytes(std::string* key, const void* data, std::size_t size) {
  key->append(static_cast<const char*>(data), size);
}

void AppendNumber(std::string* key, std::int64_t number) { AppendBytes(key, &number, sizeof(number)); }

void AppendText(std::string* key, std::string_view text) {
  AppendNumber(key, static_cast<std::int64_t>(text.size()));
  key->append(text);
}

void AppendType(std::string* key, const Tensor& tensor) {
  AppendNumber(key, static_cast<std::int64_t>(tensor.dtype()));
  AppendNumber(key, static_cast<std::int64_t>(tensor.shape().size()));
  for (const std::int64_t size : tensor.shape()) {
    AppendNumber(key, size);
  }
}

void AppendAttribute(std::string* key, const Attribute& attribute) {
  AppendNumber(key, static_cast<std::int64_t>(attribute.index()));
  if (const auto* integer = std::get_if<std::int64_t>(&attribute)) {
    AppendNumber(key, *integer);
  } else if (const auto* number = std::get_if<float>(&attribute)) {
    AppendBytes(key, number, sizeof(*number));
  } else if (const auto* text = std::get_if<std::string>(&attribute)) {
    AppendText(key, *text);
  } else {
    for (const std::int64_t element : std::get<std::vector<std::int64_t>>(attribute)) {
      AppendNumber(key, element);
    }
  }
}

// Each exporter's node has constants of its own, so small ones count by what they hold.
constexpr std::int64_t kSmallBytes = 64;

void AppendInput(const Draft& draft, ValueId input, std::string* key) {
  const Tensor* constant = draft.Constant(input);
  if (constant == nullptr || constant->size_bytes() > kSmallBytes) {
    AppendNumber(key, input);
    return;
  }
  AppendNumber(key, kNoValue - 1);
  AppendType(key, *constant);
  const Tensor flat = constant->Contiguous();
  AppendBytes(key, flat.data(), static_cast<std::size_t>(flat.size_bytes()));
}

std::string KeyOf(const Draft& draft, const Node& node) {
  std::string key;
  AppendText(&key, node.op);
  AppendNumber(&key, static_cast<std::int64_t>(node.inputs.size()));
  for (const ValueId input : node.inputs) {
    AppendInput(draft, input, &key);
  }
  AppendNumber(&key, static_cast<std::int64_t>(node.outputs.size()));
  for (const auto& [name, attribute] : node.attributes) {
    AppendText(&key, name);
    AppendAttribute(&key, attribute);
  }
  return key;
}

bool ShareNodes(Draft* draft) {
  std::unordered_map<std::string, ValueId> seen;
  return RewriteEach(draft, [&](const Node& node) {
    const ValueId value = node.outputs[0];
    if (node.outputs.size() != 1 || draft->IsOutput(value)) return false;
    ValueId& first = seen.try_emplace(KeyOf(*draft, node), value).first->second;
    if (draft->Producer(first) == nullptr) first = value;
    draft->Replace(value, first);
    return value != first;
  });
}

// Where a matrix's elements lie: lines of neighbours, its rows or, seen transposed, its columns. A part of a packed
// matrix has gaps between them.
struct Lines {
  const std::byte* data = nullptr;
  std::int64_t count = 0, bytes = 0, step = 0;
};

std::optional<Lines> LinesOf(const Tensor& tensor) {
  if (tensor.shape().size() != 2) {
    return tensor.shape().size() > 2 && tensor.is_contiguous()
               ? std::optional(Lines{tensor.data(), 1, tensor.size_bytes(), 0})
               : std::nullopt;
  }
  const std::size_t along = tensor.strides()[1] == 1 ? 1 : 0;
  if (tensor.strides()[along] != 1 || tensor.num_elements() == 0) return std::nullopt;
  const std::int64_t size = tensor.size_bytes() / tensor.num_elements();
  return Lines{tensor.data(), tensor.shape()[1 - along], tensor.shape()[along] * size,
               tensor.strides()[1 - along] * size};
}

bool SameElements(const Lines& a, const Lines& b) {
  for (std::int64_t i = 0; i < a.count; ++i) {
    if (std::memcmp(a.data + i * a.step, b.data + i * b.step, static_cast<std::size_t>(a.bytes)) != 0) return false;
  }
  return true;
}

// What tells most different matrices apart without reading them whole: a file's pages stay on the disk.
std::string SampleOf(const Tensor& tensor, const Lines& lines) {
  std::string key;
  AppendType(&key, tensor);
  AppendNumber(&key, tensor.strides().back() == 1 ? 1 : 0);
  constexpr std::int64_t kSamples = 16;
  const std::int64_t size = std::min<std::int64_t>(lines.bytes, 8);
  for (std::int64_t i = 0; i < kSamples; ++i) {
    const std::int64_t line = (lines.count - 1) * i / (kSamples - 1);
    AppendBytes(&key, lines.data + line * lines.step + (lines.bytes - size) * i / (kSamples - 1),
                static_cast<std::size_t>(size));
  }
  return key;
}

bool ShareMatrices(Draft* draft) {
  std::unordered_map<std::string, ValueId> seen;
  return RewriteEach(draft, [&](const Node& node) {
    bool changed = false;
    for (const ValueId input : std::vector<ValueId>(node.inputs)) {
      const Tensor* tensor = draft->Constant(input);
      const auto lines = tensor == nullptr ? std::nullopt : LinesOf(*tensor);
      if (!lines) continue;
      // Only the first of a sample's kind is compared with: linear, even in a file made of near-copies.
      const ValueId first = seen.try_emplace(SampleOf(*tensor, *lines), input).first->second;
      if (first == input || !SameElements(*LinesOf(*draft->Constant(first)), *lines)) continue;
      draft->Replace(input, first);
      changed = true;
    }
    return changed;
  });
}

}  // namespace

bool ShareEqual(Draft* draft) {
  const bool matrices = ShareMatrices(draft);
  return ShareNodes(draft) || matrices;
}

}  // namespace laconic::passes::fusion
