#include "formats/pickle/state_dict.h"

#include <algorithm>
#include <array>
#include <deque>
#include <iterator>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "laconic/error.h"

namespace laconic::pickle {
namespace {

// As a checkpoint of 40,000 tensors needs. What a value takes in memory is at most some 200 times its opcodes.
constexpr std::size_t kMaxPickleBytes = std::size_t{8} << 20;
constexpr std::size_t kMaxNameBytes = 1024;  // of a tensor: a file may say one name a million times

enum class Opcode : std::uint8_t {
  kMark = '(',
  kStop = '.',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinUnicode = 'X',
  kEmptyList = ']',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyTuple = ')',
  kEmptyDict = '}',
  kProto = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
};

enum class Callable : std::uint8_t { kOrderedDict, kRebuildTensor, kRebuildParameter };

// A value that no tensor depends on: None, a boolean, a float.
struct Opaque {};

struct Storage {
  const Tensor* elements;
};

struct Sequence;
struct Dict;

// Containers are owned by the machine's arenas, so that values are small, may form cycles, and are freed without
// recursion. Text views the pickle.
using Value =
    std::variant<Opaque, std::int64_t, std::string_view, Callable, DType, Storage, const Tensor*, Sequence*, Dict*>;

// A tuple or list.
struct Sequence {
  std::vector<Value> items;
};

struct Dict {
  std::vector<std::pair<Value, Value>> items;
};

using Global = std::variant<Callable, DType>;  // a DType stands for its storage type

Global FindGlobal(std::string_view module, std::string_view name) {
  struct Known {
    std::string_view module;
    std::string_view name;
    Global global;
  };
  static constexpr std::array<Known, 13> kKnown = {{
      {"collections", "OrderedDict", Callable::kOrderedDict},
      {"torch._utils", "_rebuild_tensor_v2", Callable::kRebuildTensor},
      {"torch._utils", "_rebuild_parameter", Callable::kRebuildParameter},
      {"torch", "DoubleStorage", DType::kF64},
      {"torch", "FloatStorage", DType::kF32},
      {"torch", "HalfStorage", DType::kF16},
      {"torch", "BFloat16Storage", DType::kBF16},
      {"torch", "LongStorage", DType::kS64},
      {"torch", "IntStorage", DType::kS32},
      {"torch", "ShortStorage", DType::kS16},
      {"torch", "CharStorage", DType::kS8},
      {"torch", "ByteStorage", DType::kU8},
      {"torch", "BoolStorage", DType::kBool},
  }};
  const auto* found = std::find_if(kKnown.begin(), kKnown.end(),
                                   [&](const Known& known) { return known.module == module && known.name == name; });
  if (found == kKnown.end()) {
    Fail(ErrorCode::kInvalidFile, "refused to import '", module, ".", name,
         "': a checkpoint may hold tensors in dicts and nothing else");
  }
  return found->global;
}

std::string_view KindOf(const Value& value) {
  constexpr std::array<std::string_view, std::variant_size_v<Value>> kKinds = {
      "a plain value", "an integer",      "text",  "a callable", "a storage type", "a storage",
      "a tensor",      "a tuple or list", "a dict"};
  return kKinds[value.index()];
}

template <typename T>
const T& Expect(const Value& value, std::string_view what) {
  const T* found = std::get_if<T>(&value);
  if (found == nullptr) {
    Fail(ErrorCode::kInvalidFile, "expected ", what, ", got ", KindOf(value));
  }
  return *found;
}

std::vector<std::int64_t> ExpectSizes(const Value& value, std::string_view what) {
  std::vector<std::int64_t> sizes;
  for (const Value& size : Expect<Sequence*>(value, what)->items) {
    sizes.push_back(Expect<std::int64_t>(size, what));
  }
  return sizes;
}

class Machine {
 public:
  Machine(std::span<const std::byte> pickle, const LoadStorage& load_storage)
      : pickle_(pickle), load_storage_(load_storage) {}

  // Runs to STOP and returns the value that it leaves.
  Value Run() {
    bool running = true;
    while (running) {
      const std::size_t begin = position_;
      WithFrame([&] { return "the pickle's opcode at byte " + std::to_string(begin); }, [&] { running = Step(); });
    }
    return Pop();
  }

 private:
  bool Step() {
    const auto opcode = static_cast<Opcode>(ReadInteger(1));
    if (opcode == Opcode::kStop) {
      return false;
    }
    if (!StepLiteral(opcode) && !StepMemo(opcode) && !StepContainer(opcode)) {
      StepObject(opcode);
    }
    return true;
  }

  bool StepLiteral(Opcode opcode) {
    switch (opcode) {
      case Opcode::kNone:
      case Opcode::kNewTrue:
      case Opcode::kNewFalse:
        Push(Opaque{});
        return true;
      case Opcode::kBinFloat:
        ReadBytes(8);
        Push(Opaque{});
        return true;
      case Opcode::kBinInt1:
        Push(static_cast<std::int64_t>(ReadInteger(1)));
        return true;
      case Opcode::kBinInt2:
        Push(static_cast<std::int64_t>(ReadInteger(2)));
        return true;
      case Opcode::kBinInt:
        Push(static_cast<std::int64_t>(static_cast<std::int32_t>(ReadInteger(4))));
        return true;
      case Opcode::kLong1:
        Push(ReadLong(ReadInteger(1)));
        return true;
      case Opcode::kBinUnicode:
        Push(ReadBytes(ReadInteger(4)));
        return true;
      default:
        return false;
    }
  }

  bool StepMemo(Opcode opcode) {
    switch (opcode) {
      case Opcode::kBinPut:
        memo_.insert_or_assign(ReadInteger(1), Top());
        return true;
      case Opcode::kLongBinPut:
        memo_.insert_or_assign(ReadInteger(4), Top());
        return true;
      case Opcode::kBinGet:
        Push(Recall(ReadInteger(1)));
        return true;
      case Opcode::kLongBinGet:
        Push(Recall(ReadInteger(4)));
        return true;
      default:
        return false;
    }
  }

  bool StepContainer(Opcode opcode) {
    switch (opcode) {
      case Opcode::kMark:
        marks_.push_back(stack_.size());
        return true;
      case Opcode::kEmptyTuple:
      case Opcode::kEmptyList:
        PushSequence({});
        return true;
      case Opcode::kTuple:
        PushSequence(PopToMark());
        return true;
      case Opcode::kTuple1:
        PushSequence(Pop(1));
        return true;
      case Opcode::kTuple2:
        PushSequence(Pop(2));
        return true;
      case Opcode::kTuple3:
        PushSequence(Pop(3));
        return true;
      case Opcode::kAppend:
        Append(Pop(1));
        return true;
      case Opcode::kAppends:
        Append(PopToMark());
        return true;
      case Opcode::kEmptyDict:
        PushDict();
        return true;
      case Opcode::kSetItem:
        SetItems(Pop(2));
        return true;
      case Opcode::kSetItems:
        SetItems(PopToMark());
        return true;
      default:
        return false;
    }
  }

  void StepObject(Opcode opcode) {
    switch (opcode) {
      case Opcode::kProto:
        if (const std::uint64_t protocol = ReadInteger(1); protocol != 2) {
          Fail(ErrorCode::kInvalidFile, "expected pickle protocol 2, as torch.save writes it, got ", protocol);
        }
        break;
      case Opcode::kGlobal: {
        const std::string_view module = ReadLine();
        const std::string_view name = ReadLine();
        std::visit([this](auto global) { Push(global); }, FindGlobal(module, name));
        break;
      }
      case Opcode::kBinPersId:
        PushStorage(Pop());
        break;
      case Opcode::kReduce: {
        const Value arguments = Pop();
        Call(Pop(), Expect<Sequence*>(arguments, "a tuple of arguments")->items);
        break;
      }
      case Opcode::kBuild:
        // torch's OrderedDict carries `_metadata`, versions of its modules, which nothing here asks for.
        Pop();
        Expect<Dict*>(Top(), "a dict whose attributes to set");
        break;
      default:
        Fail(ErrorCode::kInvalidFile, "opcode ", static_cast<int>(opcode), " is not one that torch.save uses");
    }
  }

  // What persistent ids are to torch: ("storage", type, key, device, number of elements).
  void PushStorage(const Value& id) {
    const std::vector<Value>& fields = Expect<Sequence*>(id, "the id of a storage")->items;
    if (fields.size() != 5 || Expect<std::string_view>(fields[0], "text") != "storage") {
      Fail(ErrorCode::kInvalidFile, "expected the id of a storage to be 'storage' and 4 more fields, got ",
           fields.size(), " fields");
    }
    const auto dtype = Expect<DType>(fields[1], "the type of a storage");
    const auto key = Expect<std::string_view>(fields[2], "the key of a storage");
    const auto num_elements = Expect<std::int64_t>(fields[4], "the number of a storage's elements");
    const auto found = storages_.find({key, dtype});
    if (found != storages_.end()) {
      Push(Storage{&found->second});
      return;
    }
    Push(Storage{&storages_.emplace(std::pair(key, dtype), load_storage_(key, dtype, num_elements)).first->second});
  }

  void Call(const Value& callee, const std::vector<Value>& arguments) {
    const auto callable = Expect<Callable>(callee, "a callable");
    const std::size_t num_least = callable == Callable::kOrderedDict ? 0 : callable == Callable::kRebuildTensor ? 4 : 1;
    if (arguments.size() < num_least || (num_least == 0 && !arguments.empty())) {
      Fail(ErrorCode::kInvalidFile, "unexpected number of arguments: ", arguments.size());
    }
    switch (callable) {
      case Callable::kOrderedDict:
        PushDict();
        break;
      case Callable::kRebuildParameter:  // of: tensor, requires_grad, hooks
        Push(Expect<const Tensor*>(arguments[0], "a tensor"));
        break;
      case Callable::kRebuildTensor:  // of: storage, offset, sizes, strides, requires_grad, hooks
        Push(&tensors_.emplace_back(Expect<Storage>(arguments[0], "a storage")
                                        .elements->Strided(Expect<std::int64_t>(arguments[1], "an offset"),
                                                           ExpectSizes(arguments[2], "sizes"),
                                                           ExpectSizes(arguments[3], "strides"))));
        break;
    }
  }

  void Append(std::vector<Value> values) {
    std::vector<Value>& items = Expect<Sequence*>(Top(), "a list to append to")->items;
    items.insert(items.end(), values.begin(), values.end());
  }

  void SetItems(const std::vector<Value>& values) {
    Dict* dict = Expect<Dict*>(Top(), "a dict to put items in");
    if (values.size() % 2 != 0) {
      Fail(ErrorCode::kInvalidFile, "expected keys and values, got ", values.size(), " items");
    }
    for (std::size_t i = 0; i < values.size(); i += 2) {
      dict->items.emplace_back(values[i], values[i + 1]);
    }
  }

  template <typename T>
  void Push(T value) {
    stack_.emplace_back(value);
  }
  void PushSequence(std::vector<Value> items) { Push(&sequences_.emplace_back(Sequence{std::move(items)})); }
  void PushDict() { Push(&dicts_.emplace_back()); }

  // The values since the last mark may not be popped one by one.
  void CheckCanPop(std::size_t count) const {
    const std::size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() - floor < count) {
      Fail(ErrorCode::kInvalidFile, "expected ", count, " values on the stack, got ", stack_.size() - floor);
    }
  }
  const Value& Top() const {
    CheckCanPop(1);
    return stack_.back();
  }
  Value Pop() { return Pop(1).front(); }
  std::vector<Value> Pop(std::size_t count) {
    CheckCanPop(count);
    const auto begin = stack_.end() - static_cast<std::ptrdiff_t>(count);
    std::vector<Value> values(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    return values;
  }
  std::vector<Value> PopToMark() {
    if (marks_.empty()) {
      Fail(ErrorCode::kInvalidFile, "no mark on the stack");
    }
    std::vector<Value> values = Pop(stack_.size() - marks_.back());
    marks_.pop_back();
    return values;
  }

  Value Recall(std::uint64_t key) const {
    const auto found = memo_.find(key);
    if (found == memo_.end()) {
      Fail(ErrorCode::kInvalidFile, "nothing was remembered as ", key);
    }
    return found->second;
  }

  std::string_view ReadBytes(std::uint64_t length) {
    if (length > pickle_.size() - position_) {
      Fail(ErrorCode::kInvalidFile, "expected ", length, " more bytes, got ", pickle_.size() - position_);
    }
    const std::string_view bytes(reinterpret_cast<const char*>(pickle_.data()) + position_, length);
    position_ += length;
    return bytes;
  }
  std::uint64_t ReadInteger(std::uint64_t num_bytes) {
    std::uint64_t value = 0;
    const std::string_view bytes = ReadBytes(num_bytes);
    for (std::size_t i = bytes.size(); i-- > 0;) {
      value = value << 8 | static_cast<unsigned char>(bytes[i]);
    }
    return value;
  }
  // Two's complement of any length; no size or offset needs more than 8 bytes.
  std::int64_t ReadLong(std::uint64_t num_bytes) {
    if (num_bytes > 8) {
      Fail(ErrorCode::kInvalidFile, "expected an integer of at most 8 bytes, got ", num_bytes);
    }
    const std::uint64_t value = ReadInteger(num_bytes);
    const std::uint64_t unused_bits = 64 - 8 * num_bytes;
    return num_bytes == 0 ? 0 : static_cast<std::int64_t>(value << unused_bits) >> unused_bits;
  }
  std::string_view ReadLine() {
    const std::string_view rest(reinterpret_cast<const char*>(pickle_.data()) + position_, pickle_.size() - position_);
    const std::size_t length = std::min(rest.find('\n'), rest.size());
    ReadBytes(length + 1);
    return rest.substr(0, length);
  }

  std::span<const std::byte> pickle_;
  const LoadStorage& load_storage_;
  std::size_t position_ = 0;
  std::vector<Value> stack_;
  std::vector<std::size_t> marks_;  // sizes of the stack
  std::unordered_map<std::uint64_t, Value> memo_;
  std::deque<Sequence> sequences_;
  std::deque<Dict> dicts_;
  std::deque<Tensor> tensors_;
  std::map<std::pair<std::string_view, DType>, Tensor> storages_;
};

TensorMap TensorsOf(const Dict& dict) {
  TensorMap tensors;
  for (const auto& [key, value] : dict.items) {
    const auto* name = std::get_if<std::string_view>(&key);
    const auto* tensor = std::get_if<const Tensor*>(&value);
    if (name != nullptr && tensor != nullptr) {
      if (name->size() > kMaxNameBytes) {
        Fail(ErrorCode::kInvalidFile, "expected a tensor's name of at most ", kMaxNameBytes, " bytes, got ",
             name->size());
      }
      tensors.insert_or_assign(std::string(*name), **tensor);
    }
  }
  return tensors;
}

}  // namespace

TensorMap ParseStateDict(std::span<const std::byte> pickle, const LoadStorage& load_storage) {
  if (pickle.size() > kMaxPickleBytes) {
    Fail(ErrorCode::kInvalidFile, "expected a pickle of at most ", kMaxPickleBytes, " bytes, got ", pickle.size());
  }
  Machine machine(pickle, load_storage);
  const Value result = machine.Run();
  const Dict& top = *Expect<Dict*>(result, "a dict of tensors");
  TensorMap tensors = TensorsOf(top);
  if (!tensors.empty()) {
    return tensors;
  }
  std::unordered_set<const Dict*> seen;  // one may be there any number of times
  for (const auto& [key, value] : top.items) {
    Dict* const* inner = std::get_if<Dict*>(&value);
    const bool is_new = inner != nullptr && seen.insert(*inner).second;
    TensorMap found = is_new ? TensorsOf(**inner) : TensorMap();
    if (!found.empty() && !tensors.empty()) {
      Fail(ErrorCode::kInvalidFile, "expected one dict of tensors, got several: save the model's state_dict() alone");
    }
    tensors.merge(found);
  }
  return tensors;
}

}  // namespace laconic::pickle
