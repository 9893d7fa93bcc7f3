// Equal nodes become one, and so do matrices that a file stores twice: a shared weight is quantized and packed once.
#include <algorithm>
#include <cstring>
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
  bool changed = false;
  std::unordered_map<std::string, NodeId> seen;
  for (NodeId id = 0, end = draft->num_nodes(); id < end; ++id) {
    const Node* node = draft->FindNode(id);
    if (node == nullptr || node->outputs.size() != 1 || draft->IsOutput(node->outputs[0])) continue;
    const auto [first, is_new] = seen.try_emplace(KeyOf(*draft, *node), id);
    const Node* same = draft->FindNode(first->second);
    if (is_new || same == nullptr) {
      first->second = id;
      continue;
    }
    draft->Replace(node->outputs[0], same->outputs[0]);
    changed = true;
  }
  return changed;
}

// Elements in the order in which they lie; a matrix may be seen transposed.
const std::byte* RowMajorBytes(const Tensor& tensor) {
  return tensor.is_contiguous() || (tensor.shape().size() == 2 && tensor.Transposed().is_contiguous()) ? tensor.data()
                                                                                                       : nullptr;
}

// What tells most different matrices apart without reading them whole: a file's pages stay on the disk.
std::string SampleOf(const Tensor& tensor, const std::byte* bytes) {
  std::string key;
  AppendType(&key, tensor);
  AppendNumber(&key, tensor.strides().back());
  const std::int64_t size = tensor.size_bytes();
  constexpr std::int64_t kSamples = 16;
  for (std::int64_t i = 0; i < kSamples && size >= 8; ++i) {
    AppendBytes(&key, bytes + (size - 8) * i / (kSamples - 1), 8);
  }
  return key;
}

bool ShareMatrices(Draft* draft) {
  bool changed = false;
  std::unordered_map<std::string, ValueId> seen;
  for (NodeId id = 0, end = draft->num_nodes(); id < end; ++id) {
    const Node* node = draft->FindNode(id);
    if (node == nullptr) continue;
    for (const ValueId input : std::vector<ValueId>(node->inputs)) {
      const Tensor* tensor = draft->Constant(input);
      const std::byte* bytes = tensor == nullptr || tensor->shape().size() < 2 ? nullptr : RowMajorBytes(*tensor);
      if (bytes == nullptr) continue;
      // Only the first of a sample's kind is compared with: linear, even in a file made of near-copies.
      const ValueId first = seen.try_emplace(SampleOf(*tensor, bytes), input).first->second;
      const Tensor& other = *draft->Constant(first);
      if (first == input || std::memcmp(other.data(), bytes, static_cast<std::size_t>(tensor->size_bytes())) != 0) {
        continue;
      }
      draft->Replace(input, first);
      changed = true;
    }
  }
  return changed;
}

}  // namespace

bool ShareEqual(Draft* draft) {
  const bool matrices = ShareMatrices(draft);
  return ShareNodes(draft) || matrices;
}

}  // namespace laconic::passes::fusion
